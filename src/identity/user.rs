use crate::map;
use crate::wire::{Map, Value};

use super::{EVERYWHERE, IdentityError, Level, Scope, TokenError, TokenHash};

/// Id of the root user.
pub const ROOT: &str = "root";

pub(super) const ADMIN_ROLE: &str = "admin";
const ANONYMOUS_ROLE: &str = "anonymous";
const PERSONAL: &str = "ws-user-";
const HTTP_ANONYMOUS: &str = "anonymouz-http";
const HTTP_ANONYMOUS_WORKSPACE: &str = "ws-anonymous";

/// Somebody who talks to the server, with what they may do.
#[derive(Clone, Debug, PartialEq)]
pub struct UserInfo {
    /// Unique name; the subject of the token.
    pub id: String,
    /// Roles; `admin` opens everything, `anonymous` marks who came without a token.
    pub roles: Vec<String>,
    /// Whether they came without a token.
    pub is_anonymous: bool,
    /// What they may do.
    pub scope: Scope,
    /// Their email, if known.
    pub email: Option<String>,
    /// The real user behind a generated token.
    pub parent: Option<String>,
    /// When their token ends, in seconds since 1970.
    pub expires_at: Option<f64>,
    /// The workspace they act in.
    pub current_workspace: Option<String>,
    /// The token they first came with; revoking it also ends what was derived from it to
    /// reconnect. Never sent to anybody.
    pub origin: Option<TokenHash>,
}

impl UserInfo {
    /// The user of the root token.
    pub fn root() -> UserInfo {
        let mut scope = Scope {
            current_workspace: Some(personal_workspace_of(ROOT)),
            ..Scope::default()
        };
        scope.grant(EVERYWHERE, Level::Admin);
        UserInfo {
            roles: vec![ADMIN_ROLE.to_owned()],
            scope,
            ..UserInfo::bare(ROOT)
        }
    }

    /// Somebody without a token, who may do everything in a workspace of their own.
    pub fn anonymous(id: impl Into<String>) -> UserInfo {
        let user = UserInfo {
            roles: vec![ANONYMOUS_ROLE.to_owned()],
            is_anonymous: true,
            ..UserInfo::bare(id)
        };
        UserInfo {
            scope: Scope::within(&user.personal_workspace(), Level::Admin),
            ..user
        }
    }

    /// The one user who stands for all HTTP requests without a token.
    pub fn http_anonymous() -> UserInfo {
        UserInfo {
            scope: Scope::within(HTTP_ANONYMOUS_WORKSPACE, Level::Read),
            ..UserInfo::anonymous(HTTP_ANONYMOUS)
        }
    }

    fn bare(id: impl Into<String>) -> UserInfo {
        UserInfo {
            id: id.into(),
            roles: Vec::new(),
            is_anonymous: false,
            scope: Scope::default(),
            email: None,
            parent: None,
            expires_at: None,
            current_workspace: None,
            origin: None,
        }
    }

    /// Somebody with these roles and nothing else yet.
    pub fn with_roles(id: impl Into<String>, roles: Vec<String>) -> UserInfo {
        UserInfo {
            is_anonymous: roles.iter().any(|role| role == ANONYMOUS_ROLE),
            roles,
            ..UserInfo::bare(id)
        }
    }

    /// Name of the workspace that belongs to this user alone.
    pub fn personal_workspace(&self) -> String {
        personal_workspace_of(&self.id)
    }

    /// The id that things made by this user are attributed to.
    pub fn effective_id(&self) -> &str {
        self.parent.as_deref().unwrap_or(&self.id)
    }

    /// The level in `workspace`: the stronger of its own entry and the one for all workspaces.
    pub fn level_in(&self, workspace: &str) -> Option<Level> {
        self.scope.level_in(workspace)
    }

    /// Whether the level in `workspace` is at least `needed`.
    pub fn allows(&self, workspace: &str, needed: Level) -> bool {
        self.level_in(workspace) >= Some(needed)
    }

