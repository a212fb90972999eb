//! What is known about a workspace (workspace.md 2.2), and the rules for its name.

use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use super::error::WorkspaceError;
use crate::identity::UserInfo;
use crate::map;
use crate::wire::{Map, Value};

/// The registry's public room: services for everybody live here.
pub const PUBLIC: &str = "public";
/// The root user's room.
pub const ROOT: &str = "ws-user-root";
/// The room of callers over plain HTTP who did not say who they are.
pub const ANONYMOUS: &str = "ws-anonymous";

/// Largest record of a workspace, in bytes of JSON: variables, bookmarks and types included.
pub const MAX_BYTES: usize = 2 << 20;
/// Longest name of a workspace.
const MAX_NAME: usize = 128;
/// First URL segments of the server, which no workspace may take.
const RESERVED: [&str; 12] = [
    "static",
    "assets",
    "health",
    "metrics",
    "login",
    "oauth",
    "api-docs",
    "api-redoc",
    "ws",
    "rpc",
    "admin",
    "_pages",
];

/// A workspace that the server itself needs; it can be neither made, replaced nor deleted.
pub fn is_system(id: &str) -> bool {
    matches!(id, PUBLIC | ROOT | ANONYMOUS)
}

/// A service type declared in a workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceType {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub definition: JsonMap<String, Json>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub config: JsonMap<String, Json>,
    #[serde(default)]
    pub docs: Option<String>,
}

/// The stored record of a workspace; the order of the fields is the order clients see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceInfo {
    #[serde(rename = "type", default = "workspace_type")]
    pub kind: String,
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub persistent: bool,
    #[serde(default)]
    pub owners: Vec<String>,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub icon: Option<String>,
    #[serde(default)]
    pub covers: Option<Vec<String>>,
    #[serde(default)]
    pub docs: Option<String>,
    #[serde(default)]
    pub service_types: JsonMap<String, Json>,
    #[serde(default)]
    pub config: JsonMap<String, Json>,
}

fn workspace_type() -> String {
    "workspace".into()
}

/// Key of the environment variables in `config`; they leave only through `get_env` (rule S1).
pub const ENVIRONS: &str = "environs";
/// Key of the bookmarks in `config`.
pub const BOOKMARKS: &str = "bookmarks";

impl WorkspaceInfo {
    /// A workspace with nothing but its owner.
    pub fn new(id: &str, description: Option<&str>, owner: &str) -> Self {
        WorkspaceInfo {
            kind: workspace_type(),
            id: id.to_owned(),
            name: id.to_owned(),
            description: description.map(str::to_owned),
            persistent: false,
            owners: vec![owner.to_owned()],
            read_only: false,
            icon: None,
            covers: None,
            docs: None,
            service_types: JsonMap::new(),
            config: JsonMap::new(),
        }
    }

    /// The personal workspace of a user.
    pub fn personal(user: &UserInfo) -> Self {
        let id = user.personal_workspace();
        if user.is_anonymous {
            let mut info = WorkspaceInfo::new(&id, Some("Anonymous workspace"), &id);
            info.read_only = true;
            return info;
        }
        let description = format!("Workspace for user {}", user.id);
        let mut info = WorkspaceInfo::new(&id, Some(&description), &user.id);
        info.persistent = true;
        info
    }

    /// Whether the user owns it, which makes them an administrator of it (workspace.md 2.3).
    ///
    /// A child token owns what it made itself, and nothing by its parent's name or email: it may
    /// have been made weaker on purpose (rule S2). A missing email never matches.
    pub fn is_owned_by(&self, user: &UserInfo) -> bool {
        let named = |text: &str| self.owners.iter().any(|owner| owner == text);
        let email = user.email.as_deref().filter(|_| user.parent.is_none());
        named(&user.id) || email.is_some_and(named) || self.id == user.personal_workspace()
    }

    /// As clients see it; without environment variables.
    pub fn to_value(&self, status: Value) -> Value {
        let json = serde_json::to_value(self).unwrap_or_default();
        let mut value = Value::from_json(json);
        if let Some(map) = value.as_map_mut() {
            if let Some(Value::Map(config)) = map.get_mut("config") {
                config.remove(ENVIRONS);
            }
            map.insert("status", status);
        }
        value
    }

    /// The short form of `list_workspaces`.
    pub fn summary(&self) -> Value {
        Value::Map(map! {
            "id" => self.id.as_str(),
            "name" => self.id.as_str(),
            "description" => self.description.as_deref(),
            "read_only" => self.read_only,
            "persistent" => self.persistent,
            "owners" => self.owners.iter().map(|owner| Value::from(owner.as_str())).collect::<Vec<_>>(),
        })
    }

