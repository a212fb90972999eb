//! Blobs as objects of an S3 bucket: `<prefix>blobs/<first two digits>/<id>`, as in the folder.
//!
//! An upload is first written to a local file, because its name is its hash; so an answer of the
//! server that is lost costs another attempt and never the bytes.

mod bucket;
mod journal;
mod upload;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::header::HttpDate;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use s3::error::S3Error;
use tokio::sync::{OnceCell, RwLock, Semaphore};

use super::folder::files_in;
use super::spool::{Spool, blocking};
use super::{
    BlobError, BlobId, BlobStat, BlobStore, Expect, Incoming, Outgoing, Presentation, Put,
};
use journal::Journal;

/// Bytes that are asked for in one request.
const SLICE: u64 = 4 * 1024 * 1024;
/// Requests for the next bytes of a download that are under way.
const AHEAD: usize = 2;
/// A blob that was put so recently need not be put again to be safe from being collected.
const RECENT: Duration = Duration::from_secs(1800);
/// Locks that blobs share by their first digits.
const STRIPES: usize = 256;
/// Parts that are uploaded at the same time, of all blobs.
const PARTS_AT_ONCE: usize = 4;
/// Longest life of a presigned address.
const MAX_EXPIRY: Duration = Duration::from_secs(604_800);

/// Where the bucket is.
#[derive(Clone)]
pub struct S3Settings {
    /// URL of the server.
    pub endpoint: String,
    /// URL of the server for clients; empty for the same.
    pub public_endpoint: String,
    /// Its region.
    pub region: String,
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
    /// Name of the bucket; it is made if need be.
    pub bucket: String,
    /// What all keys start with.
    pub prefix: String,
}

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct S3Blobs {
    inner: Arc<Inner>,
}

struct Inner {
    bucket: Box<s3::Bucket>,
    /// The same bucket as clients reach it.
    public: Box<s3::Bucket>,
    prefix: String,
    unfinished: PathBuf,
    /// Uploads in parts in the bucket.
    journal: Journal,
    counter: AtomicU64,
    /// Set once the bucket is known to exist.
    exists: OnceCell<()>,
    /// Held shared while a blob is put, and alone while one is taken away for its age.
    stripes: Vec<RwLock<()>>,
    parts: Semaphore,
}

impl S3Blobs {
    /// Blobs in this bucket; `unfinished` is a folder for uploads on their way. The server is not
    /// asked anything yet.
    ///
    /// # Errors
    /// The settings are none, or the folder cannot be made.
    pub fn open(settings: &S3Settings, unfinished: &Path) -> Result<S3Blobs, BlobError> {
        journal::clear_all_but_notes(unfinished)?;
        S3Blobs::as_it_is(settings, unfinished)
    }

    /// The bucket as it is, to look at it; what earlier uploads left stays.
    ///
    /// # Errors
    /// The settings are none, or the folder cannot be read.
    pub fn as_it_is(settings: &S3Settings, unfinished: &Path) -> Result<S3Blobs, BlobError> {
        let public = match settings.public_endpoint.as_str() {
            "" => &settings.endpoint,
            given => given,
        };
        let prefix = match settings.prefix.trim_matches('/') {
            "" => String::new(),
            given => format!("{given}/"),
        };
        Ok(S3Blobs {
            inner: Arc::new(Inner {
                bucket: bucket::of(settings, &settings.endpoint)?,
                public: bucket::of(settings, public)?,
                prefix: format!("{prefix}blobs/"),
                unfinished: unfinished.to_owned(),
                journal: Journal::open(unfinished).map_err(BlobError::io("read the uploads"))?,
                counter: AtomicU64::new(0),
                exists: OnceCell::new(),
                stripes: (0..STRIPES).map(|_| RwLock::default()).collect(),
                parts: Semaphore::new(PARTS_AT_ONCE),
            }),
        })
    }

