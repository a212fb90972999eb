use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::{Store, StoreError, Tree};

/// The tree that remembers revoked tokens.
const TREE: &str = "revoked";
/// Most revocations that are remembered at the same time; each takes some 200 bytes.
const MOST: usize = 1_000_000;

/// Stands for a token where the token itself must not be kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenHash(String);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    /// After this time the token is refused anyway.
    until: f64,
}

/// The tokens that were taken back, by hash, until they would be refused for their age.
///
/// Checks look at memory only; the store is what a restart reads.
#[derive(Clone, Debug)]
pub struct Revocations {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tree: Tree<Entry>,
    known: RwLock<HashMap<TokenHash, f64>>,
}

impl TokenHash {
    /// The hash of a token as it is written in a request, with or without `Bearer`.
    pub fn of(token: &str) -> TokenHash {
        let digest = Sha256::digest(bare(token).as_bytes());
        TokenHash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// As hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a hash that was written with [`TokenHash::as_str`].
    pub(super) fn from_text(text: &str) -> TokenHash {
        TokenHash(text.to_owned())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to compare two log lines.
        write!(f, "TokenHash({}…)", self.0.get(..8).unwrap_or(&self.0))
    }
}

/// The token without what HTTP puts around it.
pub(super) fn bare(token: &str) -> &str {
    let token = token.trim();
    token.strip_prefix("Bearer ").unwrap_or(token).trim()
}

impl Revocations {
    /// Reads what the store remembers.
    pub fn open(store: &Store) -> Result<Revocations, StoreError> {
        let tree: Tree<Entry> = store.tree(TREE)?;
        let known = tree
            .iter()
            .map(|entry| entry.map(|(hash, entry)| (TokenHash(hash), entry.until)))
            .collect::<Result<_, _>>()?;
        Ok(Revocations {
            inner: Arc::new(Inner {
                tree,
                known: RwLock::new(known),
            }),
        })
    }

    /// Whether this token was taken back.
    pub fn contains(&self, hash: &TokenHash) -> bool {
        self.inner.known.read().contains_key(hash)
    }

    /// Whether no more can be remembered before some are over.
    pub fn is_full(&self) -> bool {
        self.inner.known.read().len() >= MOST
    }

    /// Remembers a token as taken back until `until`. It is on disk after the store's next flush.
    pub fn add(&self, hash: &TokenHash, until: f64) -> Result<(), StoreError> {
        self.inner.tree.put(hash.as_str(), &Entry { until })?;
        self.inner.known.write().insert(hash.clone(), until);
        Ok(())
    }

    /// Forgets the tokens that are refused for their age by now; returns how many.
    pub fn sweep(&self, now: f64) -> Result<usize, StoreError> {
        let known = self.inner.known.read();
        let over: Vec<TokenHash> = known
            .iter()
            .filter(|&(_, &until)| until < now)
            .map(|(hash, _)| hash.clone())
            .collect();
        drop(known);
        for hash in &over {
            self.inner.tree.discard(hash.as_str())?;
            self.inner.known.write().remove(hash);
        }
        Ok(over.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revoked_tokens_are_remembered_by_hash_across_openings() {
        let store = Store::temporary();
        let revocations = Revocations::open(&store).unwrap();
        let hash = TokenHash::of("a.b.c");
        assert!(!revocations.contains(&hash));
        revocations.add(&hash, 100.0).unwrap();
        assert!(revocations.contains(&hash));
        let again = Revocations::open(&store).unwrap();
        assert!(again.contains(&TokenHash::of(" Bearer  a.b.c ")));
        assert!(!again.contains(&TokenHash::of("a.b.d")));
        let keys = store.tree::<Entry>(TREE).unwrap().keys("").unwrap();
        assert_eq!(keys, [hash.as_str()]);
        assert!(!keys[0].contains("a.b.c"));
    }

    #[test]
    fn a_sweep_forgets_what_is_over() {
        let store = Store::temporary();
        let revocations = Revocations::open(&store).unwrap();
        let (old, new) = (TokenHash::of("old"), TokenHash::of("new"));
        revocations.add(&old, 100.0).unwrap();
        revocations.add(&new, 300.0).unwrap();
        assert_eq!(revocations.sweep(200.0).unwrap(), 1);
        assert!(!revocations.contains(&old) && revocations.contains(&new));
        assert!(!Revocations::open(&store).unwrap().contains(&old));
    }

    #[test]
    fn a_corrupt_entry_is_an_error_at_opening() {
        let store = Store::temporary();
        store
            .tree::<String>(TREE)
            .unwrap()
            .put("k", &"x".into())
            .unwrap();
        let text = Revocations::open(&store).unwrap_err().to_string();
        assert!(text.contains("'revoked'"), "{text}");
    }
}
