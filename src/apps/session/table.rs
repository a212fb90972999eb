//! The living sessions of the node.

use std::collections::VecDeque;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;

use super::entry::SessionEntry;

/// Ids of ended sessions that are remembered here, trials among them; the journal has the others.
const REMEMBERED: usize = 500;

/// See the module's text.
#[derive(Default)]
pub struct SessionTable {
    living: DashMap<String, Arc<SessionEntry>>,
    ended: Mutex<VecDeque<String>>,
}

impl SessionTable {
    pub fn add(&self, entry: Arc<SessionEntry>) {
        self.living.insert(entry.id(), entry);
    }

    /// Takes out a session that ended; the journal knows it from here on.
    pub fn end(&self, id: &str) {
        if self.living.remove(id).is_none() {
            return;
        }
        let mut ended = self.ended.lock();
        ended.push_back(id.to_owned());
        if ended.len() > REMEMBERED {
            ended.pop_front();
        }
    }

    /// Whether a session ended not long ago.
    pub fn has_ended(&self, id: &str) -> bool {
        self.ended.lock().iter().any(|ended| ended == id)
    }

    /// A living session.
    pub fn get(&self, id: &str) -> Option<Arc<SessionEntry>> {
        self.living.get(id).map(|entry| entry.clone())
    }

    fn living(&self, wanted: impl Fn(&SessionEntry) -> bool) -> Vec<Arc<SessionEntry>> {
        let mut found: Vec<_> = self
            .living
            .iter()
            .filter(|entry| wanted(entry.value()))
            .map(|entry| entry.value().clone())
            .collect();
        found.sort_by_key(|entry| entry.id());
        found
    }

    /// All living sessions.
    pub fn all(&self) -> Vec<Arc<SessionEntry>> {
        self.living(|_| true)
    }

    /// The living sessions of a workspace.
    pub fn in_workspace(&self, workspace: &str) -> Vec<Arc<SessionEntry>> {
        self.living(|entry| entry.workspace() == workspace)
    }

    /// The living sessions of an app. Apps of the same name in other workspaces are others.
    pub fn of_app(&self, workspace: &str, app: &str) -> Vec<Arc<SessionEntry>> {
        self.living(|entry| entry.workspace() == workspace && entry.order.app == app)
    }

    /// The living sessions on a worker.
    pub fn of_worker(&self, worker: &str) -> Vec<Arc<SessionEntry>> {
        self.living(|entry| entry.worker().as_deref() == Some(worker))
    }
}
