//! The workers that are there, by id. Shared data: choosing a worker waits for no actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::{DashMap, DashSet};
use tokio::sync::Notify;

use super::contract::{Worker, WorkerInfo};
use crate::workspace::PUBLIC;

/// A worker and what the server notes about it.
struct Entry {
    worker: Arc<dyn Worker>,
    sessions: AtomicUsize,
}

/// See the module's text.
#[derive(Default)]
pub struct WorkerTable {
    entries: DashMap<String, Arc<Entry>>,
    /// Ids of workers that are switched off. A worker that registers again is still off.
    disabled: DashSet<String>,
    /// Registered workers whose abilities are still being asked for.
    expected: DashMap<String, ()>,
    settled: Notify,
}

impl WorkerTable {
    pub fn add(&self, worker: Arc<dyn Worker>) {
        let entry = Entry {
            sessions: AtomicUsize::new(0),
            worker: worker.clone(),
        };
        self.entries
            .insert(worker.info().id.clone(), Arc::new(entry));
    }

    /// A worker was registered and will be added, or found unusable.
    pub fn expect(&self, id: &str) {
        self.expected.insert(id.to_owned(), ());
    }

    /// What was expected is known now.
    pub fn settle(&self, id: &str) {
        self.expected.remove(id);
        self.settled.notify_waiters();
    }

    /// Waits until no worker that serves `workspace` is expected, so that whoever registers one and
    /// installs an app for it at once finds it; at most `patience`. Workers of other workspaces hold
    /// nobody up.
    pub async fn complete(&self, workspace: &str, patience: Duration) {
        let serves = |id: &str| {
            let of = id.split_once('/').map_or("", |(of, _)| of);
            of == workspace || of == PUBLIC
        };
        let waited = async {
            loop {
                let settled = self.settled.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                if !self.expected.iter().any(|entry| serves(entry.key())) {
                    return;
                }
                settled.await;
            }
        };
        // A worker that takes longer is simply not there yet.
        let _ = tokio::time::timeout(patience, waited).await;
    }

    pub fn remove(&self, id: &str) -> bool {
        self.entries.remove(id).is_some()
    }

    pub fn get(&self, id: &str) -> Option<Arc<dyn Worker>> {
        self.entries.get(id).map(|entry| entry.worker.clone())
    }

    pub fn is_disabled(&self, id: &str) -> bool {
        self.disabled.contains(id)
    }

    /// False when there is no such worker.
    pub fn set_disabled(&self, id: &str, disabled: bool) -> bool {
        let known = self.entries.contains_key(id);
        if !disabled {
            self.disabled.remove(id);
        } else if known {
            self.disabled.insert(id.to_owned());
        }
        known
    }

    /// Counts a session that begins (`+1`) or ends (`-1`) on a worker.
    pub fn count_session(&self, id: &str, begins: bool) {
        if let Some(entry) = self.entries.get(id) {
            if begins {
                entry.sessions.fetch_add(1, Ordering::Relaxed);
            } else {
                entry.sessions.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Sessions on a worker.
    pub fn sessions(&self, id: &str) -> usize {
        self.entries
            .get(id)
            .map_or(0, |entry| entry.sessions.load(Ordering::Relaxed))
    }

    /// The workers of a workspace, sorted by id.
    pub fn in_workspace(&self, workspace: &str) -> Vec<WorkerInfo> {
        let mut infos: Vec<_> = self
            .entries
            .iter()
            .map(|entry| entry.worker.info().clone())
            .filter(|info| info.workspace == workspace)
            .collect();
        infos.sort_by(|a, b| a.id.cmp(&b.id));
        infos
    }

    /// All workers, sorted by id.
    pub fn all(&self) -> Vec<WorkerInfo> {
        let mut infos: Vec<_> = self
            .entries
            .iter()
            .map(|entry| entry.worker.info().clone())
            .collect();
        infos.sort_by(|a, b| a.id.cmp(&b.id));
        infos
    }

    /// Ids of the workers that a client runs.
    pub fn of_client(&self, address: &str) -> Vec<String> {
        self.entries
            .iter()
            .filter(|entry| entry.worker.info().client.as_deref() == Some(address))
            .map(|entry| entry.key().clone())
            .collect()
    }
}
