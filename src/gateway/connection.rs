//! One WebSocket: bridges its frames to the router and its mailbox to the socket.
//!
//! Temporary in the sense of supervision: it is never restarted, the client reconnects. It is
//! thin on purpose, so that the deprecated actix-web-actors can be exchanged.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, StreamHandler, WrapFuture};
use actix_http::ws::{CloseCode, CloseReason, Item, Message, ProtocolError};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actix_web_actors::ws::{self, WebsocketContext};
use bytes::{Bytes, BytesMut};
use futures::Stream;

use super::client_ip::client_ip;
use super::frames::{Event, FrameStream, Link};
use super::handshake::{
    Hello, Refusal, RefusalKind, authenticates_by_query, parse_hello, truncate, undecodable,
};
use super::limits::MAX_TEXT;
use super::presence::Presence;
use super::socket::SocketHandle;
use super::{Admission, Gateway, SetupPlace};
use crate::router::{Client, CloseOrder, Counted, Outgoing, Transport};
use crate::wire::Value;

/// Bodies above this travel as a second fragment of their message instead of being copied
/// behind the header.
const FRAGMENT_ABOVE: usize = 16 * 1024;

/// Handler of `GET /ws`.
pub async fn upgrade(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> actix_web::Result<HttpResponse> {
    let gateway = gateway.into_inner();
    let Some(place) = gateway.begin_setup() else {
        return Ok(HttpResponse::ServiceUnavailable()
            .insert_header(("Retry-After", "1"))
            .body("The server is busy or stopping; try again."));
    };
    let mut response = ws::handshake(&request)?;
    let remote = client_ip(&request).map(|address| address.to_string());
    let link = Rc::new(Link {
        gateway: gateway.clone(),
        client: OnceCell::new(),
        finished: RefCell::new(false),
    });
    let actor = ConnectionActor {
        _counted: gateway.sockets.enter(),
        gateway,
        stage: if authenticates_by_query(request.query_string()) {
            Stage::OldProtocol
        } else {
            Stage::Hello(place)
        },
        frames: Some(FrameStream::new(payload, link.clone())),
        link,
        remote: remote.unwrap_or_default(),
        socket: request.conn_data::<SocketHandle>().copied(),
    };
    // The actor reads through its own stream (see `frames`); the context gets an empty one.
    let body = WebsocketContext::create(actor, futures::stream::empty());
    Ok(response.streaming(body))
}

/// How far the connection is.
enum Stage {
    /// Authentication in the URL: refused without an error text.
    OldProtocol,
    /// The first frame is awaited.
    Hello(SetupPlace),
    /// The first frame is being judged.
    Judging(#[allow(dead_code, reason = "held until the set-up ends")] SetupPlace),
    Open(#[allow(dead_code, reason = "dropping it unregisters the client")] Presence),
    Over,
}

/// See the module's text.
pub struct ConnectionActor {
    gateway: Arc<Gateway>,
    stage: Stage,
    frames: Option<FrameStream>,
    link: Rc<Link>,
    remote: String,
    socket: Option<SocketHandle>,
    _counted: Counted,
}

type Ctx = WebsocketContext<ConnectionActor>;

impl Actor for ConnectionActor {
    type Context = Ctx;

    fn started(&mut self, ctx: &mut Ctx) {
        if let Some(frames) = self.frames.take() {
            ctx.add_stream(frames);
        }
        if let Stage::OldProtocol = self.stage {
            return self.refuse_old_protocol(ctx);
        }
        ctx.run_later(self.gateway.limits.hello_deadline, |actor, ctx| {
            if let Stage::Hello(_) = actor.stage {
                let refusal =
                    Refusal::policy(RefusalKind::Invalid, "Authentication payload timeout");
                actor.refuse(&refusal, ctx);
            }
        });
    }
}

impl ConnectionActor {
    fn refuse_old_protocol(&mut self, ctx: &mut Ctx) {
        self.end(
            1008,
            "Connection rejected, please  upgrade to `hypha-rpc` which pass the authentication \
             information in the first message",
            ctx,
        );
    }

    fn refuse(&mut self, refusal: &Refusal, ctx: &mut Ctx) {
        tracing::info!(
            remote = self.remote,
            reason = refusal.reason,
            "connection refused"
        );
        ctx.text(refusal.text());
        let reason = refusal.close_reason().to_owned();
        self.end(refusal.code, &reason, ctx);
    }

    fn end(&mut self, code: u16, reason: &str, ctx: &mut Ctx) {
        self.stage = Stage::Over;
        *self.link.finished.borrow_mut() = true;
        ctx.close(Some(CloseReason {
            code: CloseCode::from(code),
            description: Some(truncate(reason, 123).to_owned()),
        }));
        ctx.stop();
    }

    fn text(&mut self, bytes: &Bytes, ctx: &mut Ctx) {
        match &self.stage {
            Stage::Hello(_) => match std::str::from_utf8(bytes).map(parse_hello) {
                Ok(Ok(hello)) => self.judge(hello, ctx),
                Ok(Err(refusal)) => self.refuse(&refusal, ctx),
                Err(_) => self.refuse(&undecodable(), ctx),
            },
            Stage::Open(presence) if bytes.len() <= MAX_TEXT => {
                if let Some(answer) = self.control(bytes, &presence.client) {
                    ctx.text(answer);
                }
            }
            _ => {}
        }
    }

    /// Answers to control messages (protocol 1.7); anything else is ignored.
    fn control(&self, bytes: &[u8], client: &Client) -> Option<String> {
        let message: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        match message.get("type")?.as_str()? {
            "ping" => Some(r#"{"type":"pong"}"#.to_owned()),
            "refresh_token" => Some(
                serde_json::json!({
                    "type": "reconnection_token",
                    "reconnection_token": self.gateway.members.reconnection_token(client),
                })
                .to_string(),
            ),
            _ => None,
        }
    }

    fn judge(&mut self, hello: Hello, ctx: &mut Ctx) {
        let Stage::Hello(place) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        self.stage = Stage::Judging(place);
        let hello = Hello {
            remote: self.remote.clone(),
            transport: Transport::WebSocket,
            ..hello
        };
        let gateway = self.gateway.clone();
        let verdict = async move { gateway.members.admit(hello).await };
        let entered = verdict
            .into_actor(self)
            .map(|verdict, actor, ctx| match verdict {
                Ok(admission) => actor.enter(admission, ctx),
                Err(refusal) => actor.refuse(&refusal, ctx),
            });
        ctx.spawn(entered);
    }

    fn enter(&mut self, mut admission: Admission, ctx: &mut Ctx) {
        if !matches!(self.stage, Stage::Judging(_)) {
            return;
        }
        admission.spec.cut = self.socket.and_then(SocketHandle::cutter);
        let (presence, closed) = match Presence::enter(&self.gateway, admission) {
            Ok(entered) => entered,
            Err(refusal) => return self.refuse(&refusal, ctx),
        };
        let client = presence.client.clone();
        let welcome = Value::Map(self.gateway.members.welcome(&client));
        ctx.text(welcome.to_json().to_string());
        ctx.add_stream(MailboxStream(client.clone()));
        ctx.spawn(closed.into_actor(self).map(|order, actor, ctx| {
            if let Ok(order) = order {
                actor.obey(&order, ctx);
            }
        }));
        // From here on the frame stream routes binary frames.
        let _ = self.link.client.set(client);
        self.stage = Stage::Open(presence);
    }

    /// Closes on somebody's order, after sending what is queued.
    fn obey(&mut self, order: &CloseOrder, ctx: &mut Ctx) {
        if let Stage::Open(presence) = &self.stage {
            let mut rest = VecDeque::new();
            let waker = futures::task::noop_waker();
            let _ = presence
                .client
                .mailbox
                .poll_drain(&mut Context::from_waker(&waker), &mut rest);
            rest.into_iter().for_each(|message| write(message, ctx));
        }
        self.end(order.code, &order.reason, ctx);
    }
}

impl StreamHandler<Event> for ConnectionActor {
    fn handle(&mut self, event: Event, ctx: &mut Ctx) {
        match event {
            Event::Text(bytes) => self.text(&bytes, ctx),
            Event::EarlyBinary => {
                if let Stage::Hello(_) = self.stage {
                    self.refuse(&undecodable(), ctx);
                }
            }
            Event::Ping(bytes) => ctx.pong(&bytes),
            Event::Closed(reason) => {
                ctx.close(reason);
                self.stage = Stage::Over;
                ctx.stop();
            }
            Event::Broken(code, text) => self.end(code, &text, ctx),
            Event::Lost => {
                self.stage = Stage::Over;
                ctx.stop();
            }
        }
    }

    fn finished(&mut self, _ctx: &mut Ctx) {}
}

// The context insists on its own stream of messages, which is empty here.
impl StreamHandler<Result<Message, ProtocolError>> for ConnectionActor {
    fn handle(&mut self, _item: Result<Message, ProtocolError>, _ctx: &mut Ctx) {}
    fn finished(&mut self, _ctx: &mut Ctx) {}
}

impl StreamHandler<VecDeque<Outgoing>> for ConnectionActor {
    fn handle(&mut self, batch: VecDeque<Outgoing>, ctx: &mut Ctx) {
        // All of a batch is encoded into one buffer and flushed once.
        batch.into_iter().for_each(|message| write(message, ctx));
    }

    // A mailbox ends because the connection was ordered to close, which `obey` does.
    fn finished(&mut self, _ctx: &mut Ctx) {}
}

fn write(message: Outgoing, ctx: &mut Ctx) {
    match message {
        Outgoing::Ping => ctx.ping(b""),
        Outgoing::Frame { header, body } if body.is_empty() => ctx.binary(header),
        Outgoing::Frame { header, body } if body.len() > FRAGMENT_ABOVE => {
            ctx.write_raw(Message::Continuation(Item::FirstBinary(header)));
            ctx.write_raw(Message::Continuation(Item::Last(body)));
        }
        Outgoing::Frame { header, body } => {
            let mut whole = BytesMut::with_capacity(header.len() + body.len());
            whole.extend_from_slice(&header);
            whole.extend_from_slice(&body);
            ctx.binary(whole.freeze());
        }
    }
}

/// The mailbox as a stream of batches.
struct MailboxStream(Arc<Client>);

impl Stream for MailboxStream {
    type Item = VecDeque<Outgoing>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut batch = VecDeque::new();
        match self.0.mailbox.poll_drain(cx, &mut batch) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(true) => Poll::Ready(Some(batch)),
            Poll::Ready(false) => Poll::Ready(None),
        }
    }
}
