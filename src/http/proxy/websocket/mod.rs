//! WebSockets of ASGI applications: the upgrade becomes one call of `serve` with a `websocket`
//! scope, which takes and gives messages through its two callbacks.

pub mod credentials;
mod frames;
mod line;
mod messages;

use std::sync::Arc;
use std::time::Duration;

use actix_http::ws::{hash_key, verify_handshake};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::stream::{self, Stream};
use futures::{FutureExt, StreamExt};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::asgi::{self, FAREWELL, Headers};
use super::functions::is_framing;
use super::pipe::{Entrance, Exit, pipe};
use super::{TextError, Visit, failed, scope, text};
use crate::gateway::{HangUp, SocketHandle, hung_up};
use crate::http::HttpError;
use crate::http::reading::Patience;
use crate::map;
use crate::peer::AnsweringCallback;
use crate::wire::{Map, Value};
use credentials::{in_protocol, offered};
use frames::{Event, Frames, Outgoing, encode};
use line::{Inbound, Line, ROOM, Verdict};

/// How long the caller has to answer a close frame.
const CLOSING: Duration = Duration::from_secs(5);

/// Answers an upgrade as the application decides.
pub(super) async fn serve(
    request: &HttpRequest,
    payload: Payload,
    visit: Visit,
) -> Result<HttpResponse, TextError> {
    if let Err(error) = verify_handshake(request.head()) {
        return Err(HttpError::Invalid(error.to_string()).into());
    }
    let offered = offered(request);
    let (visible, tokens): (Vec<_>, Vec<_>) = offered
        .into_iter()
        .partition(|protocol| in_protocol(protocol).is_none());
    let scope = scope::websocket(request, &visit, visible);
    let patience = Patience::with(request, &visit.node);
    let limits = &visit.node.gateway.limits;
    let heart = Heart {
        interval: limits.ping_interval,
        misses: limits.ping_misses,
    };
    let frames = Frames::new(payload, limits.max_frame_bytes);
    let (decided, verdict) = oneshot::channel();
    let (to_socket, from_service) = pipe(ROOM);
    let (inbox, messages) = pipe(ROOM);
    let line = Arc::new(Line::new(decided, to_socket, messages));
    let watch = watch(request);
    let early = watch_of(request, &line);
    actix_web::rt::spawn(run(scope, visit, line.clone()));
    // Dropped with this handler when the caller leaves before the application decided.
    let undecided = line.over.clone().drop_guard();
    let verdict = verdict.await;
    drop(early);
    match verdict {
        Ok(Verdict::Accepted(protocol, headers)) => {
            let reading = undecided.disarm();
            // Browsers give up when none of what they offer is chosen.
            let protocol = protocol.or_else(|| tokens.into_iter().next());
            let mut response = switched(request, protocol, headers)?;
            let writer = Writer {
                exit: from_service,
                over: reading,
                gone: line.gone.clone().drop_guard(),
            };
            actix_web::rt::spawn(read(frames, line, inbox, watch, heart));
            Ok(response.streaming(patience.over(writer.bytes())))
        }
        Ok(Verdict::Refused) => Ok(text(403, "The application refused the WebSocket".into())),
        Ok(Verdict::Denied(status, headers, body)) => {
            let leave = asgi::Leave::of_line(undecided);
            let body = asgi::Answer {
                from_service: body,
                leave,
                patience,
            };
            Ok(asgi::response(status, headers, false, body))
        }
        Ok(Verdict::Failed(error)) => Err(error.into()),
        Err(_) => Err(HttpError::Application("the WebSocket was not decided".into()).into()),
    }
}

fn watch(request: &HttpRequest) -> Option<HangUp> {
    let socket = request.conn_data::<SocketHandle>()?;
    socket.hang_up()
}

/// Ends the line when the caller leaves while the application decides; until it is dropped.
fn watch_of(request: &HttpRequest, line: &Arc<Line>) -> DropGuard {
    let (watch, over, decided) = (watch(request), line.over.clone(), CancellationToken::new());
    let stop = decided.clone();
    actix_web::rt::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = hung_up(watch.as_ref()) => over.cancel(),
        }
    });
    decided.drop_guard()
}

fn switched(
    request: &HttpRequest,
    protocol: Option<String>,
    headers: Headers,
) -> Result<actix_web::HttpResponseBuilder, HttpError> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY);
    let accept = hash_key(key.map_or(b"".as_slice(), HeaderValue::as_bytes));
    let invalid =
        |_| HttpError::Application("the application chose an impossible subprotocol".into());
    let mut response = HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS);
    response.upgrade("websocket");
    if let Ok(accept) = HeaderValue::from_bytes(&accept) {
        response.insert_header((SEC_WEBSOCKET_ACCEPT, accept));
    }
    if let Some(protocol) = protocol {
        let protocol = HeaderValue::try_from(protocol).map_err(invalid)?;
        response.insert_header((SEC_WEBSOCKET_PROTOCOL, protocol));
    }
    for (name, value) in headers {
        if !is_framing(name.as_str()) && !name.as_str().starts_with("sec-websocket-") {
            response.append_header((name, value));
        }
    }
    Ok(response)
}

