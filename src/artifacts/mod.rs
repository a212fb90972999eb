//! Files and datasets that users keep on the server.

pub mod blobs;
pub mod objects;
pub mod permissions;

pub use blobs::{BlobError, BlobId, BlobStore, FolderBlobs};
