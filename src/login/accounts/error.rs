//! What can be wrong about accounts; the texts are for people, some are matched by clients.

use thiserror::Error;

use crate::identity::IdentityError;
use crate::login::sessions::SessionError;
use crate::store::StoreError;

/// See the variants.
#[derive(Debug, Error)]
pub enum AccountError {
    #[error("{0}")]
    Missing(&'static str),
    #[error("That is not an email address")]
    Email,
    #[error("A name must have 1 to {0} bytes and no line breaks")]
    Name(usize),
    #[error("Password must be at least {0} characters")]
    ShortPassword(usize),
    #[error("Password must be at most {0} bytes")]
    LongPassword(usize),
    #[error("Email already registered")]
    Registered,
    #[error(
        "No pending verification for this email, or the code has expired. Please sign up again."
    )]
    NotPending,
    #[error("Incorrect code. {0} attempt(s) remaining.")]
    WrongCode(u32),
    #[error("Too many incorrect attempts. Please sign up again.")]
    NoAttempts,
    #[error("Please wait {0}s before requesting another code.")]
    TooSoon(u64),
    #[error("Failed to send the verification email")]
    Mail,
    #[error("Invalid email or password")]
    Credentials,
    #[error("Too many failed attempts. Please wait {0}s before the next one.")]
    Throttled(u64),
    #[error("The server is busy. Please try again.")]
    Busy,
    #[error("Current password required to change password")]
    CurrentPassword,
    #[error("Current password is incorrect")]
    WrongPassword,
    #[error("Permission denied: only the owner of an account may change it")]
    NotOwner,
    #[error("Permission denied for workspace {0}")]
    Workspace(String),
    /// An argument of the wrong type.
    #[error("{0}")]
    Argument(String),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("The server failed. Please try again later.")]
    Internal,
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "accounts: the store failed");
        AccountError::Internal
    }
}

impl From<IdentityError> for AccountError {
    fn from(error: IdentityError) -> Self {
        tracing::error!(%error, "accounts: no token");
        AccountError::Internal
    }
}
