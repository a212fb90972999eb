//! What a client was subscribed to when it left: given back when the same client returns with its
//! reconnection token, because the client libraries restore their services but not the user's
//! subscriptions (protocol.md 9).

use dashmap::DashMap;

/// How long the subscriptions of a departed client are kept.
pub const MEMORY_MS: u64 = 120_000;

struct Parting {
    subscriptions: Vec<String>,
    at_ms: u64,
}

/// See the module's text.
#[derive(Default)]
pub struct Departed {
    partings: DashMap<String, Parting>,
}

impl Departed {
    /// Keeps what `address` was subscribed to.
    pub fn note(&self, address: &str, subscriptions: Vec<String>, now_ms: u64) {
        if subscriptions.is_empty() {
            return;
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
            _ => Vec::new(),
        }
    }

    /// Drops old entries; called by the gateway's sweep.
    pub fn sweep(&self, now_ms: u64) {
        self.partings
            .retain(|_, parting| now_ms.saturating_sub(parting.at_ms) < MEMORY_MS);
    }
}
