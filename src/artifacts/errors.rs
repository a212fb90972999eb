//! Failures of files as clients of services see them.

use super::alias::AliasError;
use super::blobs::BlobError;
use super::objects::ObjectError;
use super::schema::SchemaError;
use super::transfer::LandError;
use crate::peer::{ErrorClass, ServiceError};
use crate::store::StoreError;

impl From<ObjectError> for ServiceError {
    fn from(error: ObjectError) -> Self {
        let text = error.to_string();
        match error {
            ObjectError::Missing(_) => ServiceError::new(ErrorClass::FileNotFound, text),
            ObjectError::NoUpload | ObjectError::Parts(_) | ObjectError::Path(_) => {
                ServiceError::value(text)
            }
            ObjectError::Blob(BlobError::Full) | ObjectError::Store(StoreError::Full) => {
                ServiceError::new(ErrorClass::Full, text)
            }
            ObjectError::Blob(BlobError::Length(_) | BlobError::Broken(_)) => {
                ServiceError::runtime(text)
            }
            ObjectError::Blob(BlobError::Unavailable { .. }) => {
                tracing::error!(error = text, "the file storage does not work");
                let text = "the file storage is not available, try again later";
                ServiceError::new(ErrorClass::Busy, text)
            }
            ObjectError::Blob(BlobError::Missing(_) | BlobError::Io { .. })
            | ObjectError::Store(_)
            | ObjectError::Interrupted(_) => {
                tracing::error!(error = text, "the file storage failed");
                ServiceError::runtime("the server could not read or store the file")
            }
        }
    }
}

impl From<LandError> for ServiceError {
    fn from(error: LandError) -> Self {
        match error {
            LandError::Failed(error) => error.into(),
            closed => ServiceError::value(closed.to_string()),
        }
    }
}

impl From<AliasError> for ServiceError {
    fn from(error: AliasError) -> Self {
        match error {
            AliasError::NoneFree => ServiceError::runtime(error.to_string()),
            impossible => ServiceError::value(impossible.to_string()),
        }
    }
}

impl From<SchemaError> for ServiceError {
    fn from(error: SchemaError) -> Self {
        ServiceError::value(error.to_string())
    }
}
