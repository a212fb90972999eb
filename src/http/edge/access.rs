//! The access log: one line per request, at debug, when `log.access` is set.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::dev::ServiceRequest;
use actix_web::http::{Method, StatusCode};

/// Target of the lines, so that they can be switched by themselves.
const TARGET: &str = "rhizome::access";

/// A request as the log shows it: without its query, which may hold a token.
pub struct Access {
    method: Method,
    path: String,
    origin: Option<IpAddr>,
}

impl Access {
    /// None when nobody wants to know.
    pub fn of(request: &ServiceRequest, origin: Option<IpAddr>) -> Option<Self> {
        tracing::enabled!(target: TARGET, tracing::Level::DEBUG).then(|| Access {
            method: request.method().clone(),
            path: shown(request.path()).to_owned(),
            origin,
        })
    }

    /// Writes the line when the answer begins.
    pub fn log(self, status: StatusCode, took: Duration) {
        let Access {
            method,
            path,
            origin,
        } = self;
        let client = origin.map(tracing::field::display);
        let (status, ms) = (status.as_u16(), took.as_secs_f64() * 1000.0);
        tracing::debug!(target: TARGET, client, %method, path, status, ms, "request");
    }
}

/// The key in the address of a session's page is the permission to read it.
fn shown(path: &str) -> &str {
    if path.starts_with("/_pages/") {
        return "/_pages/…";
    }
    path
}
