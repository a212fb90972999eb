//! The sessions that ended, and how: kept in the store, so that a restart of the server does not
//! wipe out what happened. Bounded per app and overall.
//!
//! Writing waits for no session and no session for it: what changed is noted, and a task of its own
//! brings it to the store, newest state first.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::record::SessionRecord;
use crate::apps::lifecycle::SessionState;
use crate::store::{Batch, Store, StoreError, Tree};
use crate::supervision::{SharedClock, spawn_detached};

/// Ended sessions kept of one app.
const PER_APP: usize = 20;
/// Ended sessions kept in all.
const IN_ALL: usize = 2000;
const SEPARATOR: char = '\u{1}';

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct SessionJournal {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    tree: Tree<SessionRecord>,
    index: Mutex<Index>,
    /// Changed since they were last written, by session id.
    changed: Mutex<HashMap<String, SessionRecord>>,
    wake: Notify,
    /// Held while a batch is on its way.
    writing: tokio::sync::Mutex<()>,
}

/// Which ended sessions there are: keys sort by workspace, app and time.
#[derive(Default)]
struct Index {
    keys: BTreeSet<String>,
    by_id: HashMap<String, String>,
    /// In the order in which they ended.
    order: VecDeque<String>,
}

fn app_prefix(workspace: &str, app: &str) -> String {
    format!("{workspace}{SEPARATOR}{app}{SEPARATOR}")
}

fn key(record: &SessionRecord) -> String {
    let began = record.history.created_at().unwrap_or_default() * 1000.0;
    format!(
        "{}{:015.0}{SEPARATOR}{}",
        app_prefix(&record.workspace, &record.app),
        began,
        record.client
    )
}

impl Index {
    fn add(&mut self, record: &SessionRecord) {
        let key = key(record);
        if self.keys.insert(key.clone()) {
            self.by_id.insert(record.id(), key.clone());
            self.order.push_back(key);
        }
    }

    fn under(&self, prefix: &str) -> Vec<String> {
        let from = self.keys.range(prefix.to_owned()..);
        from.take_while(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    fn forget(&mut self, key: &str) {
        self.keys.remove(key);
        self.by_id.retain(|_, known| known != key);
        self.order.retain(|known| known != key);
    }

    /// The keys that are too many after an addition under `prefix`.
    fn surplus(&mut self, prefix: &str) -> Vec<String> {
        let of_app = self.under(prefix);
        let mut gone: Vec<String> = of_app
            .iter()
            .take(of_app.len().saturating_sub(PER_APP))
            .cloned()
            .collect();
        let all = self.order.len() - gone.len();
        let oldest = self.order.iter().filter(|key| !gone.contains(key));
        let more: Vec<String> = oldest.take(all.saturating_sub(IN_ALL)).cloned().collect();
        gone.extend(more);
        for key in &gone {
            self.forget(key);
        }
        gone
    }
}

impl SessionJournal {
    /// Opens the journal. Sessions that were alive when the server died are closed in it.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn open(store: &Store, clock: &SharedClock) -> Result<Self, StoreError> {
        let tree: Tree<SessionRecord> = store.tree("sessions")?;
        let mut index = Index::default();
        let mut all = Vec::new();
        for entry in tree.iter() {
            let (key, mut record) = entry?;
            if !record.state().is_final() {
                let cause = Some("the server ended unexpectedly");
                record
                    .history
                    .record(SessionState::Failed, clock.unix(), cause);
                tree.put(&key, &record)?;
            }
            all.push(record);
        }
        let ended = |record: &SessionRecord| record.history.updated_at().unwrap_or_default();
        all.sort_by(|a, b| ended(a).total_cmp(&ended(b)));
        for record in &all {
            index.add(record);
            for surplus in index.surplus(&app_prefix(&record.workspace, &record.app)) {
                tree.discard(&surplus)?;
            }
        }
        Ok(SessionJournal {
            inner: Arc::new(Inner {
                store: store.clone(),
                tree,
                index: Mutex::new(index),
                changed: Mutex::default(),
                wake: Notify::new(),
                writing: tokio::sync::Mutex::new(()),
            }),
        })
    }

    /// Starts the task that writes; once, from within the runtime.
    pub fn start(&self) {
        let journal = self.clone();
        spawn_detached("session journal", async move {
            loop {
                journal.inner.wake.notified().await;
                if let Err(error) = journal.flush().await {
                    tracing::error!(%error, "the history of sessions is not written");
                }
            }
        });
    }

    /// Notes where a session stands.
    pub fn note(&self, record: SessionRecord) {
        self.inner.changed.lock().insert(record.id(), record);
        self.inner.wake.notify_one();
    }

    /// Brings everything noted so far to disk.
    ///
    /// # Errors
    /// The store failed.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.inner.writing.lock().await;
        let changed: Vec<SessionRecord> = {
            let changed = self.inner.changed.lock();
            changed.values().cloned().collect()
        };
        if changed.is_empty() {
            return Ok(());
        }
        let inner = self.inner.clone();
        let written = tokio::task::spawn_blocking(move || inner.write(&changed));
        written
            .await
            .map_err(|error| StoreError::Engine(error.to_string()))??;
        self.inner.store.durable().await
    }

