//! A registered service, as the registry keeps it (workspace.md 3.2).

use std::fmt;

use bytes::Bytes;

use super::service_id::{is_service_name, split};
use crate::identity::UserInfo;
use crate::map;
use crate::peer::ServiceError;
use crate::wire::{self, Map, Value};

/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 1024;
/// Largest registration, in bytes as it travels: schemas and docs are the long parts.
const MAX_BYTES: usize = 1 << 20;

/// Who may see and use a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody; listed.
    Public,
    /// Members of the workspace, and workspaces that are authorised by name.
    Protected,
    /// Everybody who knows the id; never listed to others.
    Unlisted,
}

impl Visibility {
    pub fn name(self) -> &'static str {
        match self {
            Visibility::Public => "public",
            Visibility::Protected => "protected",
            Visibility::Unlisted => "unlisted",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "public" => Visibility::Public,
            "protected" => Visibility::Protected,
            "unlisted" => Visibility::Unlisted,
            _ => return None,
        })
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct ServiceRecord {
    pub workspace: String,
    pub client: String,
    pub name: String,
    /// Alias of the app it belongs to, `*` for none.
    pub app: String,
    pub kind: String,
    pub visibility: Visibility,
    pub singleton: bool,
    pub authorized: Vec<String>,
    /// Order of registration within the node.
    pub seq: u64,
    /// Whether the service has an optional `setup` function.
    pub has_setup: bool,
    /// What clients see, with defaults filled in.
    info: Map,
    /// The same, encoded once: listings splice it.
    packed: Bytes,
    /// The form for callers who are no members, where it differs.
    packed_for_guests: Option<Bytes>,
}

impl ServiceRecord {
    /// `workspace/client:service`
    pub fn id(&self) -> String {
        format!("{}/{}:{}", self.workspace, self.client, self.name)
    }

    /// `workspace/client`
    pub fn address(&self) -> String {
        format!("{}/{}", self.workspace, self.client)
    }

    /// The schema of the function at a path, as the provider registered it. None also when the
    /// path leads to something else, or the provider gave no schema.
    pub fn function(&self, path: &[&str]) -> Option<&Map> {
        let mut at = self.info.get("service_schema")?;
        for step in path {
            at = at.get(step)?;
        }
        let map = at.as_map()?;
        (map.get_str("type") == Some("function")).then(|| map.get("function")?.as_map())?
    }

    /// A setting of the service's `config`, as its provider registered it.
    pub fn setting(&self, name: &str) -> Option<&Value> {
        self.info.get("config")?.get(name)
    }

    pub fn is_built_in(&self) -> bool {
        self.name == "built-in"
    }

    /// The description clients get. Who is authorised is told only to members (rule V3).
    pub fn to_map(&self, for_member: bool) -> Map {
        let mut info = self.info.clone();
        if !for_member
            && !self.authorized.is_empty()
            && let Some(Value::Map(config)) = info.get_mut("config")
        {
            config.remove("authorized_workspaces");
        }
        info
    }

    /// [`ServiceRecord::to_map`], encoded.
    pub fn packed(&self, for_member: bool) -> &Bytes {
        match &self.packed_for_guests {
            Some(packed) if !for_member => packed,
            _ => &self.packed,
        }
    }

