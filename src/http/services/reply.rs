//! Results of calls as HTTP answers: one body, or a stream of a generator's items (http.md 4.3).

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use bytes::Bytes;
use futures::stream::{self, Stream};
use serde_json::{Value as Json, json};

use super::super::reading::Patience;
use super::arguments::Format;
use crate::gateway::{HangUp, hung_up};
use crate::peer::{CallError, CallOptions, Peer};
use crate::wire::{self, RemoteFunction, Value};

/// A value as the whole answer.
pub fn whole(value: Value, format: Format) -> HttpResponse {
    let value = untagged(value);
    match format {
        Format::MessagePack => packed().body(wire::encode(&value)),
        Format::Json => match as_json(&value) {
            Ok(json) => HttpResponse::Ok().json(json),
            Err(error) => HttpResponse::InternalServerError()
                .json(json!({ "success": false, "detail": error })),
        },
    }
}

fn packed() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.content_type("application/msgpack");
    response
}

/// Models of the server carry a tag for RPC clients, which HTTP callers have no use for.
fn untagged(mut value: Value) -> Value {
    if let Value::Map(map) = &mut value
        && map.get_str("_rtype") == Some("pydantic-model")
    {
        map.remove("_rtype");
    }
    value
}

/// JSON has no bytes: better to say so than to send something that cannot be read back.
fn as_json(value: &Value) -> Result<Json, &'static str> {
    if has_bytes(value) {
        return Err(
            "TypeError: Object of type bytes is not JSON serializable; call with the content \
             type application/msgpack",
        );
    }
    Ok(value.to_json())
}

fn has_bytes(value: &Value) -> bool {
    match value {
        Value::Bin(_) | Value::Ext(..) => true,
        Value::Array(items) => items.iter().any(has_bytes),
        Value::Map(map) => map.values().any(has_bytes),
        _ => false,
    }
}

/// A generator at a client, consumed item by item. Closed at the client when it is dropped early.
pub struct Generator {
    peer: Arc<Peer>,
    next: RemoteFunction,
    close: Option<String>,
    options: CallOptions,
    /// Whether the reader is told the stack of a failure.
    detailed: bool,
}

impl Generator {
    /// Takes a result for a generator of the client `provider`, if it is one.
    pub fn from_result(
        value: &Value,
        provider: &str,
        peer: &Arc<Peer>,
        options: &CallOptions,
        detailed: bool,
    ) -> Option<Self> {
        let map = value.as_map()?;
        if map.get_str("_rtype") != Some("generator") {
            return None;
        }
        let (workspace, _) = provider.split_once('/')?;
        let mut next = RemoteFunction {
            target: map.get_str("_rtarget")?.to_owned(),
            method: map.get_str("_rmethod")?.to_owned(),
            promise: true,
            name: None,
        };
        next.resolve_target(workspace);
        // A third party's functions are not called on somebody's behalf.
        (next.target == provider).then(|| Generator {
            peer: peer.clone(),
            next,
            close: map.get_str("_rclose_method").map(str::to_owned),
            options: options.clone(),
            detailed,
        })
    }

    /// The next item; none at the end.
    pub async fn next(&mut self) -> Option<Result<Value, CallError>> {
        let item = self
            .peer
            .call(&self.next.target, &self.next.method)
            .options(self.options.clone())
            .send()
            .await;
        let ended = match &item {
            Ok(value) => value.get("_rtype").and_then(Value::as_str) == Some("stop_iteration"),
            Err(_) => false,
        };
        if ended || item.is_err() {
            // It ended by itself.
            self.close = None;
        }
        (!ended).then_some(item)
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        let Some(method) = self.close.take() else {
            return;
        };
        let (peer, target, options) = (
            self.peer.clone(),
            self.next.target.clone(),
            self.options.clone(),
        );
        actix_web::rt::spawn(async move {
            let closed = peer.call(&target, &method).options(options).send().await;
            if let Err(error) = closed {
                tracing::debug!(target, %error, "a generator was not closed");
            }
        });
    }
}

/// The items of a generator as the answer, each sent when it comes.
pub fn streamed(
    generator: Generator,
    format: Format,
    watch: Option<HangUp>,
    patience: Patience,
) -> HttpResponse {
    let items = patience.over(items(generator, format, watch));
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
    match format {
        Format::Json => response.content_type("text/event-stream"),
        Format::MessagePack => response.content_type("application/msgpack"),
    };
    response.streaming(items)
}

/// Where a stream is.
enum State {
    Running(Box<(Generator, Option<HangUp>)>),
    /// The items are over, the mark of the end is not sent.
    Ended,
    Over,
}

fn items(
    generator: Generator,
    format: Format,
    watch: Option<HangUp>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let first = State::Running(Box::new((generator, watch)));
    stream::unfold(first, move |state| async move {
        match state {
            State::Running(mut running) => {
                let (generator, watch) = &mut *running;
                let item = tokio::select! {
                    item = generator.next() => item,
                    // Nobody is left to read: the generator is closed by being dropped.
                    () = hung_up(watch.as_ref()) => return None,
                };
                match item {
                    Some(Ok(item)) => {
                        Some((Ok(item_bytes(&item, format)), State::Running(running)))
                    }
                    Some(Err(error)) => {
                        let bytes = error_bytes(&error, format, generator.detailed);
                        Some((Ok(bytes), State::Ended))
                    }
                    None => ended(format),
                }
            }
            State::Ended => ended(format),
            State::Over => None,
        }
    })
}

/// JSON streams end with a mark, as event streams cannot tell an end from a break.
fn ended(format: Format) -> Option<(Result<Bytes, std::convert::Infallible>, State)> {
    match format {
        Format::Json => Some((Ok(Bytes::from_static(b"data: [DONE]\n\n")), State::Over)),
        Format::MessagePack => None,
    }
}

fn item_bytes(item: &Value, format: Format) -> Bytes {
    match format {
        Format::MessagePack => wire::encode(item),
        Format::Json => match as_json(item) {
            Ok(json) => event(&json),
            Err(error) => event(&json!({ "error": error, "traceback": error })),
        },
    }
}

fn error_bytes(error: &CallError, format: Format, detailed: bool) -> Bytes {
    let text = error.described();
    let trace = if detailed {
        error.detailed()
    } else {
        text.clone()
    };
    let json = json!({ "error": text, "traceback": trace });
    match format {
        Format::Json => event(&json),
        Format::MessagePack => wire::encode(&Value::from_json(json)),
    }
}

fn event(json: &Json) -> Bytes {
    Bytes::from(format!("data: {json}\n\n"))
}
