//! Logged events (workspace.md 5.1): what users note with `log` and `log_event`, kept in the
//! store and read back only by whoever wrote them.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::store::{Store, StoreError, Tree};
use crate::supervision::SharedClock;

/// Most entries kept for one user in one workspace; the oldest go first.
const KEPT: usize = 10_000;
/// Entries are counted only once in this many writes.
const TRIM_EVERY: u64 = 256;

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedEvent {
    pub id: u64,
    pub event_type: String,
    pub workspace: String,
    pub user_id: String,
    /// Seconds since 1970.
    pub at: f64,
    pub data: Json,
}

/// What to read back; `None` means any.
#[derive(Debug, Default)]
pub struct EventQuery<'a> {
    pub event_type: Option<&'a str>,
    /// Seconds since 1970, inclusive.
    pub from: Option<f64>,
    pub until: Option<f64>,
}

/// See the module's text.
pub struct EventLog {
    tree: Tree<LoggedEvent>,
    next: AtomicU64,
    clock: SharedClock,
}

fn prefix(workspace: &str, user: &str) -> String {
    // Neither a workspace nor a user id holds a control character.
    format!("{workspace}\u{1}{user}\u{1}")
}

impl EventLog {
    pub fn open(store: &Store, clock: SharedClock) -> Result<Self, StoreError> {
        let tree: Tree<LoggedEvent> = store.tree("events")?;
        let mut last = 0;
        for entry in tree.iter() {
            last = last.max(entry?.1.id);
        }
        Ok(EventLog {
            tree,
            next: AtomicU64::new(last + 1),
            clock,
        })
    }

    /// Adds an entry.
    pub fn add(
        &self,
        workspace: &str,
        user: &str,
        event_type: &str,
        data: Json,
    ) -> Result<(), StoreError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let prefix = prefix(workspace, user);
        let entry = LoggedEvent {
            id,
            event_type: event_type.to_owned(),
            workspace: workspace.to_owned(),
            user_id: user.to_owned(),
            at: self.clock.unix(),
            data,
        };
        self.tree.put(&format!("{prefix}{id:020}"), &entry)?;
        if id.is_multiple_of(TRIM_EVERY) {
            self.trim(&prefix)?;
        }
        Ok(())
    }

    fn trim(&self, prefix: &str) -> Result<(), StoreError> {
        let keys = self.tree.keys(prefix)?;
        for key in keys.iter().take(keys.len().saturating_sub(KEPT)) {
            self.tree.discard(key)?;
        }
        Ok(())
    }

    /// The entries of one user in one workspace, oldest first.
    pub fn find(
        &self,
        workspace: &str,
        user: &str,
        query: &EventQuery<'_>,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let all = self.tree.scan_prefix(&prefix(workspace, user))?;
        let wanted = |event: &LoggedEvent| {
            query.event_type.is_none_or(|kind| kind == event.event_type)
                && query.from.is_none_or(|from| event.at >= from)
                && query.until.is_none_or(|until| event.at <= until)
        };
        Ok(all
            .into_iter()
            .map(|(_, event)| event)
            .filter(wanted)
            .collect())
    }
}
