//! What the documents say besides services: the server, the workspace, its apps.

use serde::Serialize;
use serde_json::Value as Json;

use crate::config::Config;
use crate::identity::{Level, UserInfo};
use crate::workspace::{HYPHA_VERSION, PUBLIC, WorkspaceInfo};

/// What all documents are filled with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// URL of the server, without a slash at the end.
    pub base_url: String,
    /// The workspace in question.
    pub workspace: String,
    /// Whether clients can connect to it; the public one is for everybody to read only.
    pub joinable: bool,
    /// Whether the documents are those of the server as a whole.
    pub global: bool,
    /// Whether people can log in with an account of this server.
    pub accounts: bool,
    pub version: &'static str,
    /// Version of the reference's interface that clients are told.
    pub hypha_version: &'static str,
}

impl Facts {
    /// Those of a workspace.
    pub fn of_workspace(config: &Config, workspace: &str) -> Self {
        Facts {
            base_url: config.server.base_url(),
            accounts: config.auth.local_accounts,
            workspace: workspace.to_owned(),
            joinable: workspace != PUBLIC,
            global: false,
            version: super::VERSION,
            hypha_version: HYPHA_VERSION,
        }
    }

    /// Those of the server as a whole.
    pub fn global(config: &Config) -> Self {
        Facts {
            global: true,
            ..Facts::of_workspace(config, PUBLIC)
        }
    }
}

/// An installed app.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppFacts {
    id: String,
    name: String,
    kind: String,
    version: String,
    description: String,
}

/// What a caller may know about a workspace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkspaceFacts {
    pub name: String,
    pub description: String,
    pub persistent: bool,
    pub read_only: bool,
    /// Empty for those who are no members.
    pub owners: Vec<String>,
    /// `read`, `read_write` or `admin`; none for those who are no members.
    pub permission: Option<&'static str>,
    pub apps: Vec<AppFacts>,
}

impl WorkspaceFacts {
    /// What `user` may know of a workspace. Its record is for members only.
    pub fn of(info: &WorkspaceInfo, user: &UserInfo) -> Self {
        let level = user.level_in(&info.id);
        let member = level >= Some(Level::Read);
        let system = info.id == PUBLIC;
        WorkspaceFacts {
            name: if member { &info.name } else { &info.id }.clone(),
            description: match &info.description {
                Some(text) if member || system => text.clone(),
                _ => String::new(),
            },
            persistent: info.persistent,
            read_only: info.read_only,
            owners: if member {
                info.owners.clone()
            } else {
                Vec::new()
            },
            permission: level.map(Level::name),
            apps: Vec::new(),
        }
    }

    /// Adds the listing of the installed apps.
    #[must_use]
    pub fn with_apps(mut self, listed: &[Json]) -> Self {
        self.apps = listed
            .iter()
            .map(|app| {
                let text = |key: &str| app[key].as_str().unwrap_or_default().to_owned();
                AppFacts {
                    id: text("id"),
                    name: text("name"),
                    kind: text("type"),
                    version: text("version"),
                    description: text("description"),
                }
            })
            .collect();
        self
    }
}