    /// Reads what `register_service` was given by a client at `workspace/client`.
    ///
    /// # Errors
    /// The texts of workspace.md 4.
    pub fn from_registration(
        service: &Map,
        workspace: &str,
        client: &str,
        user: &UserInfo,
        seq: u64,
    ) -> Result<Self, ServiceError> {
        let name = own_name(service, workspace, client)?;
        let app = service.get_str("app_id").unwrap_or("*").to_owned();
        if app.contains('/') {
            return Err(ServiceError::assertion("App id info must not contain '/'"));
        }
        let given = service
            .get("config")
            .and_then(Value::as_map)
            .cloned()
            .unwrap_or_default();
        let access = Access::read(&given)?;
        if let Some(text) = service.get_str("description")
            && text.chars().count() > MAX_DESCRIPTION
        {
            return Err(ServiceError::value(format!(
                "the description of service {name} is longer than {MAX_DESCRIPTION} characters"
            )));
        }
        let mut record = ServiceRecord {
            workspace: workspace.to_owned(),
            client: client.to_owned(),
            name,
            app,
            kind: service.get_str("type").unwrap_or("generic").to_owned(),
            visibility: access.visibility,
            singleton: access.singleton,
            authorized: access.authorized,
            seq,
            has_setup: has_function(service.get("service_schema"), "setup"),
            info: Map::new(),
            packed: Bytes::new(),
            packed_for_guests: None,
        };
        record.info = record.describe(service, given, user);
        record.packed = wire::encode(&Value::Map(record.to_map(true)));
        if record.packed.len() > MAX_BYTES {
            return Err(ServiceError::value(format!(
                "the registration of service {} is larger than {MAX_BYTES} bytes",
                record.name
            )));
        }
        if !record.authorized.is_empty() {
            let for_guests = Value::Map(record.to_map(false));
            record.packed_for_guests = Some(wire::encode(&for_guests));
        }
        Ok(record)
    }

    fn describe(&self, service: &Map, given: Map, user: &UserInfo) -> Map {
        let mut config = map! {
            "visibility" => self.visibility.name(),
            "require_context" => given.get("require_context").cloned().unwrap_or(false.into()),
            "workspace" => self.workspace.as_str(),
            "flags" => given.get("flags").cloned().unwrap_or_else(|| Value::Array(Vec::new())),
            "singleton" => self.singleton,
            // The id only: the whole user would tell everybody's scopes (rule S6).
            "created_by" => map! { "id" => user.effective_id() },
            "service_embedding" => Value::Nil,
            "authorized_workspaces" => given.get("authorized_workspaces").cloned().unwrap_or_default(),
        };
        let fixed = [
            "visibility",
            "workspace",
            "singleton",
            "created_by",
            "service_embedding",
        ];
        for (key, value) in given {
            if !fixed.contains(&key.as_str()) {
                config.insert(key, value);
            }
        }
        let text = |key: &str| service.get(key).cloned().unwrap_or_default();
        let mut info = map! {
            "config" => config,
            "id" => self.id(),
            "name" => match text("name") {
                Value::Nil => Value::from(self.name.as_str()),
                name => name,
            },
            "type" => self.kind.as_str(),
            "description" => text("description"),
            "docs" => text("docs"),
            "app_id" => self.app.as_str(),
            "service_schema" => text("service_schema"),
        };
        for (key, value) in service.iter() {
            if !info.contains_key(key) {
                info.insert(key, value.clone());
            }
        }
        info
    }
}

/// How a service may be used, from its config.
struct Access {
    visibility: Visibility,
    singleton: bool,
    authorized: Vec<String>,
}

impl Access {
    fn read(config: &Map) -> Result<Self, ServiceError> {
        let visibility = match config.get("visibility") {
            None | Some(Value::Nil) => Visibility::Protected,
            Some(value) => value.as_str().and_then(Visibility::parse).ok_or_else(|| {
                ServiceError::value(format!(
                    "Invalid visibility: {}, it must be 'public', 'protected' or 'unlisted'",
                    value.to_json()
                ))
            })?,
        };
        let authorized: Vec<String> = match config.get("authorized_workspaces") {
            None | Some(Value::Nil) => Vec::new(),
            Some(value) => value
                .as_array()
                .and_then(|list| {
                    list.iter()
                        .map(|ws| ws.as_str().map(str::to_owned))
                        .collect()
                })
                .ok_or_else(|| {
                    ServiceError::value("authorized_workspaces must be a list of workspace names")
                })?,
        };
        if !authorized.is_empty() && visibility != Visibility::Protected {
            return Err(ServiceError::value(format!(
                "authorized_workspaces can only be set when visibility is 'protected', got \
                 visibility='{visibility}'"
            )));
        }
        let singleton = config.get("singleton").is_some_and(Value::truthy);
        Ok(Access {
            visibility,
            singleton,
            authorized,
        })
    }
}

