//! The inbound side of a WebSocket: bytes in, routed frames and control events out.
//!
//! Routing happens here, inside the connection's own task. While a receiver is full the stream
//! does not read on, which lets TCP slow the sender down; meanwhile the actor goes on writing.

use std::cell::{OnceCell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::ws::{CloseReason, Codec, Frame, Item, ProtocolError};
use actix_web::error::PayloadError;
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures::Stream;
use futures::future::LocalBoxFuture;
use tokio_util::codec::Decoder;

use super::Gateway;
use super::delivery::{deliver, settle};
use super::throttle::Throttle;
use crate::router::Client;

/// Frames handled in one go before other connections of the thread get their turn.
const FRAMES_PER_TURN: usize = 64;

/// Most bytes of a frame before its payload.
const MAX_FRAME_HEAD: usize = 14;

/// What the connection actor has to know or do.
pub enum Event {
    Text(Bytes),
    /// A binary frame before the handshake was done.
    EarlyBinary,
    Ping(Bytes),
    Closed(Option<CloseReason>),
    /// The peer broke the protocol: close with this code and text.
    Broken(u16, String),
    /// The transport ended without a close frame.
    Lost,
}

/// Shared between the stream and its actor, both on one thread.
pub struct Link {
    pub gateway: Arc<Gateway>,
    /// Set once the handshake is done.
    pub client: OnceCell<Arc<Client>>,
    /// The stream's waker is the actor's own, so a change here needs no extra wake-up.
    pub finished: RefCell<bool>,
}

/// See the module's text.
pub struct FrameStream {
    payload: Payload,
    codec: Codec,
    buffer: BytesMut,
    fragments: Option<Fragments>,
    link: Rc<Link>,
    /// Delivery to a full receiver, or a pause of the throttle.
    waiting: Option<LocalBoxFuture<'static, ()>>,
    throttle: Throttle,
    at_end: bool,
}

struct Fragments {
    binary: bool,
    bytes: BytesMut,
}

impl FrameStream {
    pub fn new(payload: Payload, link: Rc<Link>) -> Self {
        let limits = &link.gateway.limits;
        let now = Duration::from_millis(link.gateway.router.now_ms());
        FrameStream {
            payload,
            codec: Codec::new().max_size(limits.max_frame_bytes),
            buffer: BytesMut::new(),
            fragments: None,
            waiting: None,
            throttle: Throttle::new(limits.message_rate, limits.message_burst, now),
            link,
            at_end: false,
        }
    }

    /// Reads what the socket has; false when there is nothing new.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<bool, PayloadError> {
        match Pin::new(&mut self.payload).poll_next(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(None) => {
                self.at_end = true;
                Ok(true)
            }
            Poll::Ready(Some(Err(error))) => Err(error),
            Poll::Ready(Some(Ok(chunk))) => {
                // Room for the whole frame at once, instead of growing and copying on the way.
                let wanted = frame_length(&self.buffer);
                let limit = self.link.gateway.limits.max_frame_bytes + MAX_FRAME_HEAD;
                if wanted > self.buffer.capacity() && wanted <= limit {
                    self.buffer.reserve(wanted - self.buffer.len());
                }
                self.buffer.extend_from_slice(&chunk);
                Ok(true)
            }
        }
    }

    fn accept(&mut self, frame: Frame) -> Option<Event> {
        let now = self.link.gateway.router.now_ms();
        if let Some(client) = self.link.client.get() {
            client.heard(now, !matches!(frame, Frame::Pong(_) | Frame::Ping(_)));
        }
        match frame {
            Frame::Binary(bytes) => self.binary(bytes, now),
            Frame::Text(bytes) => Some(Event::Text(bytes)),
            Frame::Continuation(item) => self.continuation(item, now),
            Frame::Ping(bytes) => Some(Event::Ping(bytes)),
            Frame::Pong(_) => None,
            Frame::Close(reason) => Some(Event::Closed(reason)),
        }
    }

    fn continuation(&mut self, item: Item, now: u64) -> Option<Event> {
        let (first, last, bytes) = match item {
            Item::FirstText(bytes) => (Some(false), false, bytes),
            Item::FirstBinary(bytes) => (Some(true), false, bytes),
            Item::Continue(bytes) => (None, false, bytes),
            Item::Last(bytes) => (None, true, bytes),
        };
        if let Some(binary) = first {
            self.fragments = Some(Fragments {
                binary,
                bytes: BytesMut::new(),
            });
        }
        let Some(fragments) = &mut self.fragments else {
            return Some(Event::Broken(1002, "Unexpected continuation frame".into()));
        };
        let limit = self.link.gateway.limits.max_frame_bytes;
        if fragments.bytes.len() + bytes.len() > limit {
            return Some(too_big(limit));
        }
        fragments.bytes.extend_from_slice(&bytes);
        if !last {
            return None;
        }
        let whole = self.fragments.take()?;
        let bytes = whole.bytes.freeze();
        if whole.binary {
            self.binary(bytes, now)
        } else {
            Some(Event::Text(bytes))
        }
    }

    fn binary(&mut self, frame: Bytes, now: u64) -> Option<Event> {
        let Some(client) = self.link.client.get() else {
            return Some(Event::EarlyBinary);
        };
        client.used(now);
        let gateway = &self.link.gateway;
        let (blocked, weight) = deliver(gateway, client, frame);
        let pause = self.throttle.take(Duration::from_millis(now), weight);
        if !blocked.is_empty() || pause.is_some() {
            self.waiting = Some(Box::pin(settle(
                gateway.router.clone(),
                blocked,
                gateway.limits.stuck_after,
                pause,
            )));
        }
        None
    }
}

