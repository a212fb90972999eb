use crate::artifacts::blobs::BlobError;
use crate::store::StoreError;

/// What can go wrong with objects.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no object of this name.
    #[error("File '{0}' does not exist.")]
    Missing(String),
    /// The upload in parts is unknown: never begun, over, or too old.
    #[error("Upload session expired or not found")]
    NoUpload,
    /// The parts that are to make up a file are not the ones that came.
    #[error("{0}")]
    Parts(String),
    /// The path of a file cannot be one.
    #[error("{0}")]
    Path(&'static str),
    /// The contents failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The names failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of the server ended before its work was done.
    #[error("the work was interrupted: {0}")]
    Interrupted(String),
}
