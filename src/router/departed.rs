//! What a client was subscribed to when it left: given back when the same client returns with its
//! reconnection token, because the client libraries restore their services but not the user's
//! subscriptions (protocol.md 9).
//!
//! Kept in the store as well, so that the subscriptions outlive the server: after a restart every
//! client counts as just departed.

use std::sync::OnceLock;

use dashmap::DashMap;

use crate::store::{StoreError, Tree};

/// How long the subscriptions of a departed client are kept.
pub const MEMORY_MS: u64 = 120_000;

/// Most departed clients that are remembered; those beyond have to subscribe again.
const MOST: usize = 20_000;

struct Parting {
    subscriptions: Vec<String>,
    at_ms: u64,
}

/// See the module's text.
#[derive(Default)]
pub struct Departed {
    partings: DashMap<String, Parting>,
    stored: OnceLock<Tree<Vec<String>>>,
}

impl Departed {
    /// Takes up what an earlier run of the server stored, and stores from here on. Only the first
    /// call counts.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn restore(&self, stored: Tree<Vec<String>>, now_ms: u64) -> Result<(), StoreError> {
        for entry in stored.iter() {
            let (address, subscriptions) = entry?;
            self.note(&address, subscriptions, now_ms);
        }
        let _ = self.stored.set(stored);
        Ok(())
    }

    /// Stores what a connected client is subscribed to. On disk after the store's next flush.
    ///
    /// # Errors
    /// The store failed.
    pub fn keep(&self, address: &str, subscriptions: &Vec<String>) -> Result<(), StoreError> {
        let Some(stored) = self.stored.get() else {
            return Ok(());
        };
        if subscriptions.is_empty() {
            stored.discard(address).map(drop)
        } else {
            stored.put(address, subscriptions)
        }
    }

    /// Keeps what `address` was subscribed to.
    pub fn note(&self, address: &str, subscriptions: Vec<String>, now_ms: u64) {
        if subscriptions.is_empty() {
            return self.discard(address);
        }
        if self.partings.len() >= MOST && !self.partings.contains_key(address) {
            return self.discard(address);
        }
        let parting = Parting {
            subscriptions,
            at_ms: now_ms,
        };
        self.partings.insert(address.to_owned(), parting);
    }

    /// Takes out what a returning client had subscribed to.
    pub fn take(&self, address: &str, now_ms: u64) -> Vec<String> {
        match self.partings.remove(address) {
            Some((_, parting)) if now_ms.saturating_sub(parting.at_ms) < MEMORY_MS => {
                parting.subscriptions
            }
            Some(_) => {
                self.discard(address);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Forgets a departed client, because a connection that is not its continuation has its
    /// address now.
    pub fn forget(&self, address: &str) {
        if self.partings.remove(address).is_some() {
            self.discard(address);
        }
    }

    /// Drops old entries; called by the gateway's sweep.
    pub fn sweep(&self, now_ms: u64) {
        self.partings.retain(|address, parting| {
            let fresh = now_ms.saturating_sub(parting.at_ms) < MEMORY_MS;
            if !fresh {
                self.discard(address);
            }
            fresh
        });
    }

    /// How many departed clients are remembered.
    pub fn count(&self) -> usize {
        self.partings.len()
    }

    /// How many clients, here or departed, have stored subscriptions.
    pub fn stored_len(&self) -> usize {
        self.stored.get().map_or(0, Tree::len)
    }

    fn discard(&self, address: &str) {
        if let Some(stored) = self.stored.get()
            && let Err(error) = stored.discard(address)
        {
            tracing::warn!(%error, address, "subscriptions of a departed client stay in the store");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn subscriptions_outlive_the_server_and_go_when_nobody_returns() {
        let store = Store::temporary();
        let tree = || store.tree::<Vec<String>>("subscriptions").unwrap();
        let first = Departed::default();
        first.restore(tree(), 0).unwrap();
        first.keep("ws/a", &vec!["evt".into()]).unwrap();
        first.keep("ws/b", &vec!["evt".into()]).unwrap();
        first.keep("ws/c", &vec!["evt".into()]).unwrap();
        first.keep("ws/c", &Vec::new()).unwrap();

        let second = Departed::default();
        second.restore(tree(), 5).unwrap();
        assert_eq!((second.count(), second.stored_len()), (2, 2));
        assert_eq!(second.take("ws/a", 10), ["evt"]);
        second.sweep(5 + MEMORY_MS);
        // The one that came back is still stored: the server may end again.
        assert_eq!((second.count(), second.stored_len()), (0, 1));
    }

    #[test]
    fn another_connection_of_the_same_address_begins_anew() {
        let store = Store::temporary();
        let departed = Departed::default();
        departed
            .restore(store.tree("subscriptions").unwrap(), 0)
            .unwrap();
        departed.keep("ws/a", &vec!["evt".into()]).unwrap();
        departed.note("ws/a", vec!["evt".into()], 0);
        departed.forget("ws/a");
        assert!(departed.take("ws/a", 1).is_empty());
        assert_eq!(departed.stored_len(), 0);
    }
}