    /// Whether the user has the role that opens everything.
    pub fn is_admin_role(&self) -> bool {
        self.roles.iter().any(|role| role == ADMIN_ROLE)
    }

    /// Whether this is the root user and not one of its children.
    pub fn is_root(&self) -> bool {
        self.id == ROOT && self.is_admin_role()
    }

    /// The user as one who is connected to, or asks something of, `workspace`: the owner gets
    /// admin there, the admin role gets it everywhere.
    pub fn acting_in(&self, workspace: &str, client_id: Option<&str>, owner: bool) -> UserInfo {
        let mut user = self.clone();
        if owner {
            user.scope.grant(workspace, Level::Admin);
        }
        if user.is_admin_role() {
            user.scope.grant(EVERYWHERE, Level::Admin);
        }
        user.scope.current_workspace = Some(workspace.to_owned());
        user.scope.client_id = client_id.map(str::to_owned);
        user
    }

    /// The scopes that tie the token to one narrow purpose.
    pub fn specialised_scopes(&self) -> Vec<&str> {
        let extra = self.scope.extra_scopes.iter().map(String::as_str);
        extra.filter(|scope| scope.contains(':')).collect()
    }

    /// Refuses a token that was made for one narrow purpose.
    pub fn check_general_use(&self) -> Result<(), TokenError> {
        let scopes = self.specialised_scopes();
        if scopes.is_empty() {
            return Ok(());
        }
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        Err(TokenError::Specialised(scopes))
    }

    /// Refuses a token that is pinned to another client.
    pub fn check_client(&self, client_id: &str) -> Result<(), TokenError> {
        match &self.scope.client_id {
            Some(pinned) if pinned != client_id => Err(TokenError::ClientMismatch(pinned.clone())),
            _ => Ok(()),
        }
    }

