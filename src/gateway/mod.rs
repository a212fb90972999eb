//! The doors for clients: the WebSocket endpoint, the stream over HTTP, their handshake, and the
//! watch over open connections.

mod client_ip;
mod connection;
mod delivery;
mod frames;
mod handshake;
mod limits;
mod presence;
mod socket;
pub mod stream;
mod throttle;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::BoxFuture;

pub use client_ip::{ClientIp, client_ip};
pub use connection::{ConnectionActor, upgrade};
pub use handshake::{Hello, Refusal, RefusalKind};
pub use limits::GatewayLimits;
pub use presence::Presence;
pub use socket::{HangUp, SocketHandle, hung_up};
pub use watchdog::WatchdogActor;

use crate::peer::Peer;
use crate::router::{CLOSE_GOING_AWAY, Census, Client, ClientSpec, Router};
use crate::supervision::SharedClock;
use crate::wire::Map;
use stream::Streams;

/// A connection that may be registered.
pub struct Admission {
    pub spec: ClientSpec,
    /// It proved with a reconnection token that it continues an earlier connection.
    pub supersede: bool,
}

/// Who may connect, and what follows from it. The workspaces implement this.
pub trait Membership: Send + Sync {
    /// Identifies a connection and prepares its workspace.
    fn admit(&self, hello: Hello) -> BoxFuture<'_, Result<Admission, Refusal>>;
    /// The first message to a registered client, `connection_info` (protocol 1.3).
    fn welcome(&self, client: &Client) -> Map;
    /// A fresh reconnection token.
    fn reconnection_token(&self, client: &Client) -> String;
    /// The connection is registered.
    fn joined(&self, client: &Arc<Client>);
    /// The connection ended, superseded or not; balances `joined`.
    fn closed(&self, client: &Arc<Client>);
    /// Forgets what is over; called now and then.
    fn sweep(&self);
    /// The connection is gone; it was the current one of its address.
    fn left(&self, client: &Arc<Client>);
}

/// What all connections share.
pub struct Gateway {
    pub router: Arc<Router>,
    pub peer: Arc<Peer>,
    pub members: Arc<dyn Membership>,
    pub limits: GatewayLimits,
    pub streams: Streams,
    pub clock: SharedClock,
    draining: AtomicBool,
    setups: AtomicUsize,
    sockets: Census,
}

impl Gateway {
    pub fn new(
        router: Arc<Router>,
        peer: Arc<Peer>,
        members: Arc<dyn Membership>,
        limits: GatewayLimits,
        clock: SharedClock,
    ) -> Arc<Self> {
        Arc::new(Gateway {
            router,
            peer,
            members,
            limits,
            streams: Streams::default(),
            clock,
            draining: AtomicBool::new(false),
            setups: AtomicUsize::new(0),
            sockets: Census::default(),
        })
    }

    /// Begins the end: no new connections, and the living ones are closed with 1001.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        for client in self.router.all() {
            client.close(CLOSE_GOING_AWAY, "Server is shutting down");
        }
    }

    /// Takes a connection out with all it offers, unless another one has taken its place.
    fn remove(&self, client: &Arc<Client>) {
        if self.router.unregister(client) {
            self.peer.client_gone(&client.address);
            self.members.left(client);
        }
    }

    /// Whether the server is on its way out.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Connections in set-up.
    pub fn setups(&self) -> usize {
        self.setups.load(Ordering::Relaxed)
    }

    /// Connection actors in memory, whatever their stage.
    pub fn sockets(&self) -> usize {
        self.sockets.count()
    }

    /// Takes a place among the connections that are being set up. None: the server has too much
    /// to do, and the client should be told 503, which it retries; an error after the upgrade
    /// would make it give up for ever (protocol 1.5).
    fn begin_setup(self: &Arc<Self>) -> Option<SetupPlace> {
        let taken = self.setups.fetch_add(1, Ordering::AcqRel) + 1;
        let place = SetupPlace(self.clone());
        (taken <= self.limits.max_setups && !self.is_draining()).then_some(place)
    }
}

/// A place among the connections in set-up, given back when dropped.
struct SetupPlace(Arc<Gateway>);

impl Drop for SetupPlace {
    fn drop(&mut self) {
        self.0.setups.fetch_sub(1, Ordering::AcqRel);
    }
}
