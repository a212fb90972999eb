//! One connected peer, as the router knows it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::census::Counted;
use super::load::LoadMeter;
use super::mailbox::{Mailbox, MailboxLimits, Outgoing, PushError};
use super::open_calls::OpenCalls;
use super::owed::Owed;
use super::tally::Tally;
use crate::identity::{Level, UserInfo};
use crate::wire;

/// How the ids of app sessions begin (server-apps.md 0).
pub const SESSION_PREFIX: &str = "_rapp_";

/// Most event types one connection may subscribe to.
pub const MAX_SUBSCRIPTIONS: usize = 256;

/// Most calls of one connection that the server's own services may be working on.
pub const MAX_RUNNING_CALLS: u32 = 4096;

/// How a connection is asked to end: a WebSocket close code and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseOrder {
    pub code: u16,
    pub reason: String,
}

/// Cuts a connection whose own task does not run any more (its socket takes no more bytes).
pub trait Cut: Send + Sync {
    /// Ends the transport at once, without a farewell.
    fn cut(&self);
}

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    #[default]
    WebSocket,
    /// A streamed response for what it receives, a request for each message it sends.
    Http,
}

impl Transport {
    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            Transport::WebSocket => "websocket",
            Transport::Http => "http",
        }
    }
}

/// What the gateway knows about a connection when it registers it.
pub struct ClientSpec {
    pub workspace: String,
    pub client_id: String,
    pub user: Arc<UserInfo>,
    pub transport: Transport,
    pub cut: Option<Box<dyn Cut>>,
    /// Address of the peer, for people.
    pub remote: String,
}

/// A registered connection. Its fields never change; what moves is atomic or behind its own lock.
pub struct Client {
    /// `workspace/client_id`
    pub address: Arc<str>,
    pub workspace: Arc<str>,
    pub id: Arc<str>,
    /// Rises with every connection of the node; clean-up compares it before it destroys anything.
    pub generation: u64,
    pub user: Arc<UserInfo>,
    /// The user as it is stamped into every routed header, encoded once.
    pub user_packed: Bytes,
    /// What this user may do in its own workspace.
    pub level: Level,
    pub transport: Transport,
    pub remote: String,
    pub mailbox: Mailbox,
    pub load: LoadMeter,
    /// Of app sessions: the calls of other clients that wait for an answer.
    pub open_calls: Option<OpenCalls>,
    /// The answers that others wait for.
    pub owed: Owed,
    pub tally: Tally,
    subscriptions: RwLock<HashSet<String>>,
    close: Mutex<Option<oneshot::Sender<CloseOrder>>>,
    cut: Option<Box<dyn Cut>>,
    /// Milliseconds of the node's clock at the last inbound frame of any kind.
    heard: AtomicU64,
    /// The same, for text and binary frames only (the idle limit).
    active: AtomicU64,
    /// The same, for routed frames from or to this client: what counts as use of an app.
    traffic: AtomicU64,
    /// Pings sent since the last inbound frame.
    pub unanswered_pings: AtomicU32,
    /// Its calls that the server's own services work on.
    running_calls: Arc<AtomicU32>,
    _counted: Counted,
}

/// A place among the running calls of a connection, given back when dropped.
pub struct CallPlace(Arc<AtomicU32>);

impl Drop for CallPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Client {
    pub(super) fn new(
        spec: ClientSpec,
        generation: u64,
        limits: MailboxLimits,
        now_ms: u64,
        counted: Counted,
    ) -> (Arc<Self>, oneshot::Receiver<CloseOrder>) {
        let (close, closed) = oneshot::channel();
        let level = spec.user.level_in(&spec.workspace).unwrap_or(Level::Read);
        let user_packed = wire::encode(&spec.user.to_value());
        let session = spec.client_id.starts_with(SESSION_PREFIX);
        let client = Client {
            address: format!("{}/{}", spec.workspace, spec.client_id).into(),
            workspace: spec.workspace.into(),
            id: spec.client_id.into(),
            generation,
            user: spec.user,
            user_packed,
            level,
            transport: spec.transport,
            remote: spec.remote,
            mailbox: Mailbox::new(limits),
            load: LoadMeter::default(),
            open_calls: session.then(OpenCalls::default),
            owed: Owed::default(),
            tally: Tally::default(),
            subscriptions: RwLock::default(),
            close: Mutex::new(Some(close)),
            cut: spec.cut,
            heard: AtomicU64::new(now_ms),
            active: AtomicU64::new(now_ms),
            traffic: AtomicU64::new(now_ms),
            unanswered_pings: AtomicU32::new(0),
            running_calls: Arc::default(),
            _counted: counted,
        };
        (Arc::new(client), closed)
    }

