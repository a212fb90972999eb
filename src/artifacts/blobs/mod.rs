//! Contents of files, kept under the hash of their bytes.
//!
//! A blob never changes, so that an overwritten or copied file is only a change of references,
//! which live in the store. A blob is put first and referenced afterwards: a crash in between
//! leaves an unreferenced blob, which a later sweep removes, and never a reference to nothing.

mod folder;
mod id;

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

pub use folder::FolderBlobs;
pub use id::{BlobId, BlobIdError};

/// What can go wrong with blobs.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no blob of this id.
    #[error("blob {0} does not exist")]
    Missing(BlobId),
    /// The engine failed, usually because the disk or the network did.
    #[error("blob storage failure: {what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What is known of a blob without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobStat {
    /// Its length in bytes.
    pub size: u64,
    /// When it was last put. A sweep of unreferenced blobs leaves young ones alone, because their
    /// reference may be on its way.
    pub put_at: SystemTime,
}

/// An engine that keeps blobs.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Keeps `bytes` for good and returns their id. Putting the same bytes again is no error.
    async fn put(&self, bytes: Bytes) -> Result<BlobId, BlobError>;

    /// The bytes of a blob.
    async fn get(&self, id: &BlobId) -> Result<Bytes, BlobError>;

    /// Size and age of a blob, if it exists.
    async fn stat(&self, id: &BlobId) -> Result<Option<BlobStat>, BlobError>;

    /// Takes a blob away; true when it was there.
    async fn remove(&self, id: &BlobId) -> Result<bool, BlobError>;

    /// The ids of all blobs, in no particular order.
    async fn ids(&self) -> Result<Vec<BlobId>, BlobError>;

    /// Whether a blob exists.
    async fn exists(&self, id: &BlobId) -> Result<bool, BlobError> {
        Ok(self.stat(id).await?.is_some())
    }
}
