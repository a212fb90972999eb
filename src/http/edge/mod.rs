//! What every HTTP request passes on its way in and out: who sends it, whether it is one too
//! many, and which web pages may read the answer.

mod access;
mod base;
mod cors;
mod hosts;
mod meter;
mod origin;
mod rate;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::LOCATION;
use actix_web::middleware::Next;
use actix_web::web::Data;

use serde_json::json;

pub use hosts::AtRoot;
pub use meter::Sums;

use access::Access;
use base::BasePath;
use cors::{Cors, decorate};
use hosts::Hosts;
use meter::{Meter, Meters, Route};
use origin::Proxies;
use rate::Limiter;

use crate::config::Config;
use crate::node::{Node, NodeError};
use crate::supervision::SharedClock;

/// The state of the edge, shared by all connections.
pub struct Edge {
    base: BasePath,
    hosts: Hosts,
    proxies: Proxies,
    limiter: Limiter,
    cors: Cors,
    meters: Meters,
}

impl Edge {
    /// # Errors
    /// A trusted proxy is no address, or a host leads nowhere.
    pub fn new(config: &Config, clock: SharedClock) -> Result<Self, NodeError> {
        Ok(Edge {
            base: BasePath::new(config.server.prefix()),
            hosts: Hosts::parse(&config.server.hosts).map_err(NodeError::Host)?,
            proxies: Proxies::parse(&config.server.trusted_proxies)?,
            limiter: Limiter::new(&config.limits, clock),
            cors: Cors::new(&config.server.allow_origins),
            meters: Meters::default(),
        })
    }

    /// A meter for one more thread that serves.
    pub fn meter(&self) -> Arc<Meter> {
        self.meters.add()
    }

    /// The requests so far, by route.
    pub fn requests(&self) -> Vec<Sums> {
        self.meters.sums()
    }

    /// Callers that the rate limit remembers.
    pub fn callers(&self) -> usize {
        self.limiter.callers()
    }

    /// Requests refused for their number: without and with a verified token.
    pub fn limited(&self) -> (u64, u64) {
        self.limiter.refused()
    }
}

/// Probes of whoever runs the server; they pass whatever their sender has done.
fn is_health(path: &str) -> bool {
    path == "/health" || path.starts_with("/health/")
}

/// The middleware around all routes.
pub async fn pass<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> actix_web::Result<ServiceResponse<EitherBody<B>>> {
    let (meter, began) = (state::<Meter>(&request), Instant::now());
    let edge = state::<Edge>(&request);
    let place = edge.hosts.enter(&mut request);
    if place.is_none()
        && let Err(instead) = edge.base.enter(&mut request)
    {
        return Ok(answer(request, outside(instead)));
    }
    let route = Route::of(request.path());
    let origin = edge.proxies.note(&request);
    let access = Access::of(&request, origin);
    let mut response = guarded(&edge, request, origin, next).await?;
    match place {
        Some(place) => place.leave(response.headers_mut()),
        None => edge.base.leave(response.headers_mut()),
    }
    let (status, took) = (response.status(), began.elapsed());
    meter.count(route, status, took);
    if let Some(access) = access {
        access.log(status, took);
    }
    Ok(response)
}

async fn guarded<B: MessageBody + 'static>(
    edge: &Edge,
    request: ServiceRequest,
    origin: Option<IpAddr>,
    next: Next<B>,
) -> actix_web::Result<ServiceResponse<EitherBody<B>>> {
    let node = state::<Node>(&request);
    // Outermost: a refused request costs nothing more, and no page may read the refusal.
    if let Some(refusal) = edge.limiter.check(&request, origin, &node.directory.tokens) {
        return Ok(answer(request, refusal));
    }
    if let Some(refusal) = keep_out(&request, origin, &node) {
        return Ok(answer(request, refusal));
    }
    let caller = edge.cors.judge(&request);
    let mut response = match edge.cors.preflight(&request, &caller) {
        Some(preflight) => answer(request, preflight),
        None => next.call(request).await?.map_into_left_body(),
    };
    decorate(response.headers_mut(), caller);
    Ok(response)
}

/// For a request that is not below the server's base path.
fn outside(instead: Option<String>) -> HttpResponse {
    match instead {
        Some(path) => HttpResponse::TemporaryRedirect()
            .insert_header((LOCATION, path))
            .finish(),
        None => HttpResponse::NotFound().json(json!({ "detail": "Not Found" })),
    }
}

/// Refuses addresses on the blocklist. A WebSocket is refused by its handshake, whose words its
/// client shows to people.
fn keep_out(request: &ServiceRequest, origin: Option<IpAddr>, node: &Node) -> Option<HttpResponse> {
    let path = request.path();
    if path == "/ws" || is_health(path) {
        return None;
    }
    let blocked = node.directory.blocklist.check_ip(origin).err()?;
    Some(HttpResponse::Forbidden().json(json!({ "detail": blocked.to_string() })))
}

fn answer<B>(request: ServiceRequest, answer: HttpResponse) -> ServiceResponse<EitherBody<B>> {
    request.into_response(answer).map_into_right_body()
}

/// What the server gave all its requests.
fn state<T: 'static>(request: &ServiceRequest) -> Data<T> {
    let data = request.app_data::<Data<T>>();
    data.cloned()
        .expect("the server registers its state before it serves")
}
