//! Files and datasets that users keep on the server.

pub mod alias;
pub mod blobs;
pub mod doctor;
mod errors;
mod keeper;
pub mod objects;
pub mod permissions;
pub mod query;
pub mod schema;
pub mod service;
pub mod storage;
pub mod store;
pub mod transfer;
pub mod zip;

pub use blobs::{BlobError, BlobId, BlobStore, FolderBlobs, S3Blobs, S3Settings};
pub use keeper::KeeperActor;
pub use objects::Objects;
pub use store::ArtifactStore;
pub use transfer::Transfer;
