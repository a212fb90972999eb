//! The services that a caller may see, with what their schemas tell of them.

use serde::Serialize;
use serde_json::Value as Json;

use super::method::{MethodDoc, methods_of};
use crate::identity::{Level, UserInfo};
use crate::map;
use crate::peer::ServiceError;
use crate::wire::{Map, Value};
use crate::workspace::{ANONYMOUS, Directory, ListOptions, PUBLIC};

/// The manager's name in the documents.
pub const MANAGER: &str = "workspace-manager";

/// A service, ready to be written down.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceDoc {
    /// Its id without workspace and client: name of its page.
    pub slug: String,
    pub name: String,
    pub kind: String,
    pub description: String,
    /// What `get_service` takes.
    pub address: String,
    /// Path of its functions over HTTP, without a slash at the end.
    pub path: String,
    /// Part of the server, so that its texts are the server's own.
    pub built_in: bool,
    pub methods: Vec<MethodDoc>,
}

impl ServiceDoc {
    /// Whether it has a page.
    pub fn is_documented(&self) -> bool {
        self.methods.iter().any(MethodDoc::is_documented)
    }

    /// The manager, which stands in no registry and is the same everywhere.
    fn manager(directory: &Directory, workspace: &str) -> Option<Self> {
        let service = directory.peer.offered("*", "default")?;
        let mut schema = serde_json::Map::new();
        for method in service.spec().methods {
            let function = method.schema().to_json();
            let entry = serde_json::json!({ "type": "function", "function": function });
            schema.insert(method.name.to_owned(), entry);
        }
        Some(ServiceDoc {
            slug: MANAGER.into(),
            name: "Workspace Manager".into(),
            kind: "generic".into(),
            description: "Services, clients, tokens, events and settings of a workspace. \
                          The connection itself offers its functions as well."
                .into(),
            address: "~".into(),
            path: format!("/{workspace}/services/~"),
            built_in: true,
            methods: methods_of(&schema.into(), false),
        })
    }

    /// Reads an entry of `list_services`.
    fn registered(listed: &Map, server_id: &str) -> Option<Self> {
        let (workspace, rest) = listed.get_str("id")?.split_once('/')?;
        let (client, name) = rest.split_once(':')?;
        let slug = name.split('@').next().unwrap_or(name);
        let text = |key: &str| listed.get_str(key).unwrap_or_default().to_owned();
        let schema = listed
            .get("service_schema")
            .map_or(Json::Null, Value::to_json);
        let with_context = listed
            .get("config")
            .and_then(|config| config.get("require_context"))
            .is_some_and(Value::truthy);
        Some(ServiceDoc {
            slug: slug.to_owned(),
            name: match listed.get_str("name") {
                Some(name) if !name.trim().is_empty() => name.to_owned(),
                _ => slug.to_owned(),
            },
            kind: text("type"),
            description: text("description"),
            address: format!("{workspace}/{slug}"),
            path: format!("/{workspace}/services/{slug}"),
            built_in: client == server_id && workspace == PUBLIC,
            methods: methods_of(&schema, with_context),
        })
    }
}

/// What a caller may see, without what every client has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Catalog {
    /// Parts of the server.
    pub built_in: Vec<ServiceDoc>,
    /// Services of the workspace in question.
    pub own: Vec<ServiceDoc>,
    /// Services of clients in the public workspace.
    pub public: Vec<ServiceDoc>,
}

impl Catalog {
    /// Looks around in `workspace` with the eyes of `user`, who acts in it.
    ///
    /// # Errors
    /// The workspace's name is none.
    pub async fn of(
        directory: &Directory,
        workspace: &str,
        user: &UserInfo,
    ) -> Result<Self, ServiceError> {
        // Services may be open to a workspace by name; only its members ask from there.
        let from = if user.allows(workspace, Level::Read) {
            workspace
        } else {
            ANONYMOUS
        };
        let mut built_in: Vec<_> = ServiceDoc::manager(directory, workspace)
            .into_iter()
            .collect();
        let (parts, public): (Vec<_>, Vec<_>) = listed(directory, PUBLIC, from, user)
            .await?
            .into_iter()
            .partition(|service| service.built_in);
        built_in.extend(parts);
        let own = if workspace == PUBLIC {
            Vec::new()
        } else {
            listed(directory, workspace, from, user).await?
        };
        Ok(Catalog {
            built_in,
            own,
            public,
        })
    }

    /// The page of a service; that of the server's parts first.
    pub fn documented(&self, slug: &str) -> Option<&ServiceDoc> {
        self.built_in
            .iter()
            .chain(self.of_clients())
            .find(|service| service.slug == slug)
    }

    /// Services of clients that have a page: one of each name, those of the workspace first.
    pub fn of_clients(&self) -> impl Iterator<Item = &ServiceDoc> {
        let mut taken: Vec<&str> = self.built_in.iter().map(|part| &*part.slug).collect();
        self.own.iter().chain(&self.public).filter(move |service| {
            let fresh = service.is_documented() && !taken.contains(&&*service.slug);
            if fresh {
                taken.push(&service.slug);
            }
            fresh
        })
    }

    /// Whether the server has this part.
    pub fn offers(&self, slug: &str) -> bool {
        self.built_in.iter().any(|part| part.slug == slug)
    }
}

async fn listed(
    directory: &Directory,
    workspace: &str,
    from: &str,
    user: &UserInfo,
) -> Result<Vec<ServiceDoc>, ServiceError> {
    let query = Value::Map(map! { "workspace" => workspace });
    let found = directory
        .list_services(&query, ListOptions::default(), from, user)
        .await?;
    let server_id = directory.router.server_id();
    Ok(found
        .into_maps()
        .iter()
        .filter_map(|listed| ServiceDoc::registered(listed, server_id))
        .filter(|service| service.slug != "built-in")
        .collect())
}
