//! One at a time for each thing that is fetched.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Who fetches what.
#[derive(Default)]
pub(super) struct Flights(Arc<DashMap<String, Arc<Mutex<()>>>>);

/// The right to fetch something, until it is dropped.
pub(super) struct Flight {
    flights: Arc<DashMap<String, Arc<Mutex<()>>>>,
    key: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Flights {
    /// Waits until nobody else fetches `key`.
    pub async fn take(&self, key: &str) -> Flight {
        let lock = self.0.entry(key.to_owned()).or_default().clone();
        let mut flight = Flight {
            flights: self.0.clone(),
            key: key.to_owned(),
            guard: None,
        };
        flight.guard = Some(lock.lock_owned().await);
        flight
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.guard = None;
        // Others that wait hold the lock, too.
        self.flights
            .remove_if(&self.key, |_, lock| Arc::strong_count(lock) == 1);
    }
}
