//! The queue of one connection: bounded by bytes and by count, drained in one go by the
//! connection that owns it.
//!
//! A full mailbox never drops: the sender gets its message back and decides how long to wait.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// One message on its way to a peer.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// A routed frame: a header written by the server, then the sender's body bytes untouched.
    Frame { header: Bytes, body: Bytes },
    /// A sign of life: a WebSocket ping, which the peer's library answers, or the control message
    /// of a stream, which it ignores.
    Ping,
}

impl Outgoing {
    /// Bytes that this message occupies in the queue.
    pub fn size(&self) -> usize {
        match self {
            Outgoing::Frame { header, body } => header.len() + body.len(),
            Outgoing::Ping => 0,
        }
    }
}

/// Why a message was not taken; both give it back.
#[derive(Debug)]
pub enum PushError {
    /// The receiver is slower than its senders.
    Full(Outgoing),
    /// The receiver is gone.
    Closed,
}

/// Bounds of a mailbox.
#[derive(Debug, Clone, Copy)]
pub struct MailboxLimits {
    /// Messages.
    pub count: usize,
    /// Bytes. One message larger than this is still taken when the queue is empty.
    pub bytes: usize,
}

impl Default for MailboxLimits {
    fn default() -> Self {
        MailboxLimits {
            count: 4096,
            bytes: 8 * 1024 * 1024,
        }
    }
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    closed: bool,
    drains: u64,
}

/// See the module's text.
pub struct Mailbox {
    limits: MailboxLimits,
    queue: Mutex<Queue>,
    reader: AtomicWaker,
    space: Notify,
}

impl Mailbox {
    pub fn new(limits: MailboxLimits) -> Self {
        Mailbox {
            limits,
            queue: Mutex::default(),
            reader: AtomicWaker::new(),
            space: Notify::new(),
        }
    }

    /// Puts a message in the queue, or gives it back.
    pub fn push(&self, message: Outgoing) -> Result<(), PushError> {
        {
            let mut queue = self.queue.lock();
            if queue.closed {
                return Err(PushError::Closed);
            }
            let size = message.size();
            let full =
                queue.messages.len() >= self.limits.count || queue.bytes + size > self.limits.bytes;
            if full && !queue.messages.is_empty() {
                return Err(PushError::Full(message));
            }
            queue.bytes += size;
            queue.messages.push_back(message);
        }
        self.reader.wake();
        Ok(())
    }

    /// Waits for room, at most `patience`; the error is what `push` said last.
    pub async fn push_within(
        &self,
        mut message: Outgoing,
        patience: Duration,
    ) -> Result<(), PushError> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let space = self.space.notified();
            tokio::pin!(space);
            // Registered before the attempt, so that a drain in between is not missed.
            space.as_mut().enable();
            message = match self.push(message) {
                Err(PushError::Full(back)) => back,
                other => return other,
            };
            if tokio::time::timeout_at(deadline, space).await.is_err() {
                return Err(PushError::Full(message));
            }
        }
    }

    /// Moves everything queued to `into`. Ready(false) when the mailbox is closed and empty.
    pub fn poll_drain(&self, cx: &mut Context<'_>, into: &mut VecDeque<Outgoing>) -> Poll<bool> {
        self.reader.register(cx.waker());
        let closed = {
            let mut queue = self.queue.lock();
            if queue.messages.is_empty() {
                if !queue.closed {
                    return Poll::Pending;
                }
                true
            } else {
                into.append(&mut queue.messages);
                // A burst must not pin its memory for the life of an idle connection.
                if queue.messages.capacity() > 64 {
                    queue.messages = VecDeque::new();
                }
                queue.bytes = 0;
                queue.drains += 1;
                false
            }
        };
        if closed {
            return Poll::Ready(false);
        }
        self.space.notify_waiters();
        Poll::Ready(true)
    }

    /// Refuses further messages and ends the reader once it has drained the rest.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.space.notify_waiters();
        self.reader.wake();
    }

    /// Resolves when the mailbox is closed: its connection ended or is ending.
    pub async fn closed(&self) {
        loop {
            let changed = self.space.notified();
            tokio::pin!(changed);
            // Registered before the look, so that a close in between is not missed.
            changed.as_mut().enable();
            if self.queue.lock().closed {
                return;
            }
            changed.await;
        }
    }

    /// Whether it takes no more messages.
    pub fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// Messages and bytes waiting, and how often the reader has emptied the queue: a watchdog
    /// tells a stuck reader by a queue that waits while the number of drains stands still.
    pub fn depth(&self) -> MailboxDepth {
        let queue = self.queue.lock();
        MailboxDepth {
            messages: queue.messages.len(),
            bytes: queue.bytes,
            drains: queue.drains,
        }
    }
}

/// See [`Mailbox::depth`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxDepth {
    pub messages: usize,
    pub bytes: usize,
    pub drains: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::task::noop_waker;
    use std::sync::Arc;

    fn frame(bytes: usize) -> Outgoing {
        Outgoing::Frame {
            header: Bytes::new(),
            body: Bytes::from(vec![0; bytes]),
        }
    }

    fn drain(mailbox: &Mailbox) -> Poll<bool> {
        let waker = noop_waker();
        mailbox.poll_drain(&mut Context::from_waker(&waker), &mut VecDeque::new())
    }

    #[test]
    fn is_bounded_by_count_and_by_bytes() {
        let mailbox = Mailbox::new(MailboxLimits {
            count: 2,
            bytes: 10,
        });
        mailbox.push(frame(1)).unwrap();
        assert!(matches!(mailbox.push(frame(10)), Err(PushError::Full(_))));
        mailbox.push(frame(1)).unwrap();
        assert!(matches!(mailbox.push(frame(1)), Err(PushError::Full(_))));
        assert_eq!(drain(&mailbox), Poll::Ready(true));
        assert_eq!(drain(&mailbox), Poll::Pending);
    }

    #[test]
    fn one_message_over_the_limit_passes_when_nothing_waits() {
        let mailbox = Mailbox::new(MailboxLimits {
            count: 2,
            bytes: 10,
        });
        mailbox.push(frame(1000)).unwrap();
        assert_eq!(mailbox.depth().bytes, 1000);
    }

    #[test]
    fn a_closed_mailbox_hands_out_what_it_holds_and_then_ends() {
        let mailbox = Mailbox::new(MailboxLimits::default());
        mailbox.push(frame(1)).unwrap();
        mailbox.close();
        assert!(matches!(mailbox.push(frame(1)), Err(PushError::Closed)));
        assert_eq!(drain(&mailbox), Poll::Ready(true));
        assert_eq!(drain(&mailbox), Poll::Ready(false));
    }

    #[tokio::test]
    async fn a_waiting_sender_goes_on_when_the_reader_drains() {
        let mailbox = Arc::new(Mailbox::new(MailboxLimits {
            count: 1,
            bytes: 10,
        }));
        mailbox.push(frame(1)).unwrap();
        let sender = tokio::spawn({
            let mailbox = mailbox.clone();
            async move { mailbox.push_within(frame(1), Duration::from_secs(60)).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(drain(&mailbox), Poll::Ready(true));
        sender.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let mailbox = Mailbox::new(MailboxLimits {
            count: 1,
            bytes: 10,
        });
        mailbox.push(frame(1)).unwrap();
        let result = mailbox.push_within(frame(1), Duration::from_secs(5)).await;
        assert!(matches!(result, Err(PushError::Full(_))));
    }
}