/// Length of the frame that a buffer begins with, as far as its head says; 0 for short ones.
fn frame_length(buffer: &[u8]) -> usize {
    const MASK_BYTES: usize = 4;
    match buffer {
        [_, code, length @ ..] if code & 0x7f == 127 && length.len() >= 8 => {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&length[..8]);
            let payload = usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX);
            payload.saturating_add(2 + 8 + MASK_BYTES)
        }
        _ => 0,
    }
}

fn too_big(limit: usize) -> Event {
    Event::Broken(1009, format!("Message exceeds {limit} bytes"))
}

fn broken(error: &ProtocolError, limit: usize) -> Event {
    match error {
        ProtocolError::Overflow => too_big(limit),
        other => Event::Broken(1002, other.to_string()),
    }
}

impl Stream for FrameStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        if *this.link.finished.borrow() {
            return Poll::Ready(None);
        }
        for _ in 0..FRAMES_PER_TURN {
            if let Some(waiting) = &mut this.waiting {
                if waiting.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.waiting = None;
            }
            match this.codec.decode(&mut this.buffer) {
                Ok(Some(frame)) => {
                    if let Some(event) = this.accept(frame) {
                        return Poll::Ready(Some(event));
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    *this.link.finished.borrow_mut() = true;
                    let limit = this.link.gateway.limits.max_frame_bytes;
                    return Poll::Ready(Some(broken(&error, limit)));
                }
            }
            if this.at_end {
                *this.link.finished.borrow_mut() = true;
                return Poll::Ready(Some(Event::Lost));
            }
            match this.fill(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                // A peer that vanishes looks like an incomplete payload; that is no fault of ours.
                Err(_) => this.at_end = true,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_long_frame_is_known_from_its_head() {
        let head = [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9];
        assert_eq!(frame_length(&head), 65_536 + 14);
        assert_eq!(frame_length(&head[..9]), 0);
        assert_eq!(frame_length(&[0x82, 0xfe, 1, 0]), 0);
        assert_eq!(
            frame_length(&[0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255]),
            usize::MAX
        );
    }
}
