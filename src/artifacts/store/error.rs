//! Failures of artifacts, with the texts clients match on.

use thiserror::Error;

use crate::artifacts::alias::AliasError;
use crate::artifacts::objects::ObjectError;
use crate::artifacts::query::QueryError;
use crate::artifacts::schema::SchemaError;
use crate::peer::{ErrorClass, ServiceError};
use crate::store::StoreError;

/// See the variants.
#[derive(Debug, Error)]
pub enum ArtifactError {
    #[error("Artifact with ID '{0}' does not exist.")]
    NotFound(String),
    /// The workspace was not named, so another one may have been meant.
    #[error(
        "Artifact with ID '{0}' does not exist. Note: When working with artifacts from other \
         workspaces, use 'workspace/alias', not just the alias."
    )]
    NotHere(String),
    #[error("Artifact with alias '{0}' already exists, use overwrite=True to replace it.")]
    Exists(String),
    #[error("File not found: '{0}' does not exist in the artifact.")]
    NoFile(String),
    #[error("Artifact must be in staging mode.")]
    NotStaged,
    #[error("User does not have permission '{operation}' on the {on}.")]
    Denied {
        operation: &'static str,
        on: &'static str,
    },
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Alias(#[from] AliasError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Files(#[from] ObjectError),
}

impl From<StoreError> for ArtifactError {
    fn from(error: StoreError) -> Self {
        ArtifactError::Files(error.into())
    }
}

impl From<ArtifactError> for ServiceError {
    fn from(error: ArtifactError) -> Self {
        let text = error.to_string();
        match error {
            ArtifactError::NotFound(_) | ArtifactError::NotHere(_) => ServiceError::key(text),
            ArtifactError::Exists(_) => ServiceError::new(ErrorClass::FileExists, text),
            ArtifactError::NoFile(_) => ServiceError::new(ErrorClass::FileNotFound, text),
            ArtifactError::NotStaged => ServiceError::assertion(text),
            ArtifactError::Denied { .. } => ServiceError::permission(text),
            ArtifactError::Query(QueryError::Assertion(_)) => ServiceError::assertion(text),
            ArtifactError::Invalid(_) | ArtifactError::Query(_) => ServiceError::value(text),
            ArtifactError::Alias(error) => error.into(),
            ArtifactError::Schema(error) => error.into(),
            ArtifactError::Files(error) => error.into(),
        }
    }
}
