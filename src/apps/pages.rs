//! Unguessable addresses under which sessions read the files of exactly their version.
//!
//! The key in the URL opens nothing but these files, and dies with its session; so no token has
//! to be in an address, where logs and referrers would keep it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;

/// Whose files a key opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageGrant {
    pub workspace: String,
    pub app: String,
    pub version: String,
    pub session: String,
}

/// See the module's text.
#[derive(Default)]
pub struct PageGrants {
    grants: DashMap<String, PageGrant>,
    keys: DashMap<String, String>,
}

impl PageGrants {
    /// The key of a session, always the same for one session.
    pub fn grant(&self, workspace: &str, app: &str, version: &str, session: &str) -> String {
        let key = self
            .keys
            .entry(session.to_owned())
            .or_insert_with(|| URL_SAFE_NO_PAD.encode(rand::random::<[u8; 18]>()))
            .clone();
        let grant = PageGrant {
            workspace: workspace.to_owned(),
            app: app.to_owned(),
            version: version.to_owned(),
            session: session.to_owned(),
        };
        self.grants.insert(key.clone(), grant);
        key
    }

    /// What a key opens.
    pub fn open(&self, key: &str) -> Option<PageGrant> {
        self.grants.get(key).map(|grant| grant.clone())
    }

    /// Takes the key of a session away.
    pub fn revoke(&self, session: &str) {
        if let Some((_, key)) = self.keys.remove(session) {
            self.grants.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lives_as_long_as_its_session() {
        let grants = PageGrants::default();
        let key = grants.grant("ws", "app", "v0", "ws/c");
        assert_eq!(grants.grant("ws", "app", "v0", "ws/c"), key);
        assert_eq!(grants.open(&key).unwrap().version, "v0");
        grants.revoke("ws/c");
        assert_eq!(grants.open(&key), None);
    }
}
