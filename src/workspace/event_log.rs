//! Logged events (workspace.md 5.1): what users note with `log` and `log_event`, kept in the
//! store and read back only by whoever wrote them.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::store::{Store, StoreError, Tree};
use crate::supervision::SharedClock;

/// Most entries kept for one user in one workspace; the oldest go first.
const KEPT: usize = 10_000;
/// Most bytes of entries in one answer; what is older is left out.
const ANSWER_BYTES: usize = 16 << 20;
/// What an entry takes beside its data, roughly.
const ENTRY_BYTES: usize = 256;
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

/// Leaves as many of the newest entries as fit into one answer.
fn keep_newest(events: &mut Vec<LoggedEvent>) {
    let mut room = ANSWER_BYTES;
    let fitting = events
        .iter()
        .rev()
        .take_while(|event| {
            let size = event.data.to_string().len() + ENTRY_BYTES;
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        })
        .count();
    events.drain(..events.len() - fitting);
}

/// See the module's text.
pub struct EventLog {
    tree: Tree<LoggedEvent>,
    next: AtomicU64,
    clock: SharedClock,
}

fn prefix_of(workspace: &str) -> String {
    // Neither a workspace nor a user id holds a control character.
    format!("{workspace}\u{1}")
}

fn prefix(workspace: &str, user: &str) -> String {
    format!("{}{user}\u{1}", prefix_of(workspace))
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

    /// Drops all entries of a workspace.
    pub fn forget(&self, workspace: &str) -> Result<(), StoreError> {
        for key in self.tree.keys(&prefix_of(workspace))? {
            self.tree.discard(&key)?;
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
        let mut found: Vec<LoggedEvent> = all
            .into_iter()
            .map(|(_, event)| event)
            .filter(wanted)
            .collect();
        keep_newest(&mut found);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::supervision::ManualClock;

    #[test]
    fn entries_belong_to_their_writer_and_go_with_the_workspace() {
        let store = Store::temporary();
        let clock: SharedClock = std::sync::Arc::new(ManualClock::new());
        let log = EventLog::open(&store, clock).unwrap();
        for (workspace, user) in [("lab", "ann"), ("lab", "bob"), ("lab-2", "ann")] {
            log.add(workspace, user, "seen", json!({"by": user}))
                .unwrap();
        }
        let count = |workspace: &str, user: &str| {
            let found = log.find(workspace, user, &EventQuery::default());
            found.unwrap().len()
        };
        assert_eq!((count("lab", "ann"), count("lab", "bob")), (1, 1));
        assert_eq!(
            (count("la", "ann"), count("lab", "an"), count("%", "%")),
            (0, 0, 0)
        );
        log.forget("lab").unwrap();
        assert_eq!((count("lab", "ann"), count("lab-2", "ann")), (0, 1));
    }

    #[test]
    fn an_answer_holds_the_newest_that_fit() {
        let entry = |id: u64| LoggedEvent {
            id,
            event_type: "t".into(),
            workspace: "w".into(),
            user_id: "u".into(),
            at: 0.0,
            data: json!("x".repeat(ANSWER_BYTES / 3)),
        };
        let mut events: Vec<_> = (0..5).map(entry).collect();
        keep_newest(&mut events);
        let left: Vec<u64> = events.iter().map(|event| event.id).collect();
        assert_eq!(left, [3, 4]);
    }
}
