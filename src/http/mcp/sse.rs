//! The older transport of MCP: answers come over a stream of events, whose first event tells
//! where to send messages.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use dashmap::DashMap;
use futures::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{McpError, base, check, provider, reply, shared, surface};
use crate::node::Node;

/// A comment this often shows that the stream is alive, and finds out that nobody reads it.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Answers that may wait for a slow reader.
const WAITING: usize = 64;
/// Open streams in all.
const MAX_STREAMS: usize = 10_000;

struct Open {
    user: String,
    base: String,
    events: mpsc::Sender<Bytes>,
}

/// The open streams by their session.
#[derive(Default)]
pub struct Streams(DashMap<String, Open>);

/// Takes a stream out of the table when it ends.
struct Entry {
    streams: Arc<Streams>,
    session: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.streams.0.remove(&self.session);
    }
}

fn event(name: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {name}\r\ndata: {data}\r\n\r\n"))
}

/// Handler of `GET …/sse`.
pub async fn open(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
    streams: Data<Streams>,
) -> Result<HttpResponse, McpError> {
    let (workspace, service) = path.into_inner();
    let provider = provider(&request, &workspace, &service, &node).await?;
    // A service that MCP cannot use is refused here, not with its first message.
    surface(&provider).await?;
    if streams.0.len() >= MAX_STREAMS {
        return Err(McpError(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many event streams are open".into(),
        ));
    }
    let session = uuid::Uuid::new_v4().simple().to_string();
    let (sender, events) = mpsc::channel(WAITING);
    let base = base(&node, &workspace, &service);
    let endpoint = format!("{base}/sse/messages/?session_id={session}");
    streams.0.insert(
        session.clone(),
        Open {
            user: provider.context.user.id.clone(),
            base,
            events: sender,
        },
    );
    let entry = Entry {
        streams: streams.into_inner(),
        session,
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("text/event-stream");
    Ok(shared(&mut response).streaming(body(event("endpoint", &endpoint), events, entry)))
}

fn body(
    first: Bytes,
    events: mpsc::Receiver<Bytes>,
    entry: Entry,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let state = (Some(first), events, entry);
    stream::unfold(state, |(first, mut events, entry)| async move {
        let next = match first {
            Some(first) => first,
            None => match tokio::time::timeout(ALIVE_EVERY, events.recv()).await {
                Ok(next) => next?,
                Err(_) => Bytes::from_static(b": alive\r\n\r\n"),
            },
        };
        Some((Ok(next), (None, events, entry)))
    })
}

#[derive(Deserialize)]
pub struct SessionQuery {
    session_id: String,
}

/// Handler of `POST …/sse/messages/`.
pub async fn message(
    request: HttpRequest,
    path: Path<(String, String)>,
    query: Query<SessionQuery>,
    body: Bytes,
    node: Data<Node>,
    streams: Data<Streams>,
) -> Result<HttpResponse, McpError> {
    let (workspace, service) = path.into_inner();
    check(&request)?;
    let provider = provider(&request, &workspace, &service, &node).await?;
    let user = &provider.context.user.id;
    let events = streams
        .0
        .get(&query.session_id)
        // The session is no key: somebody else's stream is not to be written to.
        .filter(|open| open.base == base(&node, &workspace, &service) && open.user == *user)
        .map(|open| open.events.clone());
    let Some(events) = events else {
        return Err(McpError(
            StatusCode::NOT_FOUND,
            "SSE session not found. Please reconnect.".into(),
        ));
    };
    // The answer to the message is on the stream; this one comes first.
    actix_web::rt::spawn(async move {
        let answer = match reply(&provider, &body).await {
            Ok(None) => return,
            Ok(Some((_, answer))) => answer,
            Err(error) => {
                crate::mcp::Failure::new(crate::mcp::INTERNAL_ERROR, error.1).to_json(None)
            }
        };
        // Nobody reads it any more.
        let _ = events.send(event("message", &answer.to_string())).await;
    });
    Ok(shared(&mut HttpResponse::Accepted()).body("Accepted"))
}