    /// Asks the server for the bucket and makes it if need be.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn ensure_bucket(&self) -> Result<(), BlobError> {
        let bucket = &self.inner.bucket;
        let ensured = self.inner.exists.get_or_try_init(|| bucket::ensure(bucket));
        ensured.await.copied()
    }

    /// Asks the server for the bucket, and does not make it.
    ///
    /// # Errors
    /// The server does not answer, or there is no such bucket.
    pub async fn expect_bucket(&self) -> Result<(), BlobError> {
        let bucket = &self.inner.bucket;
        let expected = self.inner.exists.get_or_try_init(|| bucket::expect(bucket));
        expected.await.copied()
    }
}

impl Inner {
    fn key(&self, id: &BlobId) -> String {
        let name = id.to_string();
        format!("{}{}/{name}", self.prefix, &name[..2])
    }

    fn stripe(&self, id: &BlobId) -> &RwLock<()> {
        let number = u8::from_str_radix(&id.to_string()[..2], 16);
        &self.stripes[usize::from(number.unwrap_or(0))]
    }

    async fn slice(&self, id: BlobId, range: Range<u64>) -> Result<Bytes, BlobError> {
        let what = "read a blob";
        let got = self
            .bucket
            .get_object_range(self.key(&id), range.start, Some(range.end - 1))
            .await;
        let bytes = got.map_err(failed(what, id))?.into_bytes();
        match bytes.len() as u64 == range.end - range.start {
            true => Ok(bytes),
            false => Err(BlobError::Unavailable {
                what,
                reason: format!("{} bytes came instead of {range:?}", bytes.len()),
            }),
        }
    }
}

/// A failed request as the callers of the engine know it.
fn failed(what: &'static str, id: BlobId) -> impl Fn(S3Error) -> BlobError {
    move |error| match &error {
        S3Error::HttpFailWithBody(404, body) if !body.contains("NoSuchBucket") => {
            BlobError::Missing(id)
        }
        _ => unavailable(what)(error),
    }
}

/// A failed request that cannot mean that a blob is missing.
fn unavailable(what: &'static str) -> impl Fn(S3Error) -> BlobError {
    move |error| match &error {
        S3Error::HttpFailWithBody(507, _) => BlobError::Full,
        S3Error::HttpFailWithBody(_, body) if body.contains("StorageFull") => BlobError::Full,
        _ => BlobError::Unavailable {
            what,
            reason: error.to_string(),
        },
    }
}

#[async_trait]
impl BlobStore for S3Blobs {
    async fn put(&self, bytes: Bytes) -> Result<BlobId, BlobError> {
        let body = stream::iter([Ok(bytes)]).boxed();
        Ok(self.put_stream(body, Expect::default()).await?.id)
    }

    async fn put_stream(&self, body: Incoming, expect: Expect) -> Result<Put, BlobError> {
        let number = self.inner.counter.fetch_add(1, Ordering::Relaxed);
        let path = self.inner.unfinished.join(number.to_string());
        let spool = blocking("begin an upload", move || Spool::create(path)).await?;
        let (spool, put) = spool.fill(body, expect).await?;
        self.ensure_bucket().await?;
        let _shared = self.inner.stripe(&put.id).read().await;
        let recent = SystemTime::now() - RECENT;
        let known = self.stat(&put.id).await?;
        if known.is_none_or(|stat| stat.put_at < recent || stat.size != put.size) {
            let key = self.inner.key(&put.id);
            upload::upload(&self.inner, &key, Arc::new(spool), put.size).await?;
        }
        Ok(put)
    }

    async fn read(&self, id: &BlobId, range: Option<Range<u64>>) -> Result<Outgoing, BlobError> {
        let id = *id;
        let range = match range {
            Some(range) => range,
            None => 0..self.stat(&id).await?.ok_or(BlobError::Missing(id))?.size,
        };
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        // The first bytes are here before anything is answered: a failure can still be told.
        let first = range.start..range.end.min(range.start + SLICE);
        let begin = self.inner.slice(id, first.clone()).await?;
        let (inner, mut next) = (self.inner.clone(), first.end);
        let rest = std::iter::from_fn(move || {
            let slice = next..range.end.min(next + SLICE);
            next = slice.end;
            (!slice.is_empty()).then_some(slice)
        });
        let rest = stream::iter(rest)
            .map(move |slice| {
                let inner = inner.clone();
                async move { inner.slice(id, slice).await }
            })
            .buffered(AHEAD);
        Ok(stream::iter([Ok(begin)]).chain(rest).boxed())
    }

