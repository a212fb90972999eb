//! Tokens from making to taking back, under a clock that the test sets.

mod generating;
mod parsing;
mod revoking;

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::store::Store;

const NOW: f64 = 1_795_570_700.0;
const SECRET: &str = "not-a-real-secret";
const ROOT_TOKEN: &str = "kqzvwxjyplmnrdfgtcbsheauio-97865";

struct Authority {
    tokens: Tokens,
    store: Store,
    now: Arc<Mutex<f64>>,
}

impl Authority {
    fn new() -> Authority {
        Authority::with(Authority::config())
    }

    fn config() -> TokensConfig {
        TokensConfig {
            secret: Some(SECRET.to_owned()),
            root_token: Some(ROOT_TOKEN.to_owned()),
            ..TokensConfig::default()
        }
    }

    fn with(config: TokensConfig) -> Authority {
        Authority::over(Store::temporary(), config)
    }

    fn over(store: Store, config: TokensConfig) -> Authority {
        let now = Arc::new(Mutex::new(NOW));
        let clock = now.clone();
        let revocations = Revocations::open(&store).unwrap();
        let tokens = Tokens::new(config, revocations, Arc::new(move || *clock.lock())).unwrap();
        Authority { tokens, store, now }
    }

    fn pass(&self, seconds: f64) {
        *self.now.lock() += seconds;
    }

    fn refusal(&self, token: &str) -> String {
        self.tokens.parse(token).unwrap_err().to_string()
    }

    /// A token for an ordinary user with this level in `lab`.
    fn token_of(&self, user: &UserInfo) -> String {
        self.tokens.issue(user, &user.scope, 3600.0).unwrap()
    }
}

fn member(level: Level) -> UserInfo {
    UserInfo {
        scope: Scope::within("lab", level),
        email: Some("ann@lab.org".into()),
        ..UserInfo::with_roles("ann", vec!["user".into()])
    }
}
