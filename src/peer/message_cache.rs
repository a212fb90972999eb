//! Long messages that arrive in chunks (protocol 3), kept until they are processed.
//!
//! Unlike the reference's, this cache has a byte budget per client and an expiry.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use dashmap::DashMap;

use super::error::ServiceError;

/// Most bytes one client may have waiting here.
pub const BYTES_PER_CLIENT: usize = 512 * 1024 * 1024;
/// Most bytes that all clients together may have waiting here.
const BYTES_IN_ALL: usize = 2 * 1024 * 1024 * 1024;
/// Most unfinished messages of one client.
const MESSAGES_PER_CLIENT: usize = 256;
/// Most chunks of one message.
const CHUNKS_PER_MESSAGE: usize = 65_536;
/// How long an unfinished message is kept after its last chunk.
pub const EXPIRY_MS: u64 = 10 * 60 * 1000;

#[derive(Default)]
struct Parts {
    chunks: BTreeMap<usize, Bytes>,
    touched_ms: u64,
}

struct ClientParts {
    messages: HashMap<String, Parts>,
    bytes: usize,
    /// Bytes of all clients, this one included.
    total: Arc<AtomicUsize>,
}

/// See the module's text.
#[derive(Default)]
pub struct MessageCache {
    clients: DashMap<String, ClientParts>,
    /// Bytes of all clients.
    total: Arc<AtomicUsize>,
}

fn missing(key: &str) -> ServiceError {
    ServiceError::key(format!("Message with key {key} does not exists."))
}

impl MessageCache {
    /// Begins a message.
    pub fn create(
        &self,
        client: &str,
        key: &str,
        overwrite: bool,
        now_ms: u64,
    ) -> Result<(), ServiceError> {
        let mut parts = self
            .clients
            .entry(client.to_owned())
            .or_insert_with(|| ClientParts::counted_in(&self.total));
        if parts.messages.contains_key(key) && !overwrite {
            return Err(ServiceError::plain(format!(
                "Message with the same key ({key}) already exists in the cache store, please use \
                 overwrite=True or remove it first."
            )));
        }
        if parts.messages.len() >= MESSAGES_PER_CLIENT {
            return Err(ServiceError::runtime(format!(
                "too many unfinished messages (limit {MESSAGES_PER_CLIENT})"
            )));
        }
        parts.drop_message(key);
        let fresh = Parts {
            touched_ms: now_ms,
            ..Parts::default()
        };
        parts.messages.insert(key.to_owned(), fresh);
        Ok(())
    }

    /// Adds a chunk; without an index it goes behind the last one.
    pub fn set(
        &self,
        client: &str,
        key: &str,
        index: Option<usize>,
        data: Bytes,
        now_ms: u64,
    ) -> Result<(), ServiceError> {
        let mut entry = self.clients.get_mut(client).ok_or_else(|| missing(key))?;
        let parts = &mut *entry;
        if parts.bytes + data.len() > BYTES_PER_CLIENT {
            parts.drop_message(key);
            return Err(ServiceError::runtime(format!(
                "message too large: a client may have {BYTES_PER_CLIENT} bytes of unfinished \
                 messages"
            )));
        }
        if self.total.load(Ordering::Relaxed) + data.len() > BYTES_IN_ALL {
            parts.drop_message(key);
            return Err(ServiceError::runtime(
                "too many unfinished messages of all clients, try again later",
            ));
        }
        let message = parts.messages.get_mut(key).ok_or_else(|| missing(key))?;
        let index = index.unwrap_or(message.chunks.len());
        if index >= CHUNKS_PER_MESSAGE {
            return Err(ServiceError::value(format!(
                "chunk index {index} is beyond the limit of {CHUNKS_PER_MESSAGE}"
            )));
        }
        message.touched_ms = now_ms;
        let added = data.len();
        let replaced = message.chunks.insert(index, data);
        parts.add(added);
        parts.subtract(replaced.map_or(0, |old| old.len()));
        Ok(())
    }

    /// Drops a message.
    pub fn remove(&self, client: &str, key: &str) -> Result<(), ServiceError> {
        let mut parts = self.clients.get_mut(client).ok_or_else(|| missing(key))?;
        if parts.drop_message(key) {
            Ok(())
        } else {
            Err(missing(key))
        }
    }

