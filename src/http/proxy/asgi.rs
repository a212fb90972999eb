//! Services of type `asgi`: the request is one call of `serve`, which reads the request and
//! writes the answer through two callbacks (http.md 5.3).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::Stream;
use tokio::sync::{Mutex, Notify, oneshot};
use tokio_util::sync::DropGuard;

use super::body::{self, Pieces};
use super::functions::is_framing;
use super::pipe::{Entrance, Exit, pipe};
use super::{TextError, Visit, failed, scope, text};
use crate::gateway::{HangUp, SocketHandle, hung_up};
use crate::http::HttpError;
use crate::http::reading::Patience;
use crate::map;
use crate::peer::{AnsweringCallback, OutgoingCall, ServiceError};
use crate::wire::{Map, Value};

/// Bytes of an answer on their way between the service and the socket.
const ROOM: usize = 512 * 1024;
/// How long an application may go on after its caller left.
pub(super) const FAREWELL: Duration = Duration::from_secs(10);

/// Headers of an answer, in their order.
pub(super) type Headers = Vec<(HeaderName, HeaderValue)>;

/// What the application sends.
pub(super) enum Sent {
    Start(StatusCode, Headers),
    Body { bytes: Bytes, more: bool },
}

/// What the callbacks share.
struct Exchange {
    request: Mutex<Option<Pieces>>,
    /// The caller left, or the call ended: nothing more is to be received.
    over: AtomicBool,
    ended: Notify,
}

impl Exchange {
    fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.ended.notify_waiters();
    }

    async fn until_over(&self) {
        let notified = self.ended.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if !self.over.load(Ordering::Acquire) {
            notified.await;
        }
    }

    /// One `receive`: a piece of the body, or, after the body, the caller's leave.
    async fn receive(&self) -> Value {
        let mut request = self.request.lock().await;
        if let Some(pieces) = request.as_mut() {
            let piece = tokio::select! {
                biased;
                () = self.until_over() => return disconnect(),
                piece = pieces.next() => piece,
            };
            let Ok(piece) = piece else {
                self.end();
                return disconnect();
            };
            let more = piece.is_some();
            if !more {
                *request = None;
            }
            return Value::Map(map! {
                "type" => "http.request",
                "body" => piece.unwrap_or_default(),
                "more_body" => more,
            });
        }
        drop(request);
        self.until_over().await;
        disconnect()
    }
}

fn disconnect() -> Value {
    Value::Map(map! { "type" => "http.disconnect" })
}

pub async fn serve(
    request: &HttpRequest,
    payload: Payload,
    visit: Visit,
) -> Result<HttpResponse, TextError> {
    let (to_socket, mut from_service) = pipe(ROOM);
    let exchange = Arc::new(Exchange {
        request: Mutex::new(Some(body::pieces(payload, &visit.node))),
        over: AtomicBool::new(false),
        ended: Notify::new(),
    });
    let scope = scope::asgi(request, &visit);
    let patience = Patience::with(request, &visit.node);
    let (failed, failure) = oneshot::channel();
    let shared = exchange.clone();
    let watch = request
        .conn_data::<SocketHandle>()
        .and_then(|socket| socket.hang_up());
    actix_web::rt::spawn(async move {
        let outcome = run(scope, &visit, &shared, to_socket, watch).await;
        shared.end();
        // Nobody listens when the answer is complete.
        let _ = failed.send(outcome);
    });
    // Dropped with this handler when the caller leaves before the answer starts.
    let leave = Leave::of_exchange(exchange);
    match from_service.take().await {
        Some(Sent::Start(status, headers)) => {
            let head = request.method() == Method::HEAD;
            let body = Answer {
                from_service,
                leave,
                patience,
            };
            Ok(response(status, headers, head, body))
        }
        Some(Sent::Body { .. }) => Ok(text(
            500,
            "Internal Server Error: the application sent a body before its start".into(),
        )),
        None => {
            let reason = match failure.await {
                Ok(Err(reason)) => reason,
                _ => HttpError::Application("the application sent no answer".into()),
            };
            Err(TextError(reason))
        }
    }
}

