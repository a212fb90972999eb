//! The body of a request: read whole with a limit, or handed on piece by piece.

use std::time::Duration;

use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::super::HttpError;
use crate::node::Node;
use crate::supervision::SharedClock;

/// Longest body that a function gets, in bytes.
const MAX_WHOLE: usize = 64 * 1024 * 1024;
/// Pieces on their way between the socket and the service.
const PIECES: usize = 8;
/// Pieces are joined up to this size, so that a call carries more than one packet. With the rest
/// of its message it fits one frame to the service; longer messages take several round trips.
const MOST_JOINED: usize = 240 * 1024;

/// Reads all of a body.
///
/// # Errors
/// It is too long, or the caller broke off or does not go on.
pub async fn whole(mut payload: Payload, node: &Node) -> Result<Bytes, HttpError> {
    let mut body = BytesMut::new();
    let within = patience(node);
    while let Some(piece) = next(&mut payload, &node.clock, within)
        .await
        .map_err(HttpError::Invalid)?
    {
        if body.len() + piece.len() > MAX_WHOLE {
            return Err(HttpError::TooLarge(format!(
                "The request body is longer than {MAX_WHOLE} bytes"
            )));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// How long a caller may pause within its request; 0 in the configuration: for ever.
fn patience(node: &Node) -> Option<Duration> {
    let within = node.config.limits.http_stalled_after;
    Duration::try_from_secs_f64(within)
        .ok()
        .filter(|within| !within.is_zero())
}

/// The next piece that arrives, or why none does.
async fn next(
    payload: &mut Payload,
    clock: &SharedClock,
    within: Option<Duration>,
) -> Result<Option<Bytes>, String> {
    let late = async {
        match within {
            Some(within) => clock.sleep(within).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        piece = payload.next() => piece.transpose().map_err(|error| error.to_string()),
        () = late => Err("The request body does not go on".into()),
    }
}

/// The pieces of a body. The socket is read no faster than they are taken.
pub struct Pieces {
    from_socket: mpsc::Receiver<Result<Bytes, BrokenOff>>,
    /// A piece that did not fit into the last one.
    held: Option<Result<Bytes, BrokenOff>>,
}

/// The caller left in the middle of its body.
#[derive(Debug)]
pub struct BrokenOff;

/// Starts to read a body.
pub fn pieces(mut payload: Payload, node: &Node) -> Pieces {
    let (to_service, from_socket) = mpsc::channel(PIECES);
    let (clock, within) = (node.clock.clone(), patience(node));
    actix_web::rt::spawn(async move {
        while let Some(piece) = next(&mut payload, &clock, within).await.transpose() {
            let piece = piece.map_err(|_| BrokenOff);
            let broken = piece.is_err();
            if to_service.send(piece).await.is_err() || broken {
                break;
            }
        }
    });
    Pieces {
        from_socket,
        held: None,
    }
}

impl Pieces {
    /// The next piece; None when the body is over.
    ///
    /// # Errors
    /// The caller left.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        let first = match self.held.take() {
            Some(held) => held?,
            None => match self.from_socket.recv().await {
                Some(piece) => piece?,
                None => return Ok(None),
            },
        };
        let mut joined: Option<BytesMut> = None;
        loop {
            let length = joined.as_ref().map_or(first.len(), BytesMut::len);
            match self.from_socket.try_recv() {
                Ok(Ok(piece)) if length + piece.len() <= MOST_JOINED => joined
                    .get_or_insert_with(|| beginning(&first))
                    .extend_from_slice(&piece),
                Ok(other) => {
                    self.held = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        Ok(Some(joined.map_or(first, BytesMut::freeze)))
    }
}

/// A buffer that begins with a piece and has room for all that is joined to it.
fn beginning(first: &[u8]) -> BytesMut {
    let mut joined = BytesMut::with_capacity(MOST_JOINED);
    joined.extend_from_slice(first);
    joined
}