    /// Takes a finished message out, its chunks joined.
    pub fn take(&self, client: &str, key: &str) -> Result<Bytes, ServiceError> {
        let mut parts = self.clients.get_mut(client).ok_or_else(|| missing(key))?;
        let message = parts.messages.remove(key).ok_or_else(|| missing(key))?;
        let total: usize = message.chunks.values().map(Bytes::len).sum();
        parts.subtract(total);
        drop(parts);
        let complete = message.chunks.keys().copied().eq(0..message.chunks.len());
        if !complete {
            return Err(ServiceError::value(format!(
                "Message with key {key} is incomplete: a chunk is missing"
            )));
        }
        let mut joined = BytesMut::with_capacity(total);
        for chunk in message.chunks.values() {
            joined.extend_from_slice(chunk);
        }
        Ok(joined.freeze())
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.clients.iter().map(|parts| parts.messages.len()).sum()
    }

    /// Forgets all that a departed client left behind.
    pub fn forget_client(&self, client: &str) {
        self.clients.remove(client);
    }

    /// Drops messages that nobody went on with.
    pub fn sweep(&self, now_ms: u64) {
        self.clients.retain(|_, parts| {
            let stale: Vec<String> = parts
                .messages
                .iter()
                .filter(|(_, message)| now_ms.saturating_sub(message.touched_ms) > EXPIRY_MS)
                .map(|(key, _)| key.clone())
                .collect();
            for key in stale {
                parts.drop_message(&key);
            }
            !parts.messages.is_empty()
        });
    }
}

impl ClientParts {
    fn counted_in(total: &Arc<AtomicUsize>) -> Self {
        ClientParts {
            messages: HashMap::new(),
            bytes: 0,
            total: total.clone(),
        }
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn drop_message(&mut self, key: &str) -> bool {
        let Some(message) = self.messages.remove(key) else {
            return false;
        };
        self.subtract(message.chunks.values().map(Bytes::len).sum());
        true
    }
}

impl Drop for ClientParts {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "ws/c";

    #[test]
    fn chunks_join_by_index_whatever_their_order() {
        let cache = MessageCache::default();
        cache.create(CLIENT, "k", false, 0).unwrap();
        cache.set(CLIENT, "k", Some(1), "b".into(), 0).unwrap();
        cache.set(CLIENT, "k", Some(0), "a".into(), 0).unwrap();
        cache.set(CLIENT, "k", None, "c".into(), 0).unwrap();
        assert_eq!(cache.take(CLIENT, "k").unwrap(), "abc");
        assert!(cache.take(CLIENT, "k").is_err());
    }

    #[test]
    fn keys_belong_to_their_client() {
        let cache = MessageCache::default();
        cache.create(CLIENT, "k", false, 0).unwrap();
        assert!(cache.create(CLIENT, "k", false, 0).is_err());
        cache.create(CLIENT, "k", true, 0).unwrap();
        assert!(cache.set("ws/other", "k", Some(0), "x".into(), 0).is_err());
        let unknown = cache.remove("ws/other", "k").unwrap_err().to_string();
        assert_eq!(unknown, "KeyError: 'Message with key k does not exists.'");
    }

    #[test]
    fn the_sum_follows_what_is_kept() {
        let cache = MessageCache::default();
        let total = || cache.total.load(Ordering::Relaxed);
        for (client, key) in [("ws/a", "k"), ("ws/a", "l"), ("ws/b", "k")] {
            cache.create(client, key, false, 0).unwrap();
            cache.set(client, key, Some(0), "1234".into(), 0).unwrap();
        }
        cache.set("ws/a", "k", Some(0), "12".into(), 0).unwrap();
        assert_eq!(total(), 10);
        cache.take("ws/a", "k").unwrap();
        assert_eq!(total(), 8);
        cache.remove("ws/a", "l").unwrap();
        assert_eq!(total(), 4);
        cache.forget_client("ws/b");
        assert_eq!(total(), 0);
    }

    #[test]
    fn gaps_expiry_and_budget() {
        let cache = MessageCache::default();
        cache.create(CLIENT, "gap", false, 0).unwrap();
        cache.set(CLIENT, "gap", Some(1), "b".into(), 0).unwrap();
        assert!(
            cache
                .take(CLIENT, "gap")
                .unwrap_err()
                .message
                .contains("incomplete")
        );

        cache.create(CLIENT, "old", false, 0).unwrap();
        cache.sweep(EXPIRY_MS + 1);
        assert!(cache.remove(CLIENT, "old").is_err());

        cache.create(CLIENT, "far", false, 0).unwrap();
        let far = cache.set(CLIENT, "far", Some(CHUNKS_PER_MESSAGE), "x".into(), 0);
        assert!(far.unwrap_err().message.contains("beyond the limit"));
    }
}
