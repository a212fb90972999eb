//! `GET /rpc`: a client asks for its stream.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING};
use actix_web::{HttpRequest, HttpResponse};
use thiserror::Error;

use super::body::StreamBody;
use super::table::{Streams, Uplink};
use crate::gateway::{Gateway, Hello, Presence, Refusal, SocketHandle, client_ip};
use crate::router::Transport;

/// Media type of a stream.
pub const CONTENT_TYPE: &str = "application/x-msgpack-stream";

/// Why there is no stream.
#[derive(Debug, Error)]
pub enum NotOpened {
    /// The client should try again soon.
    #[error("The server is busy or stopping; try again.")]
    Busy,
    #[error("{}", .0.detail)]
    Refused(Refusal),
}

/// Admits a client and begins its stream.
///
/// # Errors
/// See [`NotOpened`].
pub async fn open(
    gateway: &Arc<Gateway>,
    request: &HttpRequest,
    hello: Hello,
) -> Result<HttpResponse, NotOpened> {
    let _place = gateway.begin_setup().ok_or(NotOpened::Busy)?;
    let remote = client_ip(request).map(|address| address.to_string());
    let token = hello.token.clone();
    let hello = Hello {
        remote: remote.unwrap_or_default(),
        transport: Transport::Http,
        ..hello
    };
    let admitted = gateway.members.admit(hello).await;
    let mut admission = admitted.map_err(NotOpened::Refused)?;
    admission.spec.cut = request
        .conn_data::<SocketHandle>()
        .copied()
        .and_then(SocketHandle::cutter);
    let (presence, closed) = Presence::enter(gateway, admission).map_err(NotOpened::Refused)?;
    let now = Duration::from_millis(gateway.router.now_ms());
    let uplink = Uplink::new(presence.client.clone(), token, &gateway.limits, now);
    let seat = Streams::enter(gateway, uplink);
    if gateway.is_draining() {
        // The order to all connections may have missed this one.
        return Err(NotOpened::Busy);
    }
    let body = StreamBody::new(gateway.clone(), presence, seat, closed);
    Ok(HttpResponse::Ok()
        .content_type(CONTENT_TYPE)
        .insert_header((CACHE_CONTROL, "no-cache"))
        // Neither proxies nor our own compression may hold messages back.
        .insert_header(("X-Accel-Buffering", "no"))
        .insert_header((CONTENT_ENCODING, "identity"))
        .streaming(body))
}
