//! The open streams, by the address of their client: where its requests find it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use subtle::ConstantTimeEq;
use tokio::sync::{Mutex, Semaphore};

use super::super::Gateway;
use super::super::limits::GatewayLimits;
use super::super::throttle::Throttle;
use crate::router::Client;

/// Bytes that one permit of [`Uplink::room`] stands for.
const PERMIT_BYTES: usize = 1024;

/// The sending side of a client with a stream.
pub struct Uplink {
    pub client: Arc<Client>,
    /// The token that came with the request for the stream.
    token: Option<String>,
    /// Held while a message is routed, so that messages stay in order. Fair: first come, first
    /// served.
    pub(super) turn: Mutex<Throttle>,
    /// Bounds what unfinished requests of one client hold in memory.
    pub(super) room: Semaphore,
    /// The server asks whether the client lives: the answer is no use of it.
    asked: AtomicBool,
}

impl Uplink {
    pub(super) fn new(
        client: Arc<Client>,
        token: Option<String>,
        limits: &GatewayLimits,
        now: Duration,
    ) -> Arc<Self> {
        let throttle = Throttle::new(limits.message_rate, limits.message_burst, now);
        Arc::new(Uplink {
            client,
            token,
            turn: Mutex::new(throttle),
            room: Semaphore::new(permits(limits.max_post_bytes)),
            asked: AtomicBool::new(false),
        })
    }

    /// Whether a request comes with the same token as the request for the stream, or like it
    /// without one. Whoever opened the stream proved who they are, maybe by a reconnection token
    /// alone: then this holds even when the other token has expired meanwhile.
    pub fn has_token(&self, token: Option<&str>) -> bool {
        match (&self.token, token) {
            (Some(own), Some(token)) => own.as_bytes().ct_eq(token.as_bytes()).into(),
            (own, token) => own.is_none() && token.is_none(),
        }
    }

    pub(super) fn set_asked(&self, asked: bool) {
        self.asked.store(asked, Ordering::Relaxed);
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Permits of [`Uplink::room`] for a request body of `bytes`.
pub(super) fn permits(bytes: usize) -> usize {
    bytes.div_ceil(PERMIT_BYTES).max(1)
}

/// See the module's text.
#[derive(Default)]
pub struct Streams {
    uplinks: DashMap<Arc<str>, Arc<Uplink>>,
}

impl Streams {
    /// The stream of the client `workspace/client_id`.
    pub fn find(&self, address: &str) -> Option<Arc<Uplink>> {
        self.uplinks.get(address).map(|uplink| uplink.clone())
    }

    /// How many streams are open.
    pub fn len(&self) -> usize {
        self.uplinks.len()
    }

    /// Whether no stream is open.
    pub fn is_empty(&self) -> bool {
        self.uplinks.is_empty()
    }

    pub(super) fn all(&self) -> Vec<Arc<Uplink>> {
        self.uplinks.iter().map(|uplink| uplink.clone()).collect()
    }

    pub(super) fn enter(gateway: &Arc<Gateway>, uplink: Arc<Uplink>) -> Seat {
        let address = uplink.client.address.clone();
        gateway.streams.uplinks.insert(address, uplink.clone());
        Seat {
            gateway: gateway.clone(),
            uplink,
        }
    }
}

/// An entry in [`Streams`]; dropping it takes it out, unless a newer stream has replaced it.
pub(super) struct Seat {
    gateway: Arc<Gateway>,
    pub(super) uplink: Arc<Uplink>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let own = &self.uplink.client;
        let uplinks = &self.gateway.streams.uplinks;
        uplinks.remove_if(&own.address, |_, uplink| {
            uplink.client.generation == own.generation
        });
    }
}
