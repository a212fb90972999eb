//! Who is connected: the client table, the mailboxes and the delivery of frames.
//!
//! Plain shared data without an actor, so that a frame passes through nothing that serves others.

mod census;
mod client;
mod departed;
mod hub;
mod load;
mod mailbox;
mod open_calls;
mod owed;
mod route;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::oneshot;

pub use census::{Census, Counted};
pub use client::{
    Client, ClientSpec, CloseOrder, Cut, MAX_RUNNING_CALLS, MAX_SUBSCRIPTIONS, SESSION_PREFIX,
    Transport,
};
pub use departed::Departed;
pub use hub::Hub;
pub use load::LoadMeter;
pub use mailbox::{Mailbox, MailboxDepth, MailboxLimits, Outgoing, PushError};
pub use owed::Owed;
pub use route::{Incoming, Routed, Weight, event_frame, reject_frame};
pub use tally::{Notes, Tally, Totals};

use crate::store::{StoreError, Tree};
use crate::supervision::SharedClock;
use crate::wire::Value;

/// Close code of connections that are ended by the server without the peer's fault.
pub const CLOSE_GOING_AWAY: u16 = 1001;
/// Close code of connections that are not wanted.
pub const CLOSE_POLICY: u16 = 1008;

/// See the module's text.
pub struct Router {
    clients: DashMap<Arc<str>, Arc<Client>>,
    hubs: DashMap<Arc<str>, Arc<Hub>>,
    departed: Departed,
    living: Census,
    /// Counts of rare happenings.
    pub notes: Notes,
    /// What connections that are gone had counted.
    gone: Mutex<Totals>,
    generations: AtomicU64,
    limits: MailboxLimits,
    clock: SharedClock,
    server_id: String,
    manager_id: String,
}

/// What the gateway gets for a registered connection.
pub struct Registration {
    pub client: Arc<Client>,
    /// Fires when somebody orders the connection to close.
    pub closed: oneshot::Receiver<CloseOrder>,
}

/// See [`Router::counts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouterCounts {
    pub connections: usize,
    /// Client entries in memory, each with its mailbox: registered or still held by somebody.
    pub clients_alive: usize,
    /// Workspaces with connections.
    pub hubs: usize,
    pub subscriptions: usize,
    /// Clients that left and whose subscriptions are remembered.
    pub departed: usize,
    /// Clients, here or departed, whose subscriptions are in the store.
    pub subscribers_stored: usize,
    /// In all mailboxes.
    pub queued_messages: usize,
    pub queued_bytes: usize,
}

/// The client id is taken by a living connection.
#[derive(Debug, thiserror::Error)]
#[error("Client already exists and is active: {0}")]
pub struct Taken(pub String);

impl Router {
    pub fn new(server_id: &str, limits: MailboxLimits, clock: SharedClock) -> Self {
        Router {
            clients: DashMap::new(),
            hubs: DashMap::new(),
            departed: Departed::default(),
            living: Census::default(),
            notes: Notes::default(),
            gone: Mutex::default(),
            generations: AtomicU64::new(0),
            limits,
            clock,
            server_id: server_id.to_owned(),
            manager_id: format!("manager-{server_id}"),
        }
    }

    /// Id of the server's public peer.
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    /// Id of the workspace manager's peer, without its `*/`.
    pub fn manager_id(&self) -> &str {
        &self.manager_id
    }

    /// Whether this client id is one of the server's own.
    pub fn is_local(&self, client_id: &str) -> bool {
        client_id == self.manager_id || client_id == self.server_id
    }

    /// Whether this address is one of the server's own.
    pub fn is_local_address(&self, address: &str) -> bool {
        route::names_local(self, address)
    }

    /// Milliseconds of the node's clock.
    pub fn now_ms(&self) -> u64 {
        self.clock.now().as_millis() as u64
    }

