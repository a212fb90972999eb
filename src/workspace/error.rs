//! What can be wrong with workspaces and services, with the texts clients match on.

use thiserror::Error;

use super::info::MAX_BYTES;
use super::service_id::ServiceIdError;
use crate::peer::{ErrorClass, ServiceError};
use crate::store::StoreError;

/// See the variants.
#[derive(Debug, Error)]
pub enum WorkspaceError {
    #[error("Workspace id must be provided.")]
    MissingId,
    #[error("Invalid workspace config: {0}")]
    Config(String),
    #[error("Workspace name must not be empty.")]
    EmptyName,
    #[error("Workspace name must contain at least one hyphen (e.g. my-workspace).")]
    NoHyphen,
    #[error(
        "Invalid workspace name: {0}, only lowercase letters, numbers and hyphens are allowed."
    )]
    BadName(String),
    #[error("Permission denied: the workspace name {0} is reserved")]
    Reserved(String),
    #[error("Only registered user can create workspace.")]
    AnonymousCreator,
    #[error("Workspace already exists: {0}")]
    Exists(String),
    #[error("Permission denied: user {user} cannot overwrite workspace {workspace}")]
    CannotOverwrite { user: String, workspace: String },
    #[error("User {user} has reached the limit of {limit} workspaces")]
    Quota { user: String, limit: usize },
    #[error("Workspace {0} does not exist or is not accessible")]
    NotFound(String),
    #[error("Permission denied for workspace {0}")]
    Denied(String),
    #[error("Permission denied: the workspace {0} belongs to the server and cannot be deleted")]
    System(String),
    #[error("The record of workspace {0} would be larger than {MAX_BYTES} bytes")]
    TooLarge(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WorkspaceError> for ServiceError {
    fn from(error: WorkspaceError) -> Self {
        use WorkspaceError as E;
        let text = error.to_string();
        match error {
            E::MissingId
            | E::Config(_)
            | E::EmptyName
            | E::NoHyphen
            | E::BadName(_)
            | E::TooLarge(_) => ServiceError::value(text),
            E::AnonymousCreator => ServiceError::plain(text),
            E::Exists(_) | E::Quota { .. } => ServiceError::runtime(text),
            E::Reserved(_) | E::CannotOverwrite { .. } | E::Denied(_) | E::System(_) => {
                ServiceError::permission(text)
            }
            E::NotFound(_) => ServiceError::key(text),
            E::Store(error) => store_failure(&error),
        }
    }
}

/// A failure of the store: the cause is for the log, not for the caller (rule V5).
pub fn store_failure(error: &StoreError) -> ServiceError {
    tracing::error!(%error, "the store failed");
    ServiceError::new(ErrorClass::Runtime, "the server could not store the change")
}

impl From<ServiceIdError> for ServiceError {
    fn from(error: ServiceIdError) -> Self {
        ServiceError::assertion(error.to_string())
    }
}