    /// Refuses a token that is for another workspace.
    pub fn check_workspace(&self, requested: &str) -> Result<(), TokenError> {
        match &self.scope.current_workspace {
            Some(token) if token != requested => Err(TokenError::WorkspaceMismatch {
                token: token.clone(),
                requested: requested.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// The user as clients and services see it.
    pub fn to_value(&self) -> Value {
        Value::Map(map! {
            "id" => &self.id,
            "roles" => self.roles.clone(),
            "is_anonymous" => self.is_anonymous,
            "scope" => scope_to_map(&self.scope),
            "email" => self.email.clone(),
            "parent" => self.parent.clone(),
            "expires_at" => self.expires_at,
            "current_workspace" => self.current_workspace.clone(),
        })
    }

    /// Reads what [`UserInfo::to_value`] wrote. This is for messages that the server stamped
    /// itself; nothing in it is checked against a token.
    pub fn from_value(value: &Value) -> Result<UserInfo, IdentityError> {
        let fields = as_map(value, "user")?;
        let mut user = UserInfo::with_roles(
            required(text(fields, "id")?, "id")?,
            texts(fields, "roles")?,
        );
        user.email = text(fields, "email")?;
        user.parent = text(fields, "parent")?;
        user.current_workspace = text(fields, "current_workspace")?;
        user.expires_at = match present(fields, "expires_at") {
            Some(value) => Some(
                value
                    .as_f64()
                    .ok_or_else(|| wrong("expires_at", "float", value))?,
            ),
            None => None,
        };
        if let Some(scope) = present(fields, "scope") {
            user.scope = scope_from_map(as_map(scope, "scope")?)?;
        }
        Ok(user)
    }
}

fn personal_workspace_of(id: &str) -> String {
    format!("{PERSONAL}{id}")
}

fn scope_to_map(scope: &Scope) -> Map {
    let levels = scope.workspaces.iter();
    let workspaces: Map = levels.map(|(ws, level)| (ws, level.letter())).collect();
    map! {
        "current_workspace" => scope.current_workspace.clone(),
        "workspaces" => workspaces,
        "client_id" => scope.client_id.clone(),
        "extra_scopes" => scope.extra_scopes.clone(),
    }
}

fn scope_from_map(fields: &Map) -> Result<Scope, IdentityError> {
    let mut scope = Scope {
        current_workspace: text(fields, "current_workspace")?,
        client_id: text(fields, "client_id")?,
        extra_scopes: texts(fields, "extra_scopes")?,
        ..Scope::default()
    };
    if let Some(workspaces) = present(fields, "workspaces") {
        for (workspace, level) in as_map(workspaces, "workspaces")? {
            let parsed = level.as_str().and_then(|letter| letter.parse().ok());
            let level = parsed.ok_or_else(|| wrong("workspaces", "a permission level", level))?;
            scope.grant(workspace, level);
        }
    }
    Ok(scope)
}

/// The value under `key`, where null is the same as nothing.
pub(super) fn present<'a>(fields: &'a Map, key: &str) -> Option<&'a Value> {
    fields.get(key).filter(|value| !value.is_nil())
}

/// The text under `key`, where null is the same as nothing.
pub(super) fn text(fields: &Map, key: &'static str) -> Result<Option<String>, IdentityError> {
    match present(fields, key) {
        Some(Value::Str(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong(key, "str", other)),
        None => Ok(None),
    }
}

/// The texts under `key`, where null is the same as none.
pub(super) fn texts(fields: &Map, key: &'static str) -> Result<Vec<String>, IdentityError> {
    let Some(value) = present(fields, key) else {
        return Ok(Vec::new());
    };
    let items = value.as_array().ok_or_else(|| wrong(key, "list", value))?;
    let text = |item: &Value| {
        let text = item
            .as_str()
            .ok_or_else(|| wrong(key, "a list of str", item))?;
        Ok(text.to_owned())
    };
    items.iter().map(text).collect()
}

pub(super) fn as_map<'a>(value: &'a Value, name: &'static str) -> Result<&'a Map, IdentityError> {
    value.as_map().ok_or_else(|| wrong(name, "dict", value))
}

pub(super) fn wrong(field: &'static str, expected: &'static str, found: &Value) -> IdentityError {
    IdentityError::Field {
        field,
        expected,
        found: found.type_name(),
    }
}

fn required(text: Option<String>, field: &'static str) -> Result<String, IdentityError> {
    text.ok_or_else(|| wrong(field, "str", &Value::Nil))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child() -> UserInfo {
        let mut scope = Scope::within("lab", Level::ReadWrite);
        scope.grant("ws-user-kid", Level::Admin);
        scope.client_id = Some("c1".into());
        UserInfo {
            scope,
            email: Some("a@b.org".into()),
            parent: Some("root".into()),
            expires_at: Some(1795564196.0),
            current_workspace: Some("lab".into()),
            ..UserInfo::with_roles("kid", vec!["user".into()])
        }
    }

    #[test]
    fn the_map_has_the_order_that_clients_know() {
        let value = child().to_value();
        let keys: Vec<&str> = value.as_map().unwrap().keys().collect();
        let expected = "id roles is_anonymous scope email parent expires_at current_workspace";
        assert_eq!(keys.join(" "), expected);
        let scope = value.get("scope").unwrap().as_map().unwrap();
        let keys: Vec<&str> = scope.keys().collect();
        assert_eq!(
            keys.join(" "),
            "current_workspace workspaces client_id extra_scopes"
        );
        assert_eq!(
            value.to_json().to_string(),
            r#"{"id":"kid","roles":["user"],"is_anonymous":false,"scope":{"current_workspace":"lab","workspaces":{"lab":"rw","ws-user-kid":"a"},"client_id":"c1","extra_scopes":[]},"email":"a@b.org","parent":"root","expires_at":1795564196.0,"current_workspace":"lab"}"#
        );
    }

    #[test]
    fn a_map_reads_back() {
        for user in [
            child(),
            UserInfo::root(),
            UserInfo::anonymous("anonymouz-x"),
            UserInfo::http_anonymous(),
        ] {
            assert_eq!(UserInfo::from_value(&user.to_value()).unwrap(), user);
        }
    }

    #[test]
    fn nulls_and_gaps_are_nothing() {
        let value = Value::Map(map! { "id" => "x", "scope" => Value::Nil, "email" => Value::Nil });
        let user = UserInfo::from_value(&value).unwrap();
        assert_eq!(user, UserInfo::with_roles("x", vec![]));
    }

    #[test]
    fn wrong_types_are_named() {
        let refused = |map: Map| {
            UserInfo::from_value(&Value::Map(map))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(refused(map! {}), "id should be str, not NoneType");
        assert_eq!(refused(map! { "id" => 3 }), "id should be str, not int");
        assert_eq!(
            refused(map! { "id" => "x", "roles" => vec![1] }),
            "roles should be a list of str, not int"
        );
        assert_eq!(
            refused(map! { "id" => "x", "expires_at" => "soon" }),
            "expires_at should be float, not str"
        );
        let scope = map! { "workspaces" => map! { "lab" => "all" } };
        assert_eq!(
            refused(map! { "id" => "x", "scope" => scope }),
            "workspaces should be a permission level, not str"
        );
        assert!(UserInfo::from_value(&Value::Nil).is_err());
    }

    #[test]
    fn kinds_of_users() {
        let root = UserInfo::root();
        assert!(root.is_root() && root.is_admin_role() && root.allows("any", Level::Admin));
        assert_eq!(
            root.scope.current_workspace.as_deref(),
            Some("ws-user-root")
        );
        let anonymous = UserInfo::anonymous("anonymouz-a");
        assert!(anonymous.is_anonymous && !anonymous.is_admin_role());
        assert!(anonymous.allows("ws-user-anonymouz-a", Level::Admin));
        assert!(!anonymous.allows("public", Level::Read));
        let http = UserInfo::http_anonymous();
        assert_eq!(http.level_in("ws-anonymous"), Some(Level::Read));
        assert_eq!(http.level_in("ws-user-anonymouz-http"), None);
        assert_eq!(child().effective_id(), "root");
        assert_eq!(root.effective_id(), "root");
        let other_root = UserInfo::with_roles("root", vec![]);
        assert!(!other_root.is_root());
    }

    #[test]
    fn acting_adds_what_owners_and_admins_have() {
        let user = child().acting_in("own", Some("c2"), true);
        assert_eq!(user.level_in("own"), Some(Level::Admin));
        assert_eq!(user.level_in("lab"), Some(Level::ReadWrite));
        assert_eq!(user.scope.client_id.as_deref(), Some("c2"));
        assert_eq!(user.scope.current_workspace.as_deref(), Some("own"));
        let guest = child().acting_in("other", None, false);
        assert_eq!(guest.level_in("other"), None);
        let mut admin = child();
        admin.roles.push("admin".into());
        assert!(!admin.allows("other", Level::Read));
        let admin = admin.acting_in("other", None, false);
        assert!(admin.allows("other", Level::Admin));
    }

    #[test]
    fn specialised_tokens_are_refused_for_general_use() {
        let mut user = child();
        user.scope.extra_scopes = vec!["openid".into(), "profile".into()];
        assert!(user.check_general_use().is_ok());
        user.scope.extra_scopes = ["openid", "file:download", "file:list"]
            .map(Into::into)
            .into();
        assert_eq!(user.specialised_scopes(), ["file:download", "file:list"]);
        assert_eq!(
            user.check_general_use().unwrap_err().to_string(),
            "Specialized token with scopes [file:download, file:list] cannot be used for general \
             workspace access. This token can only be used for its intended purpose."
        );
    }

    #[test]
    fn pins_are_enforced() {
        let user = child();
        assert!(user.check_client("c1").is_ok());
        assert_eq!(
            user.check_client("c2").unwrap_err().to_string(),
            "Client id mismatch: this token is restricted to client with client_id='c1'"
        );
        assert!(user.check_workspace("lab").is_ok());
        assert_eq!(
            user.check_workspace("other").unwrap_err().to_string(),
            "Current workspace encoded in the token (lab) does not match the specified workspace \
             (other)"
        );
        let free = UserInfo::with_roles("x", vec![]);
        assert!(free.check_client("any").is_ok() && free.check_workspace("any").is_ok());
    }
}
