//! The receiving side of a client: its mailbox as the body of a response that does not end.
//!
//! No actor: the body lives in the response, and actix drops it with the connection. Dropping it
//! unregisters the client.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use tokio::sync::oneshot;

use super::framing::{control, pack};
use super::table::Seat;
use crate::gateway::{Gateway, Presence};
use crate::router::{CloseOrder, Outgoing};

/// Pieces for which an emptied queue keeps its memory.
const KEPT_CAPACITY: usize = 64;

/// See the module's text.
pub struct StreamBody {
    gateway: Arc<Gateway>,
    presence: Presence,
    _seat: Seat,
    closed: oneshot::Receiver<CloseOrder>,
    /// What the connection has to take before the mailbox is looked at again.
    pieces: VecDeque<Bytes>,
    quiet: Quiet,
    ending: bool,
}

/// Tells when a stream has been silent for long enough to need a sign of life.
struct Quiet {
    after: Duration,
    last_sent: u64,
    timer: BoxFuture<'static, ()>,
}

impl StreamBody {
    pub fn new(
        gateway: Arc<Gateway>,
        presence: Presence,
        seat: Seat,
        closed: oneshot::Receiver<CloseOrder>,
    ) -> Self {
        let after = gateway.limits.stream_quiet;
        let mut pieces = VecDeque::new();
        pack(
            [control(gateway.members.welcome(&presence.client))],
            &mut pieces,
        );
        StreamBody {
            quiet: Quiet {
                after,
                last_sent: gateway.router.now_ms(),
                timer: gateway.clock.sleep(after),
            },
            gateway,
            presence,
            _seat: seat,
            closed,
            pieces,
            ending: false,
        }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        if self.pieces.is_empty() && self.pieces.capacity() > KEPT_CAPACITY {
            self.pieces = VecDeque::new();
        }
        self.quiet.last_sent = self.gateway.router.now_ms();
        Some(piece)
    }

    /// Moves waiting messages to `pieces`. Ready(false): there will be no more.
    fn poll_mailbox(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut batch = VecDeque::new();
        let polled = self.presence.client.mailbox.poll_drain(cx, &mut batch);
        pack(batch, &mut self.pieces);
        polled
    }

    /// Ready when there is something to send, or when the stream is to end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closed.poll_unpin(cx).is_ready() {
            // What is queued is still sent.
            let _ = self.poll_mailbox(cx);
            self.ending = true;
            return Poll::Ready(());
        }
        if let Poll::Ready(more) = self.poll_mailbox(cx) {
            self.ending = !more;
            return Poll::Ready(());
        }
        while self.quiet.timer.poll_unpin(cx).is_ready() {
            let now = self.gateway.router.now_ms();
            let silent = Duration::from_millis(now.saturating_sub(self.quiet.last_sent));
            let due = silent >= self.quiet.after;
            let wait = if due {
                self.quiet.after
            } else {
                self.quiet.after - silent
            };
            self.quiet.timer = self.gateway.clock.sleep(wait);
            if due {
                pack([Outgoing::Ping], &mut self.pieces);
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl Stream for StreamBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(piece) = self.next_piece() {
                return Poll::Ready(Some(Ok(piece)));
            }
            if self.ending {
                return Poll::Ready(None);
            }
            if self.poll_more(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
