//! What the two callbacks of an application, the reader and the writer of its WebSocket share.

use actix_web::http::StatusCode;
use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio_util::sync::CancellationToken;

use super::super::asgi::{Headers, Sent as HttpSent};
use super::super::pipe::{Entrance, Exit, pipe};
use super::frames::Outgoing;
use super::messages::{Sent, parse};
use crate::http::HttpError;
use crate::map;
use crate::peer::{Answer, ServiceError};
use crate::wire::Value;
use bytes::Bytes;
use futures::FutureExt;

/// Bytes on their way in one direction of a WebSocket.
pub const ROOM: usize = 256 * 1024;

/// What becomes of the caller's wish for a WebSocket.
pub enum Verdict {
    Accepted(Option<String>, Headers),
    Refused,
    Denied(StatusCode, Headers, Exit<HttpSent>),
    Failed(HttpError),
}

/// A message of the caller.
pub enum Inbound {
    Text(ByteString),
    Binary(Bytes),
}

enum Phase {
    Undecided(oneshot::Sender<Verdict>),
    Open,
    Denying(Entrance<HttpSent>),
    Over,
}

struct Inbox {
    greeted: bool,
    messages: Exit<Inbound>,
}

/// See the module's text.
pub struct Line {
    phase: Mutex<Phase>,
    pub to_socket: Entrance<Outgoing>,
    inbox: AsyncMutex<Inbox>,
    ending: Mutex<Option<(u16, String)>>,
    /// The reader is done: nothing more arrives.
    pub over: CancellationToken,
    /// The writer is gone.
    pub gone: CancellationToken,
}

impl Line {
    pub fn new(
        decided: oneshot::Sender<Verdict>,
        to_socket: Entrance<Outgoing>,
        messages: Exit<Inbound>,
    ) -> Self {
        Line {
            phase: Mutex::new(Phase::Undecided(decided)),
            to_socket,
            inbox: AsyncMutex::new(Inbox {
                greeted: false,
                messages,
            }),
            ending: Mutex::new(None),
            over: CancellationToken::new(),
            gone: CancellationToken::new(),
        }
    }

    /// How the connection ended; the first word counts.
    pub fn ended(&self, code: u16, reason: &str) {
        let mut ending = self.ending.lock();
        ending.get_or_insert_with(|| (code, reason.to_owned()));
    }

    /// One `receive`: the greeting, then messages, then the end, for ever.
    pub async fn receive(&self) -> Value {
        let mut inbox = self.inbox.lock().await;
        if !inbox.greeted {
            inbox.greeted = true;
            return Value::Map(map! { "type" => "websocket.connect" });
        }
        let (text, bytes) = match inbox.messages.take().await {
            Some(Inbound::Text(text)) => (Value::from(&*text), Value::Nil),
            Some(Inbound::Binary(bytes)) => (Value::Nil, Value::from(bytes)),
            None => return self.receive_end(),
        };
        Value::Map(map! { "type" => "websocket.receive", "text" => text, "bytes" => bytes })
    }

    /// What `receive` gives when nothing more comes.
    pub fn receive_end(&self) -> Value {
        let ending = self.ending.lock().clone();
        let (code, reason) = ending.unwrap_or((1006, String::new()));
        Value::Map(map! {
            "type" => "websocket.disconnect", "code" => i64::from(code), "reason" => reason,
        })
    }

    /// One `send`. What is done before the future is returned happens in the order of the calls.
    pub fn send(&self, message: Value) -> Answer {
        match self.take(message) {
            Ok(Some(room)) => async move {
                room.await;
                Ok(Value::Nil)
            }
            .boxed(),
            Ok(None) => futures::future::ready(Ok(Value::Nil)).boxed(),
            Err(error) => futures::future::ready(Err(error)).boxed(),
        }
    }

    fn take(
        &self,
        message: Value,
    ) -> Result<Option<futures::future::BoxFuture<'static, ()>>, ServiceError> {
        let Some(sent) = parse(message)? else {
            return Ok(None);
        };
        let mut phase = self.phase.lock();
        let (next, room) = match (std::mem::replace(&mut *phase, Phase::Over), sent) {
            (Phase::Undecided(decided), Sent::Accept(protocol, headers)) => {
                // A caller that left does not hear it; the application hears of that by `receive`.
                let _ = decided.send(Verdict::Accepted(protocol, headers));
                (Phase::Open, None)
            }
            (Phase::Undecided(decided), Sent::Close(code, reason)) => {
                let _ = decided.send(Verdict::Refused);
                self.ended(code, &reason);
                (Phase::Over, None)
            }
            (Phase::Undecided(decided), Sent::DenialStart(status, headers)) => {
                let (entrance, exit) = pipe(ROOM);
                let _ = decided.send(Verdict::Denied(status, headers, exit));
                (Phase::Denying(entrance), None)
            }
            (Phase::Open, Sent::Message(message, length)) => {
                let room = self.to_socket.put(message, length);
                *phase = Phase::Open;
                return room.map(Some);
            }
            (Phase::Open, Sent::Close(code, reason)) => {
                self.ended(code, &reason);
                self.to_socket.force(Outgoing::Close(code, reason));
                (Phase::Over, None)
            }
            (Phase::Denying(entrance), Sent::DenialBody(bytes, more)) => {
                let length = bytes.len();
                let room = entrance.put(HttpSent::Body { bytes, more }, length);
                *phase = if more {
                    Phase::Denying(entrance)
                } else {
                    Phase::Over
                };
                return room.map(Some);
            }
            // As the specification asks for where the caller has left meanwhile.
            (Phase::Over, _) if self.over.is_cancelled() => return Ok(None),
            (as_before, _) => {
                *phase = as_before;
                return Err(ServiceError::runtime(
                    "this message has no place in the state of the WebSocket: it is accepted once, \
                     then messages are sent, then it is closed",
                ));
            }
        };
        *phase = next;
        Ok(room)
    }

    /// Closes an open WebSocket from the server's side.
    pub fn close(&self, message: Outgoing) {
        let mut phase = self.phase.lock();
        if let Phase::Open = *phase {
            *phase = Phase::Over;
            self.to_socket.force(message);
        }
    }

    /// The application's `serve` ended.
    pub fn finish(&self, outcome: Result<(), HttpError>) {
        let before = std::mem::replace(&mut *self.phase.lock(), Phase::Over);
        match (before, outcome) {
            (Phase::Undecided(decided), Err(error)) => {
                let _ = decided.send(Verdict::Failed(error));
            }
            (Phase::Undecided(decided), Ok(())) => {
                let text = "the application neither accepted nor refused the WebSocket";
                let _ = decided.send(Verdict::Failed(HttpError::Application(text.into())));
            }
            (Phase::Open, Ok(())) => self.to_socket.force(Outgoing::Close(1000, String::new())),
            (Phase::Open, Err(HttpError::Unavailable(_))) => {
                let reason = "the application went away; try again";
                self.to_socket.force(Outgoing::Close(1012, reason.into()));
            }
            (Phase::Open, Err(_)) => {
                let reason = "the application failed";
                self.to_socket.force(Outgoing::Close(1011, reason.into()));
            }
            (Phase::Denying(_) | Phase::Over, _) => {}
        }
    }
}
