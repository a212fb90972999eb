//! From a local file into the bucket.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use s3::error::S3Error;
use s3::serde_types::Part;

use super::journal::Begun;
use super::{Inner, unavailable};
use crate::artifacts::blobs::BlobError;
use crate::artifacts::blobs::spool::Spool;

/// Longer blobs go in parts of at least this size.
const PART: u64 = 8 * 1024 * 1024;
/// Most parts that S3 takes.
const MAX_PARTS: u64 = 10_000;
/// Waits before further attempts.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];
const MEDIA_TYPE: &str = "application/octet-stream";
const WHAT: &str = "put a blob";

/// Puts a file. Repeating it is safe: the key is the hash of the content.
pub(super) async fn upload(
    inner: &Arc<Inner>,
    key: &str,
    spool: Arc<Spool>,
    size: u64,
) -> Result<(), BlobError> {
    if size > PART {
        return in_parts(inner, key, spool, size).await;
    }
    let bytes = spool.piece(0..size).await?;
    let _turn = inner.parts.acquire().await;
    let mut waits = AGAIN_AFTER.iter();
    loop {
        let put = inner
            .bucket
            .put_object_with_content_type(key, &bytes, MEDIA_TYPE);
        let Err(error) = put.await else {
            return Ok(());
        };
        match waits.next().filter(|_| passes(&error)) {
            Some(wait) => tokio::time::sleep(*wait).await,
            None => return Err(unavailable(WHAT)(error)),
        }
    }
}

/// Whether a failure may be over soon.
fn passes(error: &S3Error) -> bool {
    match error {
        S3Error::HttpFailWithBody(status, _) => {
            matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
        }
        S3Error::Reqwest(_) | S3Error::Io(_) => true,
        _ => false,
    }
}

async fn in_parts(
    inner: &Arc<Inner>,
    key: &str,
    spool: Arc<Spool>,
    size: u64,
) -> Result<(), BlobError> {
    // Given up also when this future is dropped, so that no parts stay in the bucket unseen.
    let mut unfinished = begin(inner, key).await?;
    let id = unfinished.id.clone();
    let length = PART.max(size.div_ceil(MAX_PARTS));
    let parts = stream::iter(0..size.div_ceil(length))
        .map(|number| {
            let (spool, id) = (spool.clone(), id.clone());
            let range = number * length..size.min((number + 1) * length);
            async move {
                let _turn = inner.parts.acquire().await;
                let bytes = spool.piece(range).await?;
                // The library tries a part again by itself.
                let number = number as u32 + 1;
                let put = inner
                    .bucket
                    .put_multipart_chunk(bytes, key, number, &id, MEDIA_TYPE);
                put.await.map_err(unavailable(WHAT))
            }
        })
        .buffered(super::PARTS_AT_ONCE)
        .try_collect::<Vec<Part>>()
        .await?;
    let completed = inner.bucket.complete_multipart_upload(key, &id, parts);
    if let Err(error) = completed.await {
        // The answer may be lost, or odd; what counts is whether the object is there.
        let head = inner.bucket.head_object(key).await;
        let there = head.is_ok_and(|(head, _)| head.content_length == i64::try_from(size).ok());
        if !there {
            return Err(unavailable(WHAT)(error));
        }
    }
    unfinished.complete = true;
    Ok(())
}

/// Begins an upload in parts, and notes it for the case of a crash.
async fn begin(inner: &Arc<Inner>, key: &str) -> Result<Unfinished, BlobError> {
    let _beginning = inner.journal.beginning().await;
    let begun = inner.bucket.initiate_multipart_upload(key, MEDIA_TYPE);
    let id = begun.await.map_err(unavailable(WHAT))?.upload_id;
    let mut unfinished = Unfinished {
        inner: inner.clone(),
        key: key.to_owned(),
        id,
        noted: None,
        complete: false,
    };
    unfinished.noted = Some(inner.journal.note(key, &unfinished.id).await?);
    Ok(unfinished)
}

/// An upload in parts that is given up when this is dropped before its end.
struct Unfinished {
    inner: Arc<Inner>,
    key: String,
    id: String,
    noted: Option<Begun>,
    complete: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let (inner, complete) = (self.inner.clone(), self.complete);
        let (key, id) = (std::mem::take(&mut self.key), std::mem::take(&mut self.id));
        let noted = self.noted.take();
        crate::supervision::spawn_detached("end an upload", async move {
            if !complete && let Err(error) = inner.bucket.abort_upload(&key, &id).await {
                tracing::warn!(key, %error, "parts of a failed upload stay for now");
                noted.map(|noted| inner.journal.leave(noted));
            } else if let Some(noted) = noted {
                inner.journal.end(&noted);
            }
        });
    }
}
