//! The frames of a WebSocket: bytes of a payload as whole messages, and messages as bytes.

use actix_http::ws::{CloseCode, CloseReason, Codec, Frame, Item, Message, ProtocolError};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures::StreamExt;
use tokio_util::codec::{Decoder, Encoder};

/// Payloads above this are sent as they are instead of being copied behind their frame's head.
const COPY_BELOW: usize = 16 * 1024;
/// Longest text of a close frame, in bytes.
const MAX_REASON: usize = 123;

/// What arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Text(ByteString),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    Closed(Option<CloseReason>),
    /// The peer broke the protocol: the code to close with, and why.
    Broken(u16, String),
    /// The transport ended without a close frame.
    Lost,
}

/// What is sent.
#[derive(Debug)]
pub enum Outgoing {
    Text(ByteString),
    Binary(Bytes),
    Ping,
    Pong(Bytes),
    Close(u16, String),
    /// The answer to a close frame without a code.
    CloseBare,
}

/// Reads messages, which may come in several frames.
pub struct Frames {
    payload: Payload,
    codec: Codec,
    buffer: BytesMut,
    fragments: Option<Fragments>,
    limit: usize,
}

struct Fragments {
    binary: bool,
    bytes: BytesMut,
}

impl Frames {
    /// Messages longer than `limit` bytes break the connection.
    pub fn new(payload: Payload, limit: usize) -> Self {
        Frames {
            payload,
            codec: Codec::new().max_size(limit),
            buffer: BytesMut::new(),
            fragments: None,
            limit,
        }
    }

    /// The next event. May be dropped while it waits, without losing anything.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.codec.decode(&mut self.buffer) {
                Ok(Some(frame)) => {
                    if let Some(event) = self.accept(frame) {
                        return event;
                    }
                }
                Ok(None) => match self.payload.next().await {
                    Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                    Some(Err(_)) | None => return Event::Lost,
                },
                Err(ProtocolError::Overflow) => return self.too_big(),
                Err(error) => return Event::Broken(1002, error.to_string()),
            }
        }
    }

    fn too_big(&self) -> Event {
        Event::Broken(1009, format!("Message exceeds {} bytes", self.limit))
    }

    fn accept(&mut self, frame: Frame) -> Option<Event> {
        Some(match frame {
            Frame::Text(bytes) => text(bytes),
            Frame::Binary(bytes) => Event::Binary(bytes),
            Frame::Continuation(item) => return self.continuation(item),
            Frame::Ping(bytes) => Event::Ping(bytes),
            Frame::Pong(_) => Event::Pong,
            Frame::Close(reason) => Event::Closed(reason),
        })
    }

    fn continuation(&mut self, item: Item) -> Option<Event> {
        let (first, last, bytes) = match item {
            Item::FirstText(bytes) => (Some(false), false, bytes),
            Item::FirstBinary(bytes) => (Some(true), false, bytes),
            Item::Continue(bytes) => (None, false, bytes),
            Item::Last(bytes) => (None, true, bytes),
        };
        if let Some(binary) = first {
            let bytes = BytesMut::new();
            self.fragments = Some(Fragments { binary, bytes });
        }
        let Some(fragments) = &mut self.fragments else {
            return Some(Event::Broken(1002, "Unexpected continuation frame".into()));
        };
        if fragments.bytes.len() + bytes.len() > self.limit {
            return Some(self.too_big());
        }
        fragments.bytes.extend_from_slice(&bytes);
        if !last {
            return None;
        }
        let whole = self.fragments.take()?;
        let bytes = whole.bytes.freeze();
        Some(if whole.binary {
            Event::Binary(bytes)
        } else {
            text(bytes)
        })
    }
}

fn text(bytes: Bytes) -> Event {
    match ByteString::try_from(bytes) {
        Ok(text) => Event::Text(text),
        Err(_) => Event::Broken(1007, "A text message must be UTF-8".into()),
    }
}

/// The bytes of a message, in one or two parts.
///
/// # Errors
/// None that is known; the codec's type has one.
pub fn encode(message: Outgoing) -> Result<(Bytes, Option<Bytes>), ProtocolError> {
    let message = match message {
        Outgoing::Text(text) if text.len() > COPY_BELOW => {
            return Ok((head(0x81, text.len()), Some(text.into_bytes())));
        }
        Outgoing::Binary(bytes) if bytes.len() > COPY_BELOW => {
            return Ok((head(0x82, bytes.len()), Some(bytes)));
        }
        Outgoing::Text(text) => Message::Text(text),
        Outgoing::Binary(bytes) => Message::Binary(bytes),
        Outgoing::Ping => Message::Ping(Bytes::new()),
        Outgoing::Pong(bytes) => Message::Pong(bytes),
        Outgoing::CloseBare => Message::Close(None),
        Outgoing::Close(code, reason) => Message::Close(Some(CloseReason {
            code: CloseCode::from(code),
            description: Some(shortened(reason)),
        })),
    };
    let mut buffer = BytesMut::new();
    Codec::new().encode(message, &mut buffer)?;
    Ok((buffer.freeze(), None))
}

/// The head of a frame of the server, whose payload is not masked (RFC 6455 5.2).
fn head(first: u8, length: usize) -> Bytes {
    let mut head = vec![first];
    match u16::try_from(length) {
        Ok(length) => {
            head.push(126);
            head.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            head.push(127);
            head.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    head.into()
}

fn shortened(mut reason: String) -> String {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_have_the_head_of_their_length() {
        for length in [COPY_BELOW + 1, 65_535, 65_536, 100_000] {
            let payload = Bytes::from(vec![7; length]);
            let (head, body) = encode(Outgoing::Binary(payload.clone())).unwrap();
            let mut bytes = BytesMut::from(&head[..]);
            bytes.extend_from_slice(&body.unwrap());
            let mut codec = Codec::new().client_mode().max_size(1 << 20);
            let frame = codec.decode(&mut bytes).unwrap();
            assert_eq!(frame, Some(Frame::Binary(payload)), "{length}");
        }
    }

    #[test]
    fn reasons_fit_their_frame() {
        assert_eq!(shortened("é".repeat(100)).len(), 122);
        assert_eq!(shortened("short".into()), "short");
    }
}
