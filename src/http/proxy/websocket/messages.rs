//! What an application sends in a `websocket` scope (ASGI specification, WebSocket).

use actix_web::http::StatusCode;
use bytes::Bytes;
use bytestring::ByteString;

use super::super::asgi::{Headers, parse_body, parse_headers, parse_status};
use super::frames::Outgoing;
use crate::peer::ServiceError;
use crate::wire::{Map, Value};

/// A message of the application.
pub enum Sent {
    Accept(Option<String>, Headers),
    Message(Outgoing, usize),
    Close(u16, String),
    /// A refusal with an answer of the application's own.
    DenialStart(StatusCode, Headers),
    DenialBody(Bytes, bool),
}

/// Reads a message; unknown kinds are extensions that nobody asked for.
///
/// # Errors
/// It is malformed.
pub fn parse(message: Value) -> Result<Option<Sent>, ServiceError> {
    let Value::Map(mut message) = message else {
        return Err(ServiceError::type_("send() takes a message object"));
    };
    let kind = message.get_str("type").map(str::to_owned);
    Ok(Some(match kind.as_deref() {
        Some("websocket.accept") => {
            let protocol = message.get_str("subprotocol").map(str::to_owned);
            let headers = message.remove("headers").unwrap_or_default();
            Sent::Accept(protocol, parse_headers(&headers)?)
        }
        Some("websocket.send") => content(&mut message)?,
        Some("websocket.close") => {
            let code = message.get("code").and_then(Value::as_i64).unwrap_or(1000);
            let reason = message.get_str("reason").unwrap_or_default().to_owned();
            let code = u16::try_from(code)
                .ok()
                .filter(|code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999))
                .ok_or_else(|| ServiceError::value(format!("invalid close code {code}")))?;
            Sent::Close(code, reason)
        }
        Some("websocket.http.response.start") => {
            let status = parse_status(&message)?;
            let headers = message.remove("headers").unwrap_or_default();
            Sent::DenialStart(status, parse_headers(&headers)?)
        }
        Some("websocket.http.response.body") => {
            let (bytes, more) = parse_body(&mut message)?;
            Sent::DenialBody(bytes, more)
        }
        Some(_) => return Ok(None),
        None => return Err(ServiceError::value("a message needs a type")),
    }))
}

fn content(message: &mut Map) -> Result<Sent, ServiceError> {
    match (message.remove("bytes"), message.remove("text")) {
        (Some(Value::Bin(bytes)), _) => {
            let length = bytes.len();
            Ok(Sent::Message(Outgoing::Binary(bytes), length))
        }
        (None | Some(Value::Nil), Some(Value::Str(text))) => {
            let length = text.len();
            Ok(Sent::Message(
                Outgoing::Text(ByteString::from(text)),
                length,
            ))
        }
        _ => Err(ServiceError::value(
            "websocket.send needs bytes or a text, as `bytes` or `text`",
        )),
    }
}