/// Tells the application, when dropped, that its caller left.
pub(super) enum Leave {
    #[allow(private_interfaces, reason = "made and dropped, never looked into")]
    Exchange(Arc<Exchange>),
    Line(#[allow(dead_code, reason = "dropping it is what it is for")] DropGuard),
}

impl Leave {
    fn of_exchange(exchange: Arc<Exchange>) -> Self {
        Leave::Exchange(exchange)
    }

    /// For the refusal of a WebSocket.
    pub fn of_line(line: DropGuard) -> Self {
        Leave::Line(line)
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Leave::Exchange(exchange) = self {
            exchange.end();
        }
    }
}

/// The call of an application's `serve`, without its argument.
pub(super) fn call(visit: &Visit) -> OutgoingCall<'_> {
    let method = format!("services.{}.serve", visit.record.name);
    let peer = &visit.node.directory.peer;
    peer.call(&visit.record.address(), &method)
        .options(visit.options())
        .counted()
}

/// Calls the application and waits for its end.
async fn run(
    scope: Map,
    visit: &Visit,
    exchange: &Arc<Exchange>,
    to_socket: Entrance<Sent>,
    watch: Option<HangUp>,
) -> Result<(), HttpError> {
    let mut call = call(visit);
    let receiving = exchange.clone();
    let receive: AnsweringCallback = Arc::new(move |_| {
        let exchange = receiving.clone();
        async move { Ok(exchange.receive().await) }.boxed()
    });
    let receive = call.answering_callback("receive", receive);
    let send = call.answering_callback("send", sender(to_socket));
    let call = call.arg(map! { "scope" => scope, "receive" => receive, "send" => send });
    let gone = async {
        tokio::select! {
            () = exchange.until_over() => {}
            () = hung_up(watch.as_ref()) => exchange.end(),
        }
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        outcome = call.send_to_living() => outcome.map(|_| ()).map_err(failed),
        () = gone => Err(HttpError::Application("the caller left".into())),
    }
}

fn sender(to_socket: Entrance<Sent>) -> AnsweringCallback {
    Arc::new(move |mut args| {
        let message = if args.is_empty() {
            Value::Nil
        } else {
            args.swap_remove(0)
        };
        // A caller that left takes nothing; the application hears of it by `receive`.
        let put = parse(message).and_then(|sent| match sent {
            Some(sent) => {
                let length = match &sent {
                    Sent::Body { bytes, .. } => bytes.len(),
                    Sent::Start(..) => 0,
                };
                to_socket.put(sent, length).map(Some)
            }
            None => Ok(None),
        });
        async move {
            if let Some(room) = put? {
                room.await;
            }
            Ok(Value::Nil)
        }
        .boxed()
    })
}

/// Reads a message of the application; unknown kinds are extensions that nobody asked for.
fn parse(message: Value) -> Result<Option<Sent>, ServiceError> {
    let Value::Map(mut message) = message else {
        return Err(ServiceError::type_("send() takes a message object"));
    };
    match message.get_str("type") {
        Some("http.response.start") => {
            let status = parse_status(&message)?;
            let headers = message.remove("headers").unwrap_or_default();
            Ok(Some(Sent::Start(status, parse_headers(&headers)?)))
        }
        Some("http.response.body") => {
            let (bytes, more) = parse_body(&mut message)?;
            Ok(Some(Sent::Body { bytes, more }))
        }
        Some(_) => Ok(None),
        None => Err(ServiceError::value("a message needs a type")),
    }
}

/// The status of a start of an answer.
pub(super) fn parse_status(message: &Map) -> Result<StatusCode, ServiceError> {
    let status = message.get("status").and_then(Value::as_i64);
    status
        .and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok())
        .ok_or_else(|| ServiceError::value("the start of an answer needs a status"))
}