    /// Whether a session that ended is remembered. Waits for nothing.
    pub fn knows(&self, id: &str) -> bool {
        let noted = self.inner.changed.lock().get(id).map(SessionRecord::state);
        match noted {
            Some(state) => state.is_final(),
            None => self.inner.index.lock().by_id.contains_key(id),
        }
    }

    /// A session that ended.
    ///
    /// # Errors
    /// The store failed.
    pub async fn find(&self, id: &str) -> Result<Option<SessionRecord>, StoreError> {
        if let Some(record) = self.inner.changed.lock().get(id) {
            return Ok(Some(record.clone()));
        }
        let key = self.inner.index.lock().by_id.get(id).cloned();
        match key {
            Some(key) => Ok(self.read(vec![key]).await?.pop()),
            None => Ok(None),
        }
    }

    /// The ended sessions of a workspace, or of one app in it, by app and in order of time.
    ///
    /// # Errors
    /// The store failed.
    pub async fn ended(
        &self,
        workspace: &str,
        app: Option<&str>,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.flush().await?;
        let prefix = match app {
            Some(app) => app_prefix(workspace, app),
            None => format!("{workspace}{SEPARATOR}"),
        };
        let keys = self.inner.index.lock().under(&prefix);
        self.read(keys).await
    }

    async fn read(&self, keys: Vec<String>) -> Result<Vec<SessionRecord>, StoreError> {
        let tree = self.inner.tree.clone();
        let read = tokio::task::spawn_blocking(move || {
            let found = keys.iter().map(|key| tree.get(key));
            found.filter_map(Result::transpose).collect()
        });
        read.await
            .map_err(|error| StoreError::Engine(error.to_string()))?
    }

    /// Forgets the sessions of a workspace that is no more.
    ///
    /// # Errors
    /// The store failed.
    pub async fn forget_workspace(&self, workspace: &str) -> Result<(), StoreError> {
        self.flush().await?;
        let _one_at_a_time = self.inner.writing.lock().await;
        let (inner, prefix) = (self.inner.clone(), format!("{workspace}{SEPARATOR}"));
        let removed = tokio::task::spawn_blocking(move || {
            for key in inner.tree.keys(&prefix)? {
                inner.index.lock().forget(&key);
                inner.tree.discard(&key)?;
            }
            Ok(())
        });
        removed
            .await
            .map_err(|error| StoreError::Engine(error.to_string()))?
    }
}

impl Inner {
    fn write(&self, changed: &[SessionRecord]) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        for record in changed {
            batch.put(&self.tree, &key(record), record)?;
            if record.state().is_final() {
                let mut index = self.index.lock();
                index.add(record);
                for surplus in index.surplus(&app_prefix(&record.workspace, &record.app)) {
                    batch.remove(&self.tree, &surplus);
                }
            }
        }
        self.store.apply(batch)?;
        // Only now may a question go to the store; what changed meanwhile is written next.
        let mut waiting = self.changed.lock();
        for record in changed {
            if waiting.get(&record.id()) == Some(record) {
                waiting.remove(&record.id());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