    async fn presigned_get(
        &self,
        id: &BlobId,
        expires: Duration,
        presentation: &Presentation,
    ) -> Result<Option<String>, BlobError> {
        let mut queries = HashMap::new();
        if let Some(kind) = &presentation.content_type {
            queries.insert("response-content-type".to_owned(), kind.clone());
        }
        if let Some(name) = &presentation.file_name {
            queries.insert(
                "response-content-disposition".to_owned(),
                format!("inline; filename*=UTF-8''{}", encoded(name)),
            );
        }
        let seconds = expires.min(MAX_EXPIRY).as_secs().max(1) as u32;
        let key = self.inner.key(id);
        let url = self.inner.public.presign_get(key, seconds, Some(queries));
        let url = url.await.map_err(unavailable("sign an address"))?;
        Ok(Some(url))
    }

    async fn stat(&self, id: &BlobId) -> Result<Option<BlobStat>, BlobError> {
        let what = "look at a blob";
        match self.inner.bucket.head_object(self.inner.key(id)).await {
            Ok((head, _)) => Ok(Some(BlobStat {
                size: head.content_length.unwrap_or(0).max(0) as u64,
                put_at: head.last_modified.as_deref().map_or(UNIX_EPOCH, date),
            })),
            // The answer to HEAD has no body that could tell what is missing; the bucket is there.
            Err(S3Error::HttpFailWithBody(404, _)) => Ok(None),
            Err(error) => Err(unavailable(what)(error)),
        }
    }

    async fn remove(&self, id: &BlobId) -> Result<bool, BlobError> {
        if self.stat(id).await?.is_none() {
            return Ok(false);
        }
        let removed = self.inner.bucket.delete_object(self.inner.key(id)).await;
        removed.map_err(unavailable("remove a blob"))?;
        Ok(true)
    }

    async fn remove_older(&self, id: &BlobId, time: SystemTime) -> Result<bool, BlobError> {
        // One that is being put stays; the next collection asks again.
        let Ok(_alone) = self.inner.stripe(id).try_write() else {
            return Ok(false);
        };
        match self.stat(id).await? {
            Some(stat) if stat.put_at < time => self.remove(id).await,
            _ => Ok(false),
        }
    }

    async fn unfinished(&self) -> Result<Vec<String>, BlobError> {
        let folder = self.inner.unfinished.clone();
        let mut names = blocking("list uploads", move || local_leftovers(&folder)).await?;
        let abandoned = self.inner.abandoned().await?;
        names.extend(abandoned.iter().map(journal::Begun::name));
        Ok(names)
    }

    async fn give_up_abandoned(&self) -> Result<usize, BlobError> {
        self.ensure_bucket().await?;
        self.inner.give_up_abandoned().await
    }

    async fn ids(&self) -> Result<Vec<BlobId>, BlobError> {
        self.ensure_bucket().await?;
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let prefix = self.inner.prefix.clone();
            let page = self.inner.bucket.list_page(prefix, None, after, None, None);
            let (page, _) = page.await.map_err(unavailable("list the blobs"))?;
            // Objects that are no blobs are not ours to touch.
            let names = page
                .contents
                .iter()
                .filter_map(|object| object.key.rsplit('/').next());
            ids.extend(names.filter_map(|name| name.parse::<BlobId>().ok()));
            after = page.next_continuation_token;
            if !page.is_truncated || after.is_none() {
                return Ok(ids);
            }
        }
    }
}

/// Local files of uploads on their way, without the notes of what is in the bucket.
fn local_leftovers(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut files = files_in(folder)?;
    files.retain(|path| !journal::is_note(Path::new(path)));
    Ok(files)
}

fn date(text: &str) -> SystemTime {
    text.parse::<HttpDate>()
        .map_or(UNIX_EPOCH, SystemTime::from)
}

fn encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}