    /// Takes up the subscriptions that an earlier run of the server stored in `tree`, and keeps
    /// storing them there.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn restore_subscriptions(&self, tree: Tree<Vec<String>>) -> Result<(), StoreError> {
        self.departed.restore(tree, self.now_ms())
    }

    /// Stores the subscriptions of a connected client, for when it returns after a restart of the
    /// server. On disk after the store's next flush.
    ///
    /// # Errors
    /// The store failed.
    pub fn keep_subscriptions(&self, client: &Client) -> Result<(), StoreError> {
        let subscriptions = client.subscriptions();
        self.departed.keep(&client.address, &subscriptions)?;
        if self.find(&client.address).is_none() {
            // It left meanwhile; what was stored has to be forgotten in time.
            self.departed
                .note(&client.address, subscriptions, self.now_ms());
        }
        Ok(())
    }

    /// Registers a connection. With `supersede` (a valid reconnection token) a living connection
    /// of the same id is closed and the new one takes its place and its subscriptions.
    ///
    /// # Errors
    /// [`Taken`] when the id is in use and `supersede` is false; nothing changes then.
    pub fn register(&self, spec: ClientSpec, supersede: bool) -> Result<Registration, Taken> {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        let (client, closed) = Client::new(
            spec,
            generation,
            self.limits,
            self.now_ms(),
            self.living.enter(),
        );
        // A superseded connection leaves the table under the lock of those who sum up.
        let mut gone = self.gone.lock();
        let old = match self.clients.entry(client.address.clone()) {
            Entry::Occupied(entry) if !supersede => return Err(Taken(entry.key().to_string())),
            Entry::Occupied(mut entry) => Some(entry.insert(client.clone())),
            Entry::Vacant(entry) => {
                entry.insert(client.clone());
                None
            }
        };
        if let Some(old) = &old {
            *gone += old.tally.take();
        }
        drop(gone);
        self.notes.registered(client.transport);
        // Joined under the map's guard: an emptied hub is removed under the same one.
        self.hubs
            .entry(client.workspace.clone())
            .or_default()
            .join(&client);
        if supersede {
            client.subscribe(self.departed.take(&client.address, self.now_ms()));
        } else {
            self.departed.forget(&client.address);
        }
        if let Some(old) = old {
            client.subscribe(old.subscriptions());
            self.leave_hub(&old);
            old.close(CLOSE_GOING_AWAY, "Superseded by a newer connection");
            if old.transport == Transport::Http {
                // A stream whose peer reads nothing takes no order, and nobody watches it any more.
                old.cut();
            }
        }
        Ok(Registration { client, closed })
    }

    /// Takes a connection out. True when it was the current one of its address: only then may
    /// its services and subscriptions go.
    pub fn unregister(&self, client: &Client) -> bool {
        let mut gone = self.gone.lock();
        let current = self
            .clients
            .remove_if(&client.address, |_, entry| {
                entry.generation == client.generation
            })
            .is_some();
        *gone += client.tally.take();
        drop(gone);
        client.mailbox.close();
        self.leave_hub(client);
        if current {
            self.departed
                .note(&client.address, client.subscriptions(), self.now_ms());
        }
        current
    }

    fn leave_hub(&self, client: &Client) {
        if let Some(hub) = self.hubs.get(&client.workspace) {
            hub.leave(client.generation);
        }
        self.hubs
            .remove_if(&client.workspace, |_, hub| hub.is_empty());
    }

    /// The connection at `workspace/client_id`.
    pub fn find(&self, address: &str) -> Option<Arc<Client>> {
        self.clients.get(address).map(|entry| entry.clone())
    }

    /// The connections of a workspace, oldest first.
    pub fn members(&self, workspace: &str) -> Vec<Arc<Client>> {
        self.hubs
            .get(workspace)
            .map(|hub| hub.members())
            .unwrap_or_default()
    }

    /// How many connections a workspace has.
    pub fn member_count(&self, workspace: &str) -> usize {
        self.hubs.get(workspace).map_or(0, |hub| hub.len())
    }

    /// All connections of the node.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.clients.iter().map(|entry| entry.clone()).collect()
    }

    /// How many connections the node has.
    pub fn count(&self) -> usize {
        self.clients.len()
    }

    /// What the router holds, for the administrator.
    pub fn counts(&self) -> RouterCounts {
        let clients = self.all();
        let depths = || clients.iter().map(|client| client.mailbox.depth());
        RouterCounts {
            connections: clients.len(),
            clients_alive: self.living.count(),
            hubs: self.hubs.len(),
            subscriptions: clients.iter().map(|c| c.subscription_count()).sum(),
            departed: self.departed.count(),
            subscribers_stored: self.departed.stored_len(),
            queued_messages: depths().map(|depth| depth.messages).sum(),
            queued_bytes: depths().map(|depth| depth.bytes).sum(),
        }
    }

    /// Connections ever registered.
    pub fn established(&self) -> u64 {
        let (websockets, streams) = self.notes.established();
        websockets + streams
    }

    /// What all connections have sent, those that are gone included. Never goes down.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let gone = self.gone.lock();
        for client in self.clients.iter() {
            totals += client.tally.read();
        }
        totals += *gone;
        totals
    }

    fn subscribers(&self, workspace: &str, kind: &str) -> Vec<Arc<Client>> {
        self.hubs
            .get(workspace)
            .map(|hub| hub.subscribers(kind))
            .unwrap_or_default()
    }

    /// Sends a server-made event to the subscribers in a workspace. A receiver whose mailbox is
    /// full is closed as too slow: it will reconnect, whereas a lost event would go unnoticed.
    pub fn emit(&self, workspace: &str, kind: &str, data: Value) {
        let targets = self.subscribers(workspace, kind);
        if targets.is_empty() {
            return;
        }
        let message = event_frame(kind, data);
        self.notes.event();
        for target in targets {
            if let Err(PushError::Full(_)) = target.push(message.clone()) {
                tracing::warn!(client = %target.address, event = kind, "closing a slow receiver");
                self.notes.cut();
                target.close(CLOSE_GOING_AWAY, "Too slow: events are waiting");
            }
        }
    }

    /// Forgets what is older than its keep; called by the gateway's watchdog.
    pub fn sweep(&self) {
        self.departed.sweep(self.now_ms());
    }
}

/// The client part of `workspace/client_id`.
fn local_part(address: &str) -> &str {
    address
        .rsplit_once('/')
        .map_or(address, |(_, client)| client)
}

#[cfg(test)]
mod tests;
