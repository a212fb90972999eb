//! Bodies on their way into the storage: read no faster than they are written.

use std::future::Future;
use std::io;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::Payload;
use futures::StreamExt;
use futures::future::{Either, join, select};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::artifacts::blobs::{Expect, Incoming};
use crate::http::HttpError;
use crate::supervision::SharedClock;

/// Pieces that may wait to be written.
const WAITING: usize = 8;
/// How long a client may send nothing in the middle of a body.
const STALLED: Duration = Duration::from_secs(120);
/// How much, and for how long, is read from a client whose upload is refused, so that it gets to
/// read the answer.
const DRAINED_BYTES: usize = 64 * 1024 * 1024;
const DRAIN: Duration = Duration::from_secs(5);

/// The length that a request announces.
///
/// # Errors
/// It is no number.
pub fn expected(request: &HttpRequest) -> Result<Expect, HttpError> {
    let Some(length) = request.headers().get(CONTENT_LENGTH) else {
        return Ok(Expect::default());
    };
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    let length = length.ok_or_else(|| HttpError::Invalid("Content-Length is no number".into()))?;
    Ok(Expect {
        exactly: Some(length),
        at_most: None,
    })
}

/// The media type that a request states for its body. The one that programs send when they know
/// none says less than the file's name.
pub fn content_type(request: &HttpRequest) -> Option<String> {
    let text = request.headers().get(CONTENT_TYPE)?.to_str().ok()?.trim();
    let says_something = !text.is_empty()
        && text != "application/octet-stream"
        && text != "application/x-www-form-urlencoded";
    says_something.then(|| text.to_owned())
}

/// Hands a body to `take` as a stream that can leave this thread. When the client goes away, or is
/// silent for too long, the stream ends with an error.
pub async fn receive<T, F>(
    payload: &mut Payload,
    clock: &SharedClock,
    take: impl FnOnce(Incoming) -> F,
) -> T
where
    F: Future<Output = T>,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    let pump = async move {
        loop {
            let next = match select(payload.next(), clock.sleep(STALLED)).await {
                Either::Left((Some(next), _)) => next.map_err(io::Error::other),
                Either::Left((None, _)) => return,
                Either::Right(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            let failed = next.is_err();
            if sender.send(next).await.is_err() || failed {
                return;
            }
        }
    };
    let (_, taken) = join(pump, take(ReceiverStream::new(receiver).boxed())).await;
    taken
}

/// Reads on for a while what nobody wants.
pub async fn drain(payload: &mut Payload, clock: &SharedClock) {
    let mut left = DRAINED_BYTES;
    let read = async {
        while let Some(Ok(piece)) = payload.next().await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    select(Box::pin(read), clock.sleep(DRAIN)).await;
}
