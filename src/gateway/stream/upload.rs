//! `POST /rpc` of a client with a stream: one request is one message.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use thiserror::Error;

use super::framing::control;
use super::table::{Uplink, permits};
use crate::gateway::Gateway;
use crate::gateway::delivery::{Blocked, answer_sender, deliver, settle};
use crate::map;
use crate::router::Weight;
use crate::wire::{self, Limits};

/// A control message is smaller than this; nothing longer is looked at for one.
const MAX_CONTROL: usize = 256;
/// A sender that pauses for longer has vanished without a farewell.
const STALLED: Duration = Duration::from_secs(30);

/// Why a message was not taken.
#[derive(Debug, Error)]
pub enum UploadError {
    #[error("Empty request body")]
    Empty,
    #[error("The request body is longer than {0} bytes")]
    TooLarge(usize),
    /// The sender broke off.
    #[error("{0}")]
    Broken(String),
    /// The stream ended while its client was sending.
    #[error("The stream of {0} has ended")]
    NoStream(String),
}

/// Reads all of a request's body.
///
/// # Errors
/// It is empty, too long, ends early, or does not go on.
pub async fn read_body(mut payload: Payload, limit: usize) -> Result<Bytes, UploadError> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let stalled = |_| UploadError::Broken("The request body does not go on".to_owned());
    while let Some(piece) = tokio::time::timeout(STALLED, payload.next())
        .await
        .map_err(stalled)?
    {
        let piece = piece.map_err(|error| UploadError::Broken(error.to_string()))?;
        if first.len() + whole.len() + piece.len() > limit {
            return Err(UploadError::TooLarge(limit));
        }
        // Most messages come in one piece, which then is not copied.
        if first.is_empty() && whole.is_empty() {
            first = piece;
            continue;
        }
        whole.extend_from_slice(&std::mem::take(&mut first));
        whole.extend_from_slice(&piece);
    }
    let body = if whole.is_empty() {
        first
    } else {
        whole.freeze()
    };
    if body.is_empty() {
        return Err(UploadError::Empty);
    }
    Ok(body)
}

/// Takes one message of a client, and returns when it is on its way. Messages of one client are
/// routed in the order in which their requests were complete; each waits for the receivers of
/// the one before it, as frames of a WebSocket do.
///
/// # Errors
/// See [`UploadError`].
pub async fn receive(
    gateway: &Gateway,
    uplink: &Arc<Uplink>,
    request: &HttpRequest,
    payload: Payload,
) -> Result<(), UploadError> {
    let gone = || UploadError::NoStream(uplink.client.address.to_string());
    let limit = gateway.limits.max_post_bytes;
    let room = uplink
        .room
        .acquire_many(room_for(request, limit))
        .await
        .map_err(|_| gone())?;
    let message = read_body(payload, limit).await?;
    let mut throttle = uplink.turn.lock().await;
    let client = &uplink.client;
    // Requests that were on their way when the stream ended speak for nobody any more.
    let current = gateway.router.find(&client.address);
    if current.is_none_or(|current| current.generation != client.generation) {
        return Err(gone());
    }
    let now = gateway.router.now_ms();
    client.heard(now, true);
    let (blocked, weight) = match control_kind(&message) {
        Some(kind) => (obey(gateway, uplink, kind), Weight::Full),
        None => {
            if !uplink.is_asked() {
                client.used(now);
            }
            deliver(gateway, client, message)
        }
    };
    let pause = throttle.take(Duration::from_millis(now), weight);
    let patience = gateway.limits.stuck_after;
    settle(gateway.router.clone(), blocked, patience, pause).await;
    drop((throttle, room));
    Ok(())
}

/// Permits that a request needs while it is read: for its announced length, or for the longest.
fn room_for(request: &HttpRequest, limit: usize) -> u32 {
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(limit);
    u32::try_from(permits(announced.min(limit))).unwrap_or(u32::MAX)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Ping,
    RefreshToken,
}

/// Control messages of protocol 6: a single map without a target.
fn control_kind(message: &Bytes) -> Option<Control> {
    if message.len() > MAX_CONTROL {
        return None;
    }
    let value = wire::decode(message, &Limits::default()).ok()?;
    let map = value.as_map()?;
    if map.get("to").is_some() {
        return None;
    }
    match map.get_str("type")? {
        "ping" => Some(Control::Ping),
        "refresh_token" => Some(Control::RefreshToken),
        _ => None,
    }
}

/// Answers a control message, down the stream.
fn obey(gateway: &Gateway, uplink: &Uplink, kind: Control) -> Blocked {
    let client = &uplink.client;
    let answer = match kind {
        Control::Ping => map! { "type" => "pong" },
        Control::RefreshToken => map! {
            "type" => "reconnection_token",
            "reconnection_token" => gateway.members.reconnection_token(client),
        },
    };
    answer_sender(client, control(answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Map, Value};

    fn kind(map: Map) -> Option<Control> {
        control_kind(&wire::encode(&Value::Map(map)))
    }

    #[test]
    fn control_messages_have_no_target() {
        assert_eq!(kind(map! { "type" => "ping" }), Some(Control::Ping));
        assert_eq!(
            kind(map! { "type" => "refresh_token" }),
            Some(Control::RefreshToken)
        );
        assert_eq!(kind(map! { "type" => "ping", "to" => "other" }), None);
        assert_eq!(kind(map! { "type" => "method" }), None);
        assert_eq!(kind(map! { "to" => "other" }), None);
        assert_eq!(control_kind(&Bytes::from_static(b"\xc1nonsense")), None);
        assert_eq!(control_kind(&Bytes::from_static(b"\x81")), None);
    }
}