    /// Puts a message into the mailbox without waiting.
    pub fn push(&self, message: Outgoing) -> Result<(), PushError> {
        self.mailbox.push(message)
    }

    /// Asks the connection to close; the first order counts. What is queued is still sent.
    pub fn close(&self, code: u16, reason: impl Into<String>) {
        if let Some(close) = self.close.lock().take() {
            let order = CloseOrder {
                code,
                reason: reason.into(),
            };
            // The receiver is gone when the connection ended by itself meanwhile.
            let _ = close.send(order);
        }
        self.mailbox.close();
    }

    /// Ends the transport without waiting for the peer: for connections that take no more bytes.
    pub fn cut(&self) {
        self.mailbox.close();
        if let Some(cut) = &self.cut {
            cut.cut();
        }
    }

    /// Takes a place among the connection's running calls; none when there are too many.
    pub fn begin_call(&self) -> Option<CallPlace> {
        let running = self.running_calls.fetch_add(1, Ordering::Relaxed) + 1;
        let place = CallPlace(self.running_calls.clone());
        (running <= MAX_RUNNING_CALLS).then_some(place)
    }

    /// Notes an inbound frame. `counts` is false for protocol pongs, which do not end idleness.
    pub fn heard(&self, now_ms: u64, counts: bool) {
        self.heard.store(now_ms, Ordering::Relaxed);
        self.unanswered_pings.store(0, Ordering::Relaxed);
        if counts {
            self.active.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Whether it works on something: for the server, or for another client as far as that is known.
    pub fn is_busy(&self, now_ms: u64) -> bool {
        let open = self.open_calls.as_ref();
        self.load.in_flight() > 0 || open.is_some_and(|open| open.count(now_ms) > 0)
    }

    /// Milliseconds of the node's clock when anything was last heard.
    pub fn last_heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Milliseconds of the node's clock at the last text or binary frame.
    pub fn last_active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Notes a routed frame from or to this client.
    pub fn used(&self, now_ms: u64) {
        self.traffic.store(now_ms, Ordering::Relaxed);
    }

    /// Milliseconds of the node's clock at the last routed frame from or to this client.
    pub fn last_traffic(&self) -> u64 {
        self.traffic.load(Ordering::Relaxed)
    }

    /// Adds event types; false when the limit of one connection is exceeded.
    pub fn subscribe(&self, types: impl IntoIterator<Item = String>) -> bool {
        let mut set = self.subscriptions.write();
        set.extend(types);
        if set.len() > MAX_SUBSCRIPTIONS {
            let surplus: Vec<String> = set.iter().skip(MAX_SUBSCRIPTIONS).cloned().collect();
            for kind in &surplus {
                set.remove(kind);
            }
            return false;
        }
        true
    }

    /// Removes event types.
    pub fn unsubscribe<'a>(&self, types: impl IntoIterator<Item = &'a str>) {
        let mut set = self.subscriptions.write();
        for kind in types {
            set.remove(kind);
        }
    }

    /// Whether broadcasts of this type reach the connection.
    pub fn is_subscribed(&self, kind: &str) -> bool {
        self.subscriptions.read().contains(kind)
    }

    /// How many event types it is subscribed to.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.read().len()
    }

    /// A copy of the subscriptions, to carry them over a reconnection.
    pub fn subscriptions(&self) -> Vec<String> {
        self.subscriptions.read().iter().cloned().collect()
    }
}
