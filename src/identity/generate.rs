use crate::wire::{Map, Value};

use super::user::{as_map, present, text, texts, wrong};
use super::{
    EVERYWHERE, IdentityError, Level, Scope, ScopeError, Tokens, UserInfo, is_client_id,
    is_extra_scope, readable_id,
};

const DEFAULT_LIFETIME: f64 = 3600.0;
const YEAR: f64 = 365.0 * 86_400.0;
/// Keeps dates within what clients can represent: the year 9999 and a bit less.
const FOREVER: f64 = 7900.0 * YEAR;

/// What a caller wants of a new token.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRequest {
    /// Seconds to live.
    pub expires_in: f64,
    /// The workspace it is for; the caller's own if not given.
    pub workspace: Option<String>,
    /// The level there; never more than the caller has.
    pub permission: Level,
    /// Words that narrow the purpose.
    pub extra_scopes: Vec<String>,
    /// The only client that may use it.
    pub client_id: Option<String>,
    /// Whose email it carries.
    pub email: Option<String>,
}

impl Default for TokenRequest {
    fn default() -> Self {
        TokenRequest {
            expires_in: DEFAULT_LIFETIME,
            workspace: None,
            permission: Level::ReadWrite,
            extra_scopes: Vec::new(),
            client_id: None,
            email: None,
        }
    }
}

impl TokenRequest {
    /// Reads the argument of a call; nothing at all means the defaults.
    pub fn from_value(value: &Value) -> Result<TokenRequest, IdentityError> {
        if value.is_nil() {
            return Ok(TokenRequest::default());
        }
        let fields = as_map(value, "config")?;
        Ok(TokenRequest {
            expires_in: lifetime(fields)?,
            workspace: text(fields, "workspace")?,
            permission: permission(fields)?,
            extra_scopes: texts(fields, "extra_scopes")?,
            client_id: text(fields, "client_id")?,
            email: text(fields, "email")?,
        })
    }

    /// The workspace it is for, for a caller in `current`.
    pub fn workspace_or<'a>(&'a self, current: &'a str) -> &'a str {
        self.workspace.as_deref().unwrap_or(current)
    }
}

fn lifetime(fields: &Map) -> Result<f64, IdentityError> {
    match present(fields, "expires_in") {
        Some(value) => value
            .as_f64()
            .ok_or_else(|| wrong("expires_in", "float", value)),
        None => Ok(DEFAULT_LIFETIME),
    }
}

fn permission(fields: &Map) -> Result<Level, IdentityError> {
    match text(fields, "permission")? {
        Some(name) => Level::from_name(&name).ok_or(IdentityError::Permission(name)),
        None => Ok(Level::ReadWrite),
    }
}

/// Whether `caller` may make tokens for `workspace`, which they own or not.
pub fn check_may_generate(
    caller: &UserInfo,
    workspace: &str,
    owner: bool,
) -> Result<(), IdentityError> {
    if owner {
        return Ok(());
    }
    match caller.level_in(workspace) {
        Some(Level::Admin) => Ok(()),
        Some(_) => Err(IdentityError::OnlyAdmin),
        None => Err(IdentityError::NoPermission(workspace.to_owned())),
    }
}

impl Tokens {
    /// A token for a new child of `caller`, who acts in `workspace`.
    ///
    /// Whether the caller may make tokens at all is asked before, see [`check_may_generate`]. The
    /// child gets what is asked for as far as the caller has it, never the admin role, and
    /// everywhere only from root.
    pub fn generate(
        &self,
        caller: &UserInfo,
        workspace: &str,
        request: TokenRequest,
    ) -> Result<String, IdentityError> {
        let NewToken {
            user,
            scope,
            expires_in,
        } = new_token(caller, workspace, request)?;
        self.issue(&user, &scope, expires_in)
    }
}

/// What a token is to say.
pub(super) struct NewToken {
    pub user: UserInfo,
    pub scope: Scope,
    /// Seconds.
    pub expires_in: f64,
}

/// Decides what a child of `caller`, who acts in `workspace`, gets.
pub(super) fn new_token(
    caller: &UserInfo,
    workspace: &str,
    request: TokenRequest,
) -> Result<NewToken, IdentityError> {
    let expires_in = capped(request.expires_in, caller)?;
    check_email(request.email.as_deref(), caller)?;
    let target = request.workspace_or(workspace).to_owned();
    let scope = child_scope(caller, &target, &request)?;
    Ok(NewToken {
        user: child_of(caller, request.email),
        scope,
        expires_in,
    })
}

fn capped(expires_in: f64, caller: &UserInfo) -> Result<f64, IdentityError> {
    if expires_in.is_nan() || expires_in <= 0.0 {
        return Err(IdentityError::Lifetime);
    }
    let most = if caller.is_root() { FOREVER } else { YEAR };
    Ok(expires_in.min(most))
}

fn check_email(email: Option<&str>, caller: &UserInfo) -> Result<(), IdentityError> {
    match email {
        Some(_) if !caller.is_admin_role() => Err(IdentityError::EmailReserved),
        Some(email) if !is_email(email) => Err(IdentityError::Email(email.to_owned())),
        _ => Ok(()),
    }
}

fn is_email(text: &str) -> bool {
    let Some((name, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let breaks = |c: char| c.is_whitespace() || c.is_control() || c == '@';
    let in_domain = |c: char| c.is_alphanumeric() || c == '-';
    !name.is_empty()
        && !name.contains(breaks)
        && domain.contains('.')
        && domain
            .split('.')
            .all(|label| !label.is_empty() && label.chars().all(in_domain))
}

fn child_scope(
    caller: &UserInfo,
    target: &str,
    request: &TokenRequest,
) -> Result<Scope, IdentityError> {
    let everywhere = target == EVERYWHERE;
    let held = caller
        .level_in(target)
        .filter(|_| !everywhere || caller.is_root())
        .ok_or_else(|| IdentityError::NoPermission(target.to_owned()))?;
    let strange = request
        .extra_scopes
        .iter()
        .find(|text| !is_extra_scope(text));
    if let Some(strange) = strange {
        return Err(ScopeError::Extra(strange.clone()).into());
    }
    let strange = request.client_id.iter().find(|id| !is_client_id(id));
    if let Some(strange) = strange {
        return Err(ScopeError::ClientId(strange.clone()).into());
    }
    Ok(Scope {
        current_workspace: (!everywhere).then(|| target.to_owned()),
        workspaces: vec![(target.to_owned(), held.min(request.permission))],
        client_id: request.client_id.clone(),
        extra_scopes: request.extra_scopes.clone(),
    })
}

fn child_of(caller: &UserInfo, email: Option<String>) -> UserInfo {
    let mut roles = caller.roles.clone();
    roles.retain(|role| role != super::user::ADMIN_ROLE);
    UserInfo {
        email: email.or_else(|| caller.email.clone()),
        parent: Some(caller.effective_id().to_owned()),
        ..UserInfo::with_roles(readable_id(), roles)
    }
}