/// The bytes of a piece of an answer, and whether more follow.
pub(super) fn parse_body(message: &mut Map) -> Result<(Bytes, bool), ServiceError> {
    let bytes = match message.remove("body") {
        None | Some(Value::Nil) => Bytes::new(),
        Some(Value::Bin(bytes)) => bytes,
        Some(Value::Str(text)) => Bytes::from(text),
        Some(other) => {
            return Err(ServiceError::type_(format!(
                "the body of an answer must be bytes, got {}",
                other.type_name()
            )));
        }
    };
    Ok((bytes, message.get("more_body").is_some_and(Value::truthy)))
}

/// Headers as a list of pairs or as an object, of bytes or text.
pub(super) fn parse_headers(headers: &Value) -> Result<Headers, ServiceError> {
    let bytes = |value: &Value| match value {
        Value::Bin(bytes) => bytes.clone(),
        Value::Str(text) => Bytes::from(text.clone()),
        _ => Bytes::new(),
    };
    let pairs: Vec<(Bytes, Bytes)> = match headers {
        Value::Array(pairs) => pairs
            .iter()
            .filter_map(|pair| match pair.as_array()? {
                [name, value] => Some((bytes(name), bytes(value))),
                _ => None,
            })
            .collect(),
        Value::Map(map) => map
            .iter()
            .map(|(name, value)| (Bytes::from(name.to_owned()), bytes(value)))
            .collect(),
        _ => Vec::new(),
    };
    pairs
        .into_iter()
        .map(|(name, value)| {
            HeaderName::from_bytes(&name)
                .ok()
                .zip(HeaderValue::from_bytes(&value).ok())
                .ok_or_else(|| {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    ServiceError::value(format!("invalid header {name}"))
                })
        })
        .collect()
}

/// What the application sends, on its way to the caller.
pub(super) struct Answer {
    pub from_service: Exit<Sent>,
    pub leave: Leave,
    pub patience: Patience,
}

/// The answer whose body the application sends.
pub(super) fn response(
    status: StatusCode,
    headers: Headers,
    head: bool,
    body: Answer,
) -> HttpResponse {
    let Answer {
        from_service,
        leave,
        patience,
    } = body;
    let mut response = HttpResponse::build(status);
    let mut length = None;
    for (name, value) in headers {
        if name == "content-length" {
            length = value.to_str().ok().and_then(|text| text.parse().ok());
        }
        if !is_framing(name.as_str()) {
            response.append_header((name, value));
        }
    }
    let bodiless = head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    if bodiless {
        if let Some(length) = length.filter(|_| head) {
            response.no_chunking(length);
        }
        // The application still runs to its end; what it sends goes nowhere.
        actix_web::rt::spawn(drain(from_service, leave));
        return if head {
            response.body(actix_web::body::BoxBody::new(
                actix_web::body::SizedStream::new(
                    length.unwrap_or(0),
                    futures::stream::empty::<Result<Bytes, std::convert::Infallible>>(),
                ),
            ))
        } else {
            response.finish()
        };
    }
    let stream = patience.over(pieces(from_service, leave));
    match length {
        Some(length) => response.body(actix_web::body::SizedStream::new(length, stream)),
        None => response.streaming(stream),
    }
}

async fn drain(mut from_service: Exit<Sent>, leave: Leave) {
    while let Some(sent) = from_service.take().await {
        if let Sent::Body { more: false, .. } = sent {
            break;
        }
    }
    drop(leave);
}

/// An application ended in the middle of its answer: the connection must break, so that the
/// caller does not take the part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the application ended before its answer was complete")]
struct Broken;

fn pieces(from_service: Exit<Sent>, leave: Leave) -> impl Stream<Item = Result<Bytes, Broken>> {
    futures::stream::unfold(Some((from_service, leave)), |state| async move {
        let (mut from_service, leave) = state?;
        loop {
            return match from_service.take().await {
                Some(Sent::Body { bytes, more: true }) if bytes.is_empty() => continue,
                Some(Sent::Body { bytes, more: true }) => {
                    Some((Ok(bytes), Some((from_service, leave))))
                }
                Some(Sent::Body { bytes, more: false }) if bytes.is_empty() => None,
                Some(Sent::Body { bytes, more: false }) => Some((Ok(bytes), None)),
                Some(Sent::Start(..)) => continue,
                None => Some((Err(Broken), None)),
            };
        }
    })
}
