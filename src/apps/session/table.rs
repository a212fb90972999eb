//! The sessions of the node: the living, and the last ones that ended.

use std::collections::VecDeque;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;

use super::entry::SessionEntry;

/// Ended sessions that can still be asked about.
const KEPT: usize = 500;

/// See the module's text.
#[derive(Default)]
pub struct SessionTable {
    living: DashMap<String, Arc<SessionEntry>>,
    ended: Mutex<VecDeque<Arc<SessionEntry>>>,
}

impl SessionTable {
    pub fn add(&self, entry: Arc<SessionEntry>) {
        self.living.insert(entry.id(), entry);
    }

    /// Moves a session to the ended ones.
    pub fn end(&self, id: &str) {
        let Some((_, entry)) = self.living.remove(id) else {
            return;
        };
        let mut ended = self.ended.lock();
        ended.push_back(entry);
        if ended.len() > KEPT {
            ended.pop_front();
        }
    }

    /// A living session.
    pub fn get(&self, id: &str) -> Option<Arc<SessionEntry>> {
        self.living.get(id).map(|entry| entry.clone())
    }

    /// A session, living or ended not long ago.
    pub fn find(&self, id: &str) -> Option<Arc<SessionEntry>> {
        self.get(id).or_else(|| {
            let ended = self.ended.lock();
            ended.iter().rev().find(|entry| entry.id() == id).cloned()
        })
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

    /// Ended sessions of a workspace, oldest first.
    pub fn ended_in(&self, workspace: &str) -> Vec<Arc<SessionEntry>> {
        let ended = self.ended.lock();
        ended
            .iter()
            .filter(|entry| entry.workspace() == workspace)
            .cloned()
            .collect()
    }
}
