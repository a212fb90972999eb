//! Sessions in the hands of workers elsewhere.
//!
//! One is noted before its worker is asked to start it, until the worker has stopped it. So a server
//! that was killed, or lost a worker for a moment, knows what still runs there though it is over: the
//! worker is told to stop it when it is back, and its client is not let in again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::host::{DISCOVERY, Host};
use super::ids::is_session_client;
use super::lifecycle::SessionState;
use super::session::SessionEntry;
use super::session::stop_on;
use crate::router::CLOSE_GOING_AWAY;
use crate::store::{Store, StoreError, Tree};
use crate::supervision::spawn_detached;
use crate::workers::Worker;

/// Seconds after which nobody comes back for a session; the reconnection tokens of its client and
/// its worker are out of date by then unless they were told to live longer.
const KEPT_S: f64 = 172_800.0;

/// Who has a session, and under which name.
#[derive(Clone, Serialize, Deserialize)]
struct Note {
    /// Service id of the worker.
    worker: String,
    /// The worker's own id of the session.
    session: String,
    /// Unix time.
    at: f64,
}

/// The notes, by session id. See the module's text.
pub struct Handed {
    notes: Tree<Note>,
    store: Store,
}

impl Handed {
    /// # Errors
    /// The store failed.
    pub fn open(store: &Store) -> Result<Arc<Self>, StoreError> {
        Ok(Arc::new(Handed {
            notes: store.tree("handed")?,
            store: store.clone(),
        }))
    }

    /// How many sessions workers elsewhere have.
    pub fn len(&self) -> usize {
        self.notes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Runs blocking work on the notes. A note that fails costs a clean-up, never a session.
    async fn with<R>(
        self: &Arc<Self>,
        work: impl FnOnce(&Handed) -> Result<R, StoreError> + Send + 'static,
    ) -> Option<R>
    where
        R: Send + 'static,
    {
        let own = self.clone();
        match tokio::task::spawn_blocking(move || work(&own)).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                tracing::error!(%error, "the notes about sessions on workers");
                None
            }
            Err(_) => None,
        }
    }

    async fn put(self: &Arc<Self>, id: String, note: Note) {
        self.with(move |handed| handed.notes.put(&id, &note)).await;
        // Nobody is told of it, so nobody waits; but it is on its way to the disk.
        drop(self.store.durable());
    }

    async fn forget(self: &Arc<Self>, id: String) {
        self.with(move |handed| handed.notes.discard(&id)).await;
    }
}

impl Host {
    /// A worker is about to be asked to start a session, or has named it.
    pub(super) async fn hand_over(&self, worker: &dyn Worker, entry: &SessionEntry) {
        // The server's own workers end with it.
        if worker.info().client.is_none() {
            return;
        }
        let note = Note {
            worker: worker.info().id.clone(),
            session: entry.worker_session(),
            at: self.clock.unix(),
        };
        self.handed.put(entry.id(), note).await;
    }

    /// Has a worker stop a session; false when it did not in time.
    pub(super) async fn take_back(&self, worker: &dyn Worker, entry: &SessionEntry) -> bool {
        let stopped = stop_on(worker, &entry.worker_session()).await;
        if stopped && worker.info().client.is_some() {
            self.handed.forget(entry.id()).await;
        }
        stopped
    }

    /// A worker has come: it stops what it still runs of sessions that are over.
    pub(super) fn clear_up(&self, worker: String) {
        let Ok(host) = self.shared() else {
            return;
        };
        spawn_detached("clear up", async move {
            let workspace = worker
                .split_once('/')
                .map_or("", |(workspace, _)| workspace);
            host.workers.complete(workspace, DISCOVERY).await;
            let oldest = host.clock.unix() - KEPT_S;
            let notes = host
                .handed
                .with(|handed| handed.notes.scan_prefix(""))
                .await;
            for (id, note) in notes.unwrap_or_default() {
                if note.at < oldest && host.sessions.get(&id).is_none() {
                    host.handed.forget(id).await;
                } else if note.worker == worker {
                    host.clear(id, note).await;
                }
            }
        });
    }

    /// A session is over: what its worker did not stop, it is told once more if it is there again.
    pub(super) fn clear_later(&self, id: String) {
        let Ok(host) = self.shared() else {
            return;
        };
        spawn_detached("clear up", async move {
            let key = id.clone();
            let note = host.handed.with(move |handed| handed.notes.get(&key)).await;
            if let Some(Some(note)) = note {
                host.clear(id, note).await;
            }
        });
    }

    async fn clear(&self, id: String, note: Note) {
        let Some(worker) = self.workers.get(&note.worker) else {
            return;
        };
        if self.sessions.get(&id).is_some() {
            return;
        }
        tracing::info!(
            session = id,
            worker = note.worker,
            "stopping what is left of a session"
        );
        // A worker that is still there and does not stop it was asked often enough.
        if stop_on(&*worker, &note.session).await || self.workers.get(&note.worker).is_some() {
            self.handed.forget(id).await;
        }
    }

    /// Closes what is left of the connection of a session's client.
    pub(super) fn dismiss_client(&self, session: &str) {
        if let Some(client) = self.directory.router.find(session) {
            client.close(CLOSE_GOING_AWAY, "Session stopped");
        }
    }

    /// Whether a client that wants to come in belongs to a session that is over; `returning` says
    /// that it was connected before.
    pub(super) fn is_over(&self, address: &str, returning: bool) -> bool {
        let client = address.split_once('/').map_or("", |(_, client)| client);
        if !is_session_client(client) {
            return false;
        }
        match self.sessions.get(address) {
            Some(entry) => matches!(
                entry.state(),
                SessionState::Crashed
                    | SessionState::Restarting
                    | SessionState::Cleanup
                    | SessionState::Stopping
                    | SessionState::Failed
                    | SessionState::Stopped
            ),
            None => {
                returning
                    || self.sessions.find(address).is_some()
                    || self.handed.notes.contains(address).unwrap_or_default()
            }
        }
    }
}