/// Calls the application and waits for its end.
async fn run(scope: Map, visit: Visit, line: Arc<Line>) {
    let mut call = asgi::call(&visit);
    let receiving = line.clone();
    let receive: AnsweringCallback = Arc::new(move |_| {
        let line = receiving.clone();
        async move {
            let over = line.over.clone();
            tokio::select! {
                biased;
                message = line.receive() => Ok(message),
                // Only while undecided: the reader ends the inbox before it says that it is over.
                () = over.cancelled() => Ok(line.receive_end()),
            }
        }
        .boxed()
    });
    let sending = line.clone();
    let send: AnsweringCallback = Arc::new(move |mut args| {
        let message = if args.is_empty() {
            Value::Nil
        } else {
            args.swap_remove(0)
        };
        sending.send(message)
    });
    let receive = call.answering_callback("receive", receive);
    let send = call.answering_callback("send", send);
    let call = call.arg(map! { "scope" => scope, "receive" => receive, "send" => send });
    let left = async {
        line.over.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    let outcome = tokio::select! {
        outcome = call.send_to_living() => outcome.map(|_| ()).map_err(failed),
        () = left => Ok(()),
    };
    line.finish(outcome);
}

/// When a silent caller is asked whether it lives.
struct Heart {
    interval: Duration,
    misses: u32,
}

/// Hands on what the caller sends, no faster than the application takes it.
async fn read(
    mut frames: Frames,
    line: Arc<Line>,
    inbox: Entrance<Inbound>,
    watch: Option<HangUp>,
    heart: Heart,
) {
    let mut silent = 0;
    loop {
        let event = tokio::select! {
            event = frames.next() => event,
            () = line.gone.cancelled() => Event::Lost,
            () = tokio::time::sleep(heart.interval) => {
                silent += 1;
                if silent <= heart.misses {
                    line.to_socket.offer(Outgoing::Ping, 0);
                    continue;
                }
                Event::Lost
            }
        };
        silent = 0;
        let (message, length) = match event {
            Event::Text(text) => {
                let length = text.len();
                (Inbound::Text(text), length)
            }
            Event::Binary(bytes) => {
                let length = bytes.len();
                (Inbound::Binary(bytes), length)
            }
            Event::Ping(bytes) => {
                line.to_socket.offer(Outgoing::Pong(bytes), 125);
                continue;
            }
            Event::Pong => continue,
            end => {
                say_goodbye(&line, end);
                break;
            }
        };
        // There is one reader, so that there is always a place to wait.
        let Ok(room) = inbox.put(message, length) else {
            continue;
        };
        tokio::select! {
            () = room => {}
            () = hung_up(watch.as_ref()) => {
                line.ended(1006, "");
                break;
            }
            () = line.gone.cancelled() => {
                line.ended(1006, "");
                break;
            }
        }
    }
    // In this order: the application reads all messages before the end.
    drop(inbox);
    line.over.cancel();
}

fn say_goodbye(line: &Line, end: Event) {
    match end {
        Event::Closed(Some(reason)) => {
            let code = u16::from(reason.code);
            line.ended(code, &reason.description.unwrap_or_default());
            line.close(Outgoing::Close(code, String::new()));
        }
        Event::Closed(None) => {
            line.ended(1005, "");
            line.close(Outgoing::CloseBare);
        }
        Event::Broken(code, reason) => {
            line.ended(code, &reason);
            line.close(Outgoing::Close(code, reason));
        }
        _ => line.ended(1006, ""),
    }
}

/// Gives the socket what the application sends.
struct Writer {
    exit: Exit<Outgoing>,
    over: CancellationToken,
    #[allow(
        dead_code,
        reason = "dropping it tells the reader that the socket is gone"
    )]
    gone: DropGuard,
}

impl Writer {
    fn bytes(self) -> impl Stream<Item = Result<Bytes, actix_http::ws::ProtocolError>> {
        stream::unfold((self, false), |(mut writer, closed)| async move {
            if closed {
                // The caller answers a close frame, and reads it first.
                let _ = tokio::time::timeout(CLOSING, writer.over.cancelled()).await;
                return None;
            }
            let message = tokio::select! {
                biased;
                message = writer.exit.take() => message?,
                () = writer.over.cancelled() => {
                    // The reader may have left a last word.
                    writer.exit.take().now_or_never()??
                }
            };
            let closing = matches!(message, Outgoing::Close(..) | Outgoing::CloseBare);
            let parts: Vec<_> = match encode(message) {
                Ok((head, body)) => std::iter::once(head).chain(body).map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            Some((stream::iter(parts), (writer, closing)))
        })
        .flatten()
    }
}
