//! Contents of files, kept under the hash of their bytes.
//!
//! A blob never changes, so that an overwritten or copied file is only a change of references,
//! which live in the store. A blob is put first and referenced afterwards: a crash in between
//! leaves an unreferenced blob, which a later sweep removes, and never a reference to nothing.

mod folder;
mod id;
mod s3;
mod spool;

use std::io;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use futures::stream::BoxStream;

pub use folder::FolderBlobs;
pub use id::{BlobId, BlobIdError};
pub use s3::{S3Blobs, S3Settings};
pub(crate) use spool::hex;

/// Bytes on their way in. An error in it ends the upload, and nothing of it stays.
pub type Incoming = BoxStream<'static, io::Result<Bytes>>;

/// Bytes on their way out, in pieces of bounded size.
pub type Outgoing = BoxStream<'static, Result<Bytes, BlobError>>;

/// What can go wrong with blobs.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no blob of this id.
    #[error("blob {0} does not exist")]
    Missing(BlobId),
    /// There is no room for more.
    #[error("the storage is full")]
    Full,
    /// More or fewer bytes came than were announced or are allowed.
    #[error("{0}")]
    Length(LengthError),
    /// The bytes stopped coming, usually because the client went away.
    #[error("the upload broke off: {0}")]
    Broken(io::Error),
    /// The storage elsewhere does not answer, or not as it should. What was stored is not lost.
    #[error("the storage is not available: {what}: {reason}")]
    Unavailable {
        /// What was being done.
        what: &'static str,
        /// For the log; may name addresses.
        reason: String,
    },
    /// The engine failed, usually because the disk or the network did.
    #[error("blob storage failure: {what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl BlobError {
    /// A failure of the local disk.
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> BlobError {
        move |source| match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => BlobError::Full,
            _ => BlobError::Io { what, source },
        }
    }
}

/// How many bytes came, against how many were expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// The announced length was wrong.
    #[error("{got} bytes came, {announced} were announced")]
    Differs {
        /// Bytes that came.
        got: u64,
        /// Bytes that were announced.
        announced: u64,
    },
    /// More than what is allowed.
    #[error("more than {0} bytes")]
    TooLong(u64),
}

/// How many bytes an upload may have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expect {
    /// The announced length: other lengths are refused.
    pub exactly: Option<u64>,
    /// The most that is taken.
    pub at_most: Option<u64>,
}

/// A blob that was put from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Its id.
    pub id: BlobId,
    /// Its length in bytes.
    pub size: u64,
    /// MD5 of its bytes, 32 hexadecimal digits: what S3 clients expect as ETag.
    pub md5: String,
}

/// How a file that is fetched from the storage directly introduces itself.
#[derive(Clone, Debug, Default)]
pub struct Presentation {
    /// Its media type.
    pub content_type: Option<String>,
    /// Name under which browsers save it.
    pub file_name: Option<String>,
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

    /// Keeps what a stream brings. The bytes go to disk and never as a whole into memory; when the
    /// stream fails, or the future is dropped, nothing of it stays.
    async fn put_stream(&self, body: Incoming, expect: Expect) -> Result<Put, BlobError>;

    /// The bytes of a blob, or of a part of it, which must lie within.
    ///
    /// A blob that is opened stays readable to its end, also when it is removed meanwhile, as far
    /// as the engine can hold it.
    async fn read(&self, id: &BlobId, range: Option<Range<u64>>) -> Result<Outgoing, BlobError>;

    /// The bytes of a blob that is known to be small.
    async fn get(&self, id: &BlobId) -> Result<Bytes, BlobError> {
        let mut pieces = self.read(id, None).await?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = pieces.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    /// An address from which anybody can fetch a blob for a while without passing this server;
    /// none when the engine has no such thing.
    async fn presigned_get(
        &self,
        id: &BlobId,
        expires: Duration,
        presentation: &Presentation,
    ) -> Result<Option<String>, BlobError>;

    /// Size and age of a blob, if it exists.
    async fn stat(&self, id: &BlobId) -> Result<Option<BlobStat>, BlobError>;

    /// Takes a blob away; true when it was there.
    async fn remove(&self, id: &BlobId) -> Result<bool, BlobError>;

    /// Takes a blob away if it was put before `time`; true when it is gone by this. A blob that is
    /// put at the same time stays.
    async fn remove_older(&self, id: &BlobId, time: SystemTime) -> Result<bool, BlobError>;

    /// The ids of all blobs, in no particular order.
    async fn ids(&self) -> Result<Vec<BlobId>, BlobError>;

    /// Names of what uploads left that broke off.
    async fn unfinished(&self) -> Result<Vec<String>, BlobError>;

    /// Takes away what uploads of an earlier run left in the storage; how many there were. Those
    /// that are under way stay.
    async fn give_up_abandoned(&self) -> Result<usize, BlobError> {
        Ok(0)
    }

    /// Whether a blob exists.
    async fn exists(&self, id: &BlobId) -> Result<bool, BlobError> {
        Ok(self.stat(id).await?.is_some())
    }
}

#[cfg(test)]
mod tests;
