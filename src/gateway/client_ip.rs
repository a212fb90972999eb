//! The address that a request really comes from.

use std::net::IpAddr;

use actix_web::{HttpMessage, HttpRequest};

/// Noted in a request's extensions by the HTTP edge, which knows the proxies to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

/// Address of the client behind a request: what the edge found out, else the peer's own. None for
/// transports without addresses.
pub fn client_ip(request: &HttpRequest) -> Option<IpAddr> {
    let noted = request.extensions().get::<ClientIp>().map(|noted| noted.0);
    noted.or_else(|| Some(request.peer_addr()?.ip().to_canonical()))
}
