//! A deadline for callers that do not read: the answer of an app holds its call at the app, and must
//! not do so for ever because nobody takes what is sent.
//!
//! The HTTP server asks a body for more when its socket has taken what came before. A body that has
//! given something and is not asked again for too long belongs to a caller that reads nothing; its
//! connection is cut, which ends the body and with it everything behind. A body that waits for its
//! app is never too late.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpRequest;
use bytes::Bytes;
use futures::Stream;
use tokio::sync::oneshot;

use crate::gateway::SocketHandle;
use crate::node::Node;
use crate::router::Cut;
use crate::supervision::SharedClock;

/// Larger pieces are given in parts, so that a slow caller is seen to make progress.
const PART: usize = 64 * 1024;
/// A body that waits for its app, in [`Given`].
const ASKED: u64 = u64::MAX;
/// Shortest time between two looks.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

/// Milliseconds of the node's clock at which something was given that was not followed by a question
/// for more, or [`ASKED`].
struct Given(AtomicU64);

/// What is needed to end the connection of a caller that does not read.
pub struct Patience {
    cutter: Option<Box<dyn Cut>>,
    clock: SharedClock,
    within: Duration,
}

impl Patience {
    /// For the answer to `request`. Call it while the request is being handled.
    pub fn with(request: &HttpRequest, node: &Node) -> Self {
        let socket = request.conn_data::<SocketHandle>();
        let within = node.config.limits.http_stalled_after;
        Patience {
            cutter: socket
                .filter(|_| within > 0.0)
                .and_then(|socket| socket.cutter()),
            clock: node.clock.clone(),
            within: Duration::try_from_secs_f64(within).unwrap_or(Duration::MAX),
        }
    }

    /// Watches over a body.
    pub fn over<S: Stream>(self, pieces: S) -> Read<S> {
        let given = Arc::new(Given(AtomicU64::new(ASKED)));
        let (lives, mut over) = oneshot::channel::<Infallible>();
        if let Some(cutter) = self.cutter {
            let (watched, clock) = (given.clone(), self.clock.clone());
            let within = self.within;
            actix_web::rt::spawn(async move {
                loop {
                    // The cutter keeps the socket open. With the body it goes at once: one that broke
                    // off is told to the caller by the end of the connection alone.
                    tokio::select! {
                        biased;
                        _ = &mut over => return,
                        () = clock.sleep((within / 4).max(SHORTEST_PERIOD)) => {}
                    }
                    let at = watched.0.load(Ordering::Relaxed);
                    let now = clock.now().as_millis() as u64;
                    if at != ASKED && Duration::from_millis(now.saturating_sub(at)) >= within {
                        tracing::info!("cutting the caller of an app that reads nothing");
                        cutter.cut();
                        return;
                    }
                }
            });
        }
        Read {
            pieces: Box::pin(pieces),
            rest: Bytes::new(),
            given,
            clock: self.clock,
            _lives: lives,
        }
    }
}

/// A body under watch; see [`Patience::over`].
pub struct Read<S> {
    pieces: Pin<Box<S>>,
    rest: Bytes,
    given: Arc<Given>,
    clock: SharedClock,
    /// Dropped with the body, which ends its watch.
    _lives: oneshot::Sender<Infallible>,
}

impl<S, E> Stream for Read<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            this.given.0.store(ASKED, Ordering::Relaxed);
            match this.pieces.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(piece))) => this.rest = piece,
                other => return other,
            }
        }
        let now = this.clock.now().as_millis() as u64;
        this.given.0.store(now, Ordering::Relaxed);
        let part = this.rest.split_to(this.rest.len().min(PART));
        Poll::Ready(Some(Ok(part)))
    }
}
