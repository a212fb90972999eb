//! Files and datasets that users keep on the server.

pub mod blobs;
pub mod permissions;
pub mod query;

pub use blobs::{BlobError, BlobId, BlobStore, FolderBlobs};
