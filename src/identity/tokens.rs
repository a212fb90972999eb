use rand::RngCore;
use serde_json::{Map, Value, json};

use super::authority::Trusted;
use super::jwt::Key;
use super::revocations::bare;
use super::{
    IdentityError, Level, Revocations, RootToken, RootTokenError, Scope, TokenError, TokenHash,
    UnixTime, UserInfo, readable_id,
};
use crate::store::StoreError;

const ISSUER: &str = "https://amun.ai/";
const AUDIENCE: &str = "https://amun-ai.eu.auth0.com/api/v2/";
const NAMESPACE: &str = "https://amun.ai/";
const GRANT: &str = "client-credentials";

const RECONNECTION_LIFETIME: f64 = 172_800.0;
const ANONYMOUS_LIFETIME: f64 = 600.0;
const ANONYMOUS_PREFIX: &str = "anonymouz-";

/// How tokens are made and recognised.
#[derive(Clone)]
pub struct TokensConfig {
    /// The signing secret; without one a random secret lives as long as the process.
    pub secret: Option<String>,
    /// The token of the root user; without one there is no such user.
    pub root_token: Option<String>,
    /// Who issues our tokens.
    pub issuer: String,
    /// Whom they are for.
    pub audience: String,
    /// Prefix of the claims that are not in the standard.
    pub namespace: String,
    /// How long a lost connection may be taken up again, in seconds.
    pub reconnection_lifetime: f64,
}

impl Default for TokensConfig {
    fn default() -> Self {
        TokensConfig {
            secret: None,
            root_token: None,
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            namespace: NAMESPACE.to_owned(),
            reconnection_lifetime: RECONNECTION_LIFETIME,
        }
    }
}

/// The authority for tokens: makes, reads and takes back.
pub struct Tokens {
    key: Key,
    root: Option<RootToken>,
    issuer: String,
    audience: String,
    claims: ClaimNames,
    reconnection_lifetime: f64,
    revocations: Revocations,
    now: UnixTime,
    pub(super) trusted: Trusted,
}

struct ClaimNames {
    roles: String,
    email: String,
    parent: String,
    origin: String,
}

impl ClaimNames {
    fn under(namespace: &str) -> ClaimNames {
        let name = |name: &str| format!("{namespace}{name}");
        ClaimNames {
            roles: name("roles"),
            email: name("email"),
            parent: name("parent"),
            origin: name("origin"),
        }
    }
}

impl Tokens {
    /// An authority with this configuration; refuses a weak root token.
    pub fn new(
        config: TokensConfig,
        revocations: Revocations,
        now: UnixTime,
    ) -> Result<Tokens, RootTokenError> {
        let root = config.root_token.as_deref().map(RootToken::new);
        let secret = config.secret.filter(|secret| !secret.is_empty());
        Ok(Tokens {
            key: Key::new(&secret.map_or_else(random_secret, String::into_bytes)),
            root: root.transpose()?,
            claims: ClaimNames::under(&config.namespace),
            issuer: config.issuer,
            audience: config.audience,
            reconnection_lifetime: config.reconnection_lifetime,
            revocations,
            now,
            trusted: Trusted::default(),
        })
    }

    /// The user behind a token, which may come with `Bearer` in front.
    pub fn parse(&self, token: &str) -> Result<UserInfo, TokenError> {
        let token = bare(token);
        if self.is_root(token) {
            return Ok(UserInfo::root());
        }
        let user = self.verify(token)?;
        if self.revocations.contains(&TokenHash::of(token)) || self.is_revoked(&user) {
            return Err(TokenError::Revoked);
        }
        Ok(user)
    }

    /// Whether the token that a user first came with was taken back since.
    pub fn is_revoked(&self, user: &UserInfo) -> bool {
        let origin = user.origin.as_ref();
        origin.is_some_and(|hash| self.revocations.contains(hash))
    }

    /// Forgets revocations of tokens that are refused for their age by now; returns how many.
    pub fn sweep(&self) -> Result<usize, StoreError> {
        self.revocations.sweep(self.now())
    }

    /// What the manager tells about a token: as [`Tokens::parse`], for callers in `workspace`
    /// only.
    pub fn inspect(&self, token: &str, workspace: &str) -> Result<UserInfo, IdentityError> {
        let user = self.parse(token).map_err(|error| match error {
            TokenError::Malformed => IdentityError::NoToken,
            other => IdentityError::Unauthorized(other),
        })?;
        match user.check_workspace(workspace) {
            Ok(()) => Ok(user),
            Err(_) => Err(IdentityError::OtherWorkspace(workspace.to_owned())),
        }
    }

    /// A token for `user` with `scope` that lives `expires_in` seconds.
    pub fn issue(
        &self,
        user: &UserInfo,
        scope: &Scope,
        expires_in: f64,
    ) -> Result<String, IdentityError> {
        self.key.seal(&self.claims_of(user, scope, expires_in)?)
    }

    /// A token to take up the connection of `client_id` in `workspace` again. It dies with the
    /// token that the user first came with, if that is revoked.
    pub fn reconnection(
        &self,
        user: &UserInfo,
        workspace: &str,
        client_id: &str,
    ) -> Result<String, IdentityError> {
        let scope = Scope {
            current_workspace: Some(workspace.to_owned()),
            client_id: Some(client_id.to_owned()),
            ..user.scope.clone()
        };
        let mut claims = self.claims_of(user, &scope, self.reconnection_lifetime)?;
        if let Some(origin) = &user.origin {
            claims.insert(self.claims.origin.clone(), json!(origin.as_str()));
        }
        self.key.seal(&claims)
    }