/// The service name from the id, after checking that the id is the caller's own (rule V1).
fn own_name(service: &Map, workspace: &str, client: &str) -> Result<String, ServiceError> {
    let id = service
        .get_str("id")
        .ok_or_else(|| ServiceError::assertion("Service id must be provided"))?;
    let parts = split(id)?;
    if let Some(given) = parts.workspace
        && given != workspace
    {
        return Err(ServiceError::permission(format!(
            "Service ID workspace prefix '{given}' does not match the current workspace \
             '{workspace}'. Cannot register services in other workspaces."
        )));
    }
    let Some(given) = parts.client else {
        return Err(ServiceError::assertion("Service id info must contain ':'"));
    };
    if given != client {
        return Err(ServiceError::permission(format!(
            "Service id {id} names the client '{given}', but it is registered by '{client}'"
        )));
    }
    if !is_service_name(parts.service) || parts.app.is_some() {
        return Err(ServiceError::value(format!(
            "Invalid service id: {id}, the name must not be empty or contain '/', ':', '@', '*'"
        )));
    }
    Ok(parts.service.to_owned())
}

fn has_function(schema: Option<&Value>, name: &str) -> bool {
    schema
        .and_then(|schema| schema.get(name))
        .and_then(|function| function.get("type"))
        .and_then(Value::as_str)
        == Some("function")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(service: Map) -> Result<ServiceRecord, String> {
        ServiceRecord::from_registration(&service, "ws", "c", &UserInfo::root(), 1)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_filled_in_and_unknown_config_is_kept() {
        let record = register(map! {
            "id" => "ws/c:svc",
            "config" => map! { "mine" => 1 },
            "service_schema" => map! { "setup" => map! { "type" => "function" } },
        })
        .unwrap();
        assert!(record.has_setup);
        let config = record.to_map(true).remove("config").unwrap();
        assert_eq!(
            config.get("visibility").unwrap().as_str(),
            Some("protected")
        );
        assert_eq!(config.get("mine").unwrap().as_i64(), Some(1));
        assert_eq!(record.to_map(true).get_str("name"), Some("svc"));
    }

    #[test]
    fn only_the_callers_own_ids_pass() {
        for (id, text) in [
            ("other/c:svc", "does not match the current workspace 'ws'"),
            ("ws/d:svc", "registered by 'c'"),
            ("ws/svc", "Service id info must contain ':'"),
            ("ws/c:", "must not be empty"),
            ("ws/c:a*b", "must not be empty or contain"),
            ("ws/c:a@b", "must not be empty or contain"),
        ] {
            let error = register(map! { "id" => id }).unwrap_err();
            assert!(error.contains(text), "{id}: {error}");
        }
    }

    #[test]
    fn authorised_workspaces_need_protection_and_stay_secret() {
        let service = |visibility: &str| {
            map! {
                "id" => "ws/c:svc",
                "config" => map! {
                    "visibility" => visibility,
                    "authorized_workspaces" => vec![Value::from("friend")],
                },
            }
        };
        assert!(
            register(service("public"))
                .unwrap_err()
                .contains("can only be set")
        );
        let record = register(service("protected")).unwrap();
        for (for_member, shown) in [(true, true), (false, false)] {
            let whole = Value::Map(record.to_map(for_member));
            assert_eq!(format!("{whole:?}").contains("friend"), shown);
            assert_eq!(*record.packed(for_member), wire::encode(&whole));
        }
        assert!(
            register(service("private"))
                .unwrap_err()
                .contains("Invalid visibility")
        );
    }
}