    /// Reads what `create_workspace` was given. The name alone is enough; the caller becomes
    /// an owner whatever the list says (rule V8).
    ///
    /// # Errors
    /// Missing id, wrong types.
    pub fn from_config(config: &Map, creator: &UserInfo) -> Result<Self, WorkspaceError> {
        let mut json = Value::Map(config.clone()).to_json();
        let fields = json.as_object_mut().ok_or(WorkspaceError::MissingId)?;
        fields.retain(|_, value| !value.is_null());
        fields.remove("status");
        for (key, other) in [("id", "name"), ("name", "id")] {
            if !fields.contains_key(key)
                && let Some(value) = fields.get(other).cloned()
            {
                fields.insert(key.to_owned(), value);
            }
        }
        if !fields.contains_key("id") {
            return Err(WorkspaceError::MissingId);
        }
        let mut info: WorkspaceInfo = serde_json::from_value(json)
            .map_err(|error| WorkspaceError::Config(error.to_string()))?;
        // The one who made it goes last, which the quota counts; the human behind a token counts.
        for owner in [&*creator.id, creator.effective_id()] {
            info.owners.retain(|known| known != owner);
            info.owners.push(owner.to_owned());
        }
        Ok(info)
    }
}

impl WorkspaceInfo {
    /// Keeps the owners of the record that this one replaces, unless one of them changes the list
    /// explicitly (rule S5). An administrator does not become an owner by overwriting.
    pub fn keep_owners(&mut self, old: &WorkspaceInfo, user: &UserInfo, explicit: bool) {
        let by_owner = old.is_owned_by(user) || user.is_root();
        if !(explicit && by_owner) {
            self.owners = old.owners.clone();
        }
    }

    /// Refuses a record that has grown beyond what is kept.
    ///
    /// # Errors
    /// [`WorkspaceError::TooLarge`]
    pub fn check_size(&self) -> Result<(), WorkspaceError> {
        let size = serde_json::to_vec(self).map_or(0, |json| json.len());
        if size > MAX_BYTES {
            return Err(WorkspaceError::TooLarge(self.id.clone()));
        }
        Ok(())
    }
}

/// Checks a name that a user chose (workspace.md 2.1, rules V7 and S4).
///
/// # Errors
/// See the texts of [`WorkspaceError`].
pub fn check_name(id: &str, creator: &UserInfo) -> Result<(), WorkspaceError> {
    if id.is_empty() {
        return Err(WorkspaceError::EmptyName);
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '|';
    if !id.chars().all(allowed) || id.len() > MAX_NAME {
        return Err(WorkspaceError::BadName(id.to_owned()));
    }
    let root = creator.id == "root";
    if !id.contains('-') && !root {
        return Err(WorkspaceError::NoHyphen);
    }
    let personal = id.starts_with("ws-user-") && id != creator.personal_workspace();
    if RESERVED.contains(&id) || is_system(id) || (personal && !root) {
        return Err(WorkspaceError::Reserved(id.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserInfo {
        let mut user = UserInfo::anonymous(id);
        user.is_anonymous = false;
        user.roles.clear();
        user
    }

    #[test]
    fn names_of_others_and_of_the_system_are_refused() {
        let ann = user("ann");
        assert!(check_name("my-lab", &ann).is_ok());
        assert!(check_name("ws-user-ann", &ann).is_ok());
        for bad in [
            "",
            "lab",
            "My-Lab",
            "a_b-c",
            "ws-user-bob",
            "ws-anonymous",
            "public",
            "api-docs",
        ] {
            assert!(check_name(bad, &ann).is_err(), "{bad}");
        }
        assert!(check_name("lab", &UserInfo::root()).is_ok());
        assert!(check_name("public", &UserInfo::root()).is_err());
    }

    #[test]
    fn the_creator_owns_what_it_makes() {
        let config = map! { "name" => "my-lab", "owners" => vec![Value::from("bob")] };
        let info = WorkspaceInfo::from_config(&config, &user("ann")).unwrap();
        assert_eq!(info.id, "my-lab");
        assert_eq!(info.owners, ["bob", "ann"]);
        assert!(info.is_owned_by(&user("ann")) && info.is_owned_by(&user("bob")));
        assert!(!info.is_owned_by(&user("eve")));
    }

    #[test]
    fn environment_variables_stay_inside() {
        let mut info = WorkspaceInfo::new("my-lab", None, "ann");
        info.config
            .insert(ENVIRONS.into(), serde_json::json!({"KEY": "secret"}));
        assert!(!format!("{:?}", info.to_value(Value::Nil)).contains("secret"));
    }
}