    /// How long a reconnection token lives, in seconds.
    pub fn reconnection_lifetime(&self) -> f64 {
        self.reconnection_lifetime
    }

    /// A new user without a token.
    pub fn anonymous_user(&self) -> UserInfo {
        UserInfo {
            expires_at: Some((self.now)().floor() + ANONYMOUS_LIFETIME),
            ..UserInfo::anonymous(format!("{ANONYMOUS_PREFIX}{}", readable_id()))
        }
    }

    /// Takes a token back. The answer is the hash that connections opened with it carry in their
    /// user's `origin`. The revocation is on disk after the store's next flush.
    pub fn revoke(&self, token: &str) -> Result<TokenHash, IdentityError> {
        let token = bare(token);
        if self.is_root(token) {
            return Err(IdentityError::RootToken);
        }
        let user = self.verify(token).map_err(|error| match error {
            TokenError::Expired => IdentityError::AlreadyExpired,
            other => IdentityError::InvalidToken(other),
        })?;
        // Reconnection tokens made from it may outlive it.
        let derived = (self.now)() + self.reconnection_lifetime;
        let until = user.expires_at.unwrap_or(derived).max(derived);
        let hash = TokenHash::of(token);
        if self.revocations.is_full() {
            return Err(IdentityError::TooManyRevoked);
        }
        self.revocations.add(&hash, until)?;
        Ok(hash)
    }

    pub(super) fn now(&self) -> f64 {
        (self.now)()
    }

    fn is_root(&self, token: &str) -> bool {
        self.root.as_ref().is_some_and(|root| root.matches(token))
    }

    fn claims_of(
        &self,
        user: &UserInfo,
        scope: &Scope,
        expires_in: f64,
    ) -> Result<Map<String, Value>, IdentityError> {
        let issued = self.now().floor();
        let mut claims = Map::new();
        let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        claim("iss", json!(self.issuer));
        claim("sub", json!(user.id));
        claim("aud", json!(self.audience));
        claim("iat", json!(issued as i64));
        claim("exp", json!((issued + expires_in.ceil()) as i64));
        claim("scope", json!(scope.to_claim()?));
        claim("gty", json!(GRANT));
        claim(&self.claims.roles, json!(user.roles));
        claim(&self.claims.email, json!(user.email));
        if let Some(parent) = &user.parent {
            claim(&self.claims.parent, json!(parent));
        }
        Ok(claims)
    }

    /// Everything but the revocation.
    fn verify(&self, token: &str) -> Result<UserInfo, TokenError> {
        let claims = self.key.open(token)?;
        let expires_at = self.check_time(&claims)?;
        if !names(claims.get("aud"), &self.audience) {
            return Err(TokenError::Audience);
        }
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(TokenError::Issuer);
        }
        let mut user = self.user_of(&claims)?;
        user.expires_at = Some(expires_at);
        if user.origin.is_none() {
            user.origin = Some(TokenHash::of(token));
        }
        Ok(user)
    }

    fn check_time(&self, claims: &Map<String, Value>) -> Result<f64, TokenError> {
        let now = self.now();
        let seconds = |name: &str| match claims.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| malformed(name)),
        };
        let expires_at = seconds("exp")?.ok_or_else(|| malformed("exp"))?;
        if now >= expires_at {
            return Err(TokenError::Expired);
        }
        match seconds("nbf")? {
            Some(start) if now < start => Err(TokenError::NotYetValid),
            _ => Ok(expires_at),
        }
    }

    fn user_of(&self, claims: &Map<String, Value>) -> Result<UserInfo, TokenError> {
        let id = text(claims, "sub")?.filter(|id| is_user_id(id));
        let id = id.ok_or_else(|| malformed("sub"))?;
        let mut user = UserInfo::with_roles(id, texts(claims, &self.claims.roles)?);
        user.scope = Scope::parse(&text(claims, "scope")?.unwrap_or_default())?;
        user.scope.grant(&user.personal_workspace(), Level::Admin);
        user.email = text(claims, &self.claims.email)?.filter(|email| !email.is_empty());
        user.parent = text(claims, &self.claims.parent)?;
        user.current_workspace = user.scope.current_workspace.clone();
        let origin = text(claims, &self.claims.origin)?;
        user.origin = origin.map(|hash| TokenHash::from_text(&hash));
        Ok(user)
    }
}

/// A user id becomes part of a workspace name, so it must not read as anything else there.
pub(crate) fn is_user_id(id: &str) -> bool {
    let breaks = |c: char| c.is_whitespace() || c.is_control() || "/#*:".contains(c);
    !id.is_empty() && !id.contains(breaks)
}

/// Whether a claim that may be a text or a list of texts names `wanted`.
fn names(claim: Option<&Value>, wanted: &str) -> bool {
    match claim {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Array(items)) => items.iter().any(|item| item.as_str() == Some(wanted)),
        _ => false,
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, TokenError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(malformed(name)),
    }
}

fn texts(claims: &Map<String, Value>, name: &str) -> Result<Vec<String>, TokenError> {
    let text = |item: &Value| item.as_str().map(str::to_owned);
    let all = match claims.get(name) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(text).collect(),
        Some(_) => None,
    };
    all.ok_or_else(|| malformed(name))
}

fn malformed(claim: &str) -> TokenError {
    TokenError::Claim(claim.to_owned())
}

fn random_secret() -> Vec<u8> {
    tracing::warn!("no token secret is configured: all tokens become invalid at the next start");
    let mut secret = vec![0; 32];
    rand::rng().fill_bytes(&mut secret);
    secret
}
