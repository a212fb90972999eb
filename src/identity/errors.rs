use crate::store::StoreError;

use super::ScopeError;

/// Why a token is not accepted. The texts are what clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token at all.
    #[error("Error decoding token headers.")]
    Malformed,
    /// Its signature holds, but what it signs is no set of claims.
    #[error("Error decoding token claims.")]
    Claims,
    /// It is signed in a way this server does not check.
    #[error("Tokens signed with {0:?} are not supported, only HS256")]
    Algorithm(String),
    /// Somebody else signed it, or it was changed afterwards.
    #[error("Signature verification failed.")]
    Signature,
    /// Its time is over.
    #[error("The token has expired. Please fetch a new one")]
    Expired,
    /// Its time has not come.
    #[error("The token is not yet valid (nbf)")]
    NotYetValid,
    /// The operator's own authentication refuses it, or does not answer.
    #[error("{0}")]
    Foreign(String),
    /// It is meant for another server.
    #[error("Invalid audience")]
    Audience,
    /// It comes from another authority.
    #[error("Invalid issuer")]
    Issuer,
    /// It was taken back.
    #[error("Token has been revoked")]
    Revoked,
    /// A claim is missing or has the wrong form.
    #[error("Invalid token structure: claim '{0}' is missing or malformed")]
    Claim(String),
    /// The scope claim cannot be read.
    #[error("Invalid token structure: {0}")]
    Scope(#[from] ScopeError),
    /// It was made for one narrow purpose and is used for another.
    #[error(
        "Specialized token with scopes [{}] cannot be used for general workspace access. This \
         token can only be used for its intended purpose.",
        .0.join(", ")
    )]
    Specialised(Vec<String>),
    /// It is pinned to another client.
    #[error("Client id mismatch: this token is restricted to client with client_id='{0}'")]
    ClientMismatch(String),
    /// It is for another workspace than the one asked for.
    #[error(
        "Current workspace encoded in the token ({token}) does not match the specified workspace \
         ({requested})"
    )]
    WorkspaceMismatch {
        /// The workspace in the token.
        token: String,
        /// The workspace asked for.
        requested: String,
    },
}

impl TokenError {
    /// Whether the token as such is bad. A handshake answers those with `Authentication error:`
    /// and the rest with `Failed to authenticate user:`.
    pub fn is_bad_token(&self) -> bool {
        !matches!(
            self,
            TokenError::Revoked
                | TokenError::Specialised(_)
                | TokenError::ClientMismatch(_)
                | TokenError::WorkspaceMismatch { .. }
        )
    }
}

/// Why a request about tokens or users is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IdentityError {
    /// A token was to live for no time.
    #[error("expires_in should be greater than 0")]
    Lifetime,
    /// The caller has no level in the workspace.
    #[error("You do not have any permission for workspace: {0}")]
    NoPermission(String),
    /// The caller's level is too low to make tokens.
    #[error("Only admin can generate token.")]
    OnlyAdmin,
    /// Only administrators may say whose email a token carries.
    #[error("Only callers with the 'admin' role may set TokenConfig.email")]
    EmailReserved,
    /// The email has not the form of one.
    #[error("value is not a valid email address: {0:?}")]
    Email(String),
    /// The permission has no known name.
    #[error(
        "1 validation error for TokenConfig\npermission\n  String should match pattern \
         '^(read|read_write|admin)$' [type=string_pattern_mismatch, input_value='{0}', \
         input_type=str]"
    )]
    Permission(String),
    /// A field of a map has the wrong type.
    #[error("{field} should be {expected}, not {found}")]
    Field {
        /// Where in the map.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// An element of the scope is not allowed.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The token to take back is none of ours.
    #[error("Invalid token: {0}")]
    InvalidToken(TokenError),
    /// The token to take back is dead already.
    #[error("Token has already expired")]
    AlreadyExpired,
    /// More revocations than the server remembers.
    #[error("Too many tokens are revoked; try again when some of them have expired")]
    TooManyRevoked,
    /// The root token is configuration.
    #[error("The root token cannot be revoked, change it in the server's configuration")]
    RootToken,
    /// The token to look at is not accepted.
    #[error("401: {0}")]
    Unauthorized(TokenError),
    /// The token to look at is not even the shape of one.
    #[error("401: Invalid token structure: Error decoding token claims.")]
    NoToken,
    /// The token to look at belongs to another workspace.
    #[error("403: Token is not authorized for workspace '{0}'")]
    OtherWorkspace(String),
    /// The store failed; how, is for the server's log.
    #[error("The server failed to store the revocation")]
    Store(#[from] StoreError),
    /// Signing failed.
    #[error("The server failed to sign the token")]
    Signing,
    /// The operator's own authentication made no token.
    #[error("The token could not be made: {0}")]
    Foreign(String),
}

impl IdentityError {
    /// The exception class that clients see before the text.
    pub fn class(&self) -> &'static str {
        match self {
            IdentityError::Lifetime => "AssertionError",
            IdentityError::NoPermission(_)
            | IdentityError::OnlyAdmin
            | IdentityError::EmailReserved => "PermissionError",
            IdentityError::Permission(_) => "pydantic_core._pydantic_core.ValidationError",
            IdentityError::Unauthorized(_)
            | IdentityError::NoToken
            | IdentityError::OtherWorkspace(_) => "fastapi.exceptions.HTTPException",
            IdentityError::Field { .. } => "TypeError",
            IdentityError::Store(_)
            | IdentityError::Signing
            | IdentityError::TooManyRevoked
            | IdentityError::Foreign(_) => "RuntimeError",
            IdentityError::Email(_)
            | IdentityError::Scope(_)
            | IdentityError::InvalidToken(_)
            | IdentityError::AlreadyExpired
            | IdentityError::RootToken => "ValueError",
        }
    }
}
