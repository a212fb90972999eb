//! Failures of the app store, with the texts clients match on.

use thiserror::Error;

use crate::artifacts::BlobError;
use crate::peer::{ErrorClass, ServiceError};
use crate::store::StoreError;

/// See the variants.
#[derive(Debug, Clone, Error)]
pub enum AppStoreError {
    #[error("Artifact with ID '{0}' does not exist.")]
    NotFound(String),
    #[error("Artifact with alias '{0}' already exists, use overwrite=True to replace it.")]
    Exists(String),
    #[error("Version '{version}' of artifact '{app}' does not exist.")]
    NoVersion { app: String, version: String },
    #[error("File '{0}' does not exist in the artifact.")]
    NoFile(String),
    #[error("Artifact must be in staging mode.")]
    NotStaged,
    #[error("Invalid version label '{0}'")]
    BadLabel(String),
    #[error("There is no version of '{0}' to go back to.")]
    NothingBefore(String),
    #[error("Artifact with ID '{0}' is not a collection, or does not exist.")]
    NoCollection(String),
    /// An edit that would leave a manifest nobody could start.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for AppStoreError {
    fn from(error: StoreError) -> Self {
        AppStoreError::Failed(error.to_string())
    }
}

impl From<BlobError> for AppStoreError {
    fn from(error: BlobError) -> Self {
        AppStoreError::Failed(error.to_string())
    }
}

impl From<AppStoreError> for ServiceError {
    fn from(error: AppStoreError) -> Self {
        let text = error.to_string();
        match error {
            AppStoreError::NotFound(_) | AppStoreError::NoCollection(_) => ServiceError::key(text),
            AppStoreError::Exists(_) => ServiceError::new(ErrorClass::FileExists, text),
            AppStoreError::NoVersion { .. }
            | AppStoreError::BadLabel(_)
            | AppStoreError::NothingBefore(_)
            | AppStoreError::Refused(_) => ServiceError::value(text),
            AppStoreError::NoFile(_) => ServiceError::new(ErrorClass::FileNotFound, text),
            AppStoreError::NotStaged => ServiceError::assertion(text),
            AppStoreError::Failed(cause) => {
                tracing::error!(cause, "the app store failed");
                ServiceError::runtime("the server could not read or store the app")
            }
        }
    }
}
