use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Inner, StoreError};

/// One named collection: text keys in byte order, values of one type kept as JSON.
///
/// A handle keeps the store open. All calls block on the engine for as long as a disk read takes;
/// callers on a hot thread move them to the blocking pool.
pub struct Tree<T> {
    engine: sled::Tree,
    name: &'static str,
    // Declared after the engine's handle: the directory's lock must be let go last.
    _store: Arc<Inner>,
    _values: PhantomData<fn() -> T>,
}

impl<T> Clone for Tree<T> {
    fn clone(&self) -> Self {
        Tree {
            engine: self.engine.clone(),
            name: self.name,
            _store: self._store.clone(),
            _values: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Tree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("name", &self.name).finish()
    }
}

impl<T> Tree<T> {
    pub(super) fn open(store: Arc<Inner>, name: &'static str) -> Result<Self, StoreError> {
        Ok(Tree {
            engine: store.engine.open_tree(name)?,
            name,
            _store: store,
            _values: PhantomData,
        })
    }

    /// The name it was opened under.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many entries there are. Counts them one by one.
    pub fn len(&self) -> usize {
        self.engine.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.engine.is_empty()
    }

    /// Whether `key` is present.
    pub fn contains(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.engine.contains_key(key)?)
    }

    /// The keys that start with `prefix`, in order, without reading the values' contents.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let keys = self.engine.scan_prefix(prefix).keys();
        keys.map(|key| self.read_key(&key?)).collect()
    }

    /// What stands before the first `separator` of the keys, each once and in order. Costs one look
    /// each, however many keys share it.
    pub fn heads(&self, separator: char) -> Result<Vec<String>, StoreError> {
        let mut heads: Vec<String> = Vec::new();
        // The character after the separator: behind all keys of one head.
        let next = char::from_u32(separator as u32 + 1).unwrap_or(char::MAX);
        let mut from = String::new();
        while let Some(entry) = self.engine.range(from.as_bytes()..).next() {
            let key = self.read_key(&entry?.0)?;
            match key.split_once(separator) {
                Some((head, _)) => {
                    from = format!("{head}{next}");
                    heads.push(head.to_owned());
                }
                None => from = format!("{key}\0"),
            }
        }
        Ok(heads)
    }

    /// Takes `key` out without looking at its value; true when it was there.
    pub fn discard(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.engine.remove(key)?.is_some())
    }

    pub(super) fn engine(&self) -> &sled::Tree {
        &self.engine
    }

    fn read_key(&self, key: &[u8]) -> Result<String, StoreError> {
        match std::str::from_utf8(key) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(StoreError::Corrupt {
                tree: self.name.to_owned(),
                key: String::from_utf8_lossy(key).into_owned(),
                reason: format!("the key is not text: {error}"),
            }),
        }
    }
}

impl<T: Serialize> Tree<T> {
    /// Sets `key` to `value`. On disk only after the next flush, see [`super::Store::durable`].
    pub fn put(&self, key: &str, value: &T) -> Result<(), StoreError> {
        self.engine.insert(key, self.encode(key, value)?)?;
        Ok(())
    }

    pub(super) fn encode(&self, key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(value).map_err(|error| StoreError::Encode {
            tree: self.name.to_owned(),
            key: key.to_owned(),
            reason: error.to_string(),
        })
    }
}

impl<T: Serialize + DeserializeOwned> Tree<T> {
    /// Changes the value under `key`; false when there is none. Changes made at the same time all
    /// count: `change` may be called again with what another one left.
    pub fn update(&self, key: &str, mut change: impl FnMut(&mut T)) -> Result<bool, StoreError> {
        loop {
            let Some(old) = self.engine.get(key)? else {
                return Ok(false);
            };
            let mut value = self.decode(key, &old)?;
            change(&mut value);
            let new = self.encode(key, &value)?;
            let swapped = self.engine.compare_and_swap(key, Some(&old), Some(new))?;
            if swapped.is_ok() {
                return Ok(true);
            }
        }
    }
}

impl<T: DeserializeOwned> Tree<T> {
    /// The value under `key`.
    pub fn get(&self, key: &str) -> Result<Option<T>, StoreError> {
        let found = self.engine.get(key)?;
        found.map(|bytes| self.decode(key, &bytes)).transpose()
    }

    /// Takes `key` out and returns its value. The entry is gone even when the answer is that its
    /// value was corrupt.
    pub fn remove(&self, key: &str) -> Result<Option<T>, StoreError> {
        let found = self.engine.remove(key)?;
        found.map(|bytes| self.decode(key, &bytes)).transpose()
    }

    /// All entries in key order, read and decoded one at a time.
    pub fn iter(&self) -> impl Iterator<Item = Result<(String, T), StoreError>> + '_ {
        self.iter_prefix("")
    }

    /// The entries whose keys start with `prefix`, in key order, read and decoded one at a time.
    pub fn iter_prefix(
        &self,
        prefix: &str,
    ) -> impl Iterator<Item = Result<(String, T), StoreError>> + '_ {
        self.engine.scan_prefix(prefix).map(|entry| {
            let (key, value) = entry?;
            let key = self.read_key(&key)?;
            let value = self.decode(&key, &value)?;
            Ok((key, value))
        })
    }

    /// The entries from the key `from` on whose keys start with `prefix`, in key order, read and
    /// decoded one at a time.
    pub fn range_from(
        &self,
        from: &str,
        prefix: &str,
    ) -> impl Iterator<Item = Result<(String, T), StoreError>> + '_ {
        let prefix = prefix.as_bytes().to_vec();
        let entries = self.engine.range(from.as_bytes()..);
        entries
            .take_while(move |entry| match entry {
                Ok((key, _)) => key.starts_with(&prefix),
                Err(_) => true,
            })
            .map(|entry| {
                let (key, value) = entry?;
                let key = self.read_key(&key)?;
                let value = self.decode(&key, &value)?;
                Ok((key, value))
            })
    }

    /// The entries whose keys start with `prefix`, in key order.
    pub fn scan_prefix(&self, prefix: &str) -> Result<Vec<(String, T)>, StoreError> {
        self.iter_prefix(prefix).collect()
    }

    fn decode(&self, key: &str, bytes: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt {
            tree: self.name.to_owned(),
            key: key.to_owned(),
            reason: error.to_string(),
        })
    }
}
