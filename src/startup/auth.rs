//! Authentication by a startup function: its functions are called over RPC, with a time limit,
//! and what they say is believed for a few seconds.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::identity::{Authority, IdentityError, ROOT, TokenError, UserInfo, is_user_id};
use crate::peer::{CallError, CallOptions, Peer};
use crate::supervision::SharedClock;
use crate::wire::{self, Value};

/// The service of a host script that holds the functions.
const SERVICE: &str = "startup-auth";
/// How long a function may take, signs of life or not.
const LIMIT: Duration = Duration::from_secs(5);
/// How long an answer is believed.
const BELIEVED: Duration = Duration::from_secs(5);
/// Answers that are remembered.
const REMEMBERED: usize = 1024;

type Hash32 = [u8; 32];

/// See the module's text.
pub struct RemoteAuthority {
    caller: Caller,
    functions: Vec<String>,
    users: Arc<Memory<Hash32, Result<UserInfo, TokenError>>>,
    places: Arc<Memory<Hash32, Option<String>>>,
}

#[derive(Clone)]
struct Caller {
    peer: Arc<Peer>,
    /// Client that offers the functions.
    address: String,
}

impl Caller {
    async fn call(self, function: &'static str, args: Vec<Value>) -> Result<Value, CallError> {
        let method = format!("services.{SERVICE}.{function}");
        let mut call = self.peer.call(&self.address, &method).options(CallOptions {
            timeout: LIMIT,
            ..CallOptions::default()
        });
        for arg in args {
            call = call.arg(arg);
        }
        let late = || CallError::Timeout {
            method: method.clone(),
            seconds: LIMIT.as_secs_f64(),
        };
        tokio::time::timeout(LIMIT, call.send())
            .await
            .unwrap_or_else(|_| Err(late()))
    }
}

impl RemoteAuthority {
    /// The `functions` that the client at `address` offers.
    pub fn new(
        peer: Arc<Peer>,
        clock: SharedClock,
        address: String,
        functions: Vec<String>,
    ) -> Self {
        RemoteAuthority {
            caller: Caller { peer, address },
            functions,
            users: Arc::new(Memory::new(clock.clone())),
            places: Arc::new(Memory::new(clock)),
        }
    }

    fn offers(&self, function: &str) -> bool {
        self.functions.iter().any(|name| name == function)
    }
}

/// Whether the function itself said no, which is worth remembering.
fn is_answer(error: &CallError) -> bool {
    matches!(error, CallError::Remote(_))
}

impl Authority for RemoteAuthority {
    fn parse(&self, token: &str) -> Option<BoxFuture<'static, Result<UserInfo, TokenError>>> {
        if !self.offers("parse_token") {
            return None;
        }
        let key: Hash32 = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.users.get(&key) {
            return Some(futures::future::ready(known).boxed());
        }
        let (caller, users) = (self.caller.clone(), self.users.clone());
        let token = Value::from(token);
        Some(
            async move {
                let answer = caller.call("parse_token", vec![token]).await;
                let keep = answer.as_ref().err().is_none_or(is_answer);
                let user = answer.map_or_else(
                    |error| Err(TokenError::Foreign(error.last_line())),
                    |answer| read_user(&answer),
                );
                if keep {
                    users.put(key, user.clone());
                }
                user
            }
            .boxed(),
        )
    }

    fn generate(
        &self,
        user: &UserInfo,
        expires_in: f64,
    ) -> Option<BoxFuture<'static, Result<String, IdentityError>>> {
        if !self.offers("generate_token") {
            return None;
        }
        let caller = self.caller.clone();
        // Such functions count in whole seconds, as the reference does.
        let args = vec![user.to_value(), Value::from(expires_in.ceil() as i64)];
        Some(
            async move {
                let answer = caller.call("generate_token", args).await;
                let answer = answer.map_err(|error| IdentityError::Foreign(error.last_line()))?;
                let token = answer.as_str().filter(|token| !token.is_empty());
                token
                    .map(str::to_owned)
                    .ok_or_else(|| IdentityError::Foreign("generate_token returned no text".into()))
            }
            .boxed(),
        )
    }

    fn extract(&self, scope: Value) -> Option<BoxFuture<'static, Option<String>>> {
        if !self.offers("get_token") {
            return None;
        }
        let key: Hash32 = Sha256::digest(wire::encode(&scope)).into();
        if let Some(known) = self.places.get(&key) {
            return Some(futures::future::ready(known).boxed());
        }
        let (caller, places) = (self.caller.clone(), self.places.clone());
        Some(
            async move {
                match caller.call("get_token", vec![scope]).await {
                    Ok(answer) => {
                        let token = answer.as_str().filter(|token| !token.is_empty());
                        let token = token.map(str::to_owned);
                        places.put(key, token.clone());
                        token
                    }
                    Err(error) => {
                        tracing::warn!(error = error.last_line(), "get_token failed");
                        None
                    }
                }
            }
            .boxed(),
        )
    }
}

/// The user that a function named. Its id becomes part of a workspace's name, and nobody becomes
/// root this way.
fn read_user(answer: &Value) -> Result<UserInfo, TokenError> {
    let wrong = |what: String| TokenError::Foreign(format!("parse_token returned {what}"));
    if answer.is_nil() {
        return Err(TokenError::Foreign("Invalid token".into()));
    }
    let user = UserInfo::from_value(answer).map_err(|error| wrong(error.to_string()))?;
    if !is_user_id(&user.id) || user.id == ROOT {
        return Err(wrong(format!("the user id {:?}", user.id)));
    }
    let mut user = user;
    user.current_workspace = user.scope.current_workspace.clone();
    Ok(user)
}

/// Answers by their questions, each for a short time.
struct Memory<K, V> {
    clock: SharedClock,
    entries: Mutex<HashMap<K, (Duration, V)>>,
}

impl<K: Hash + Eq, V: Clone> Memory<K, V> {
    fn new(clock: SharedClock) -> Self {
        Memory {
            clock,
            entries: Mutex::default(),
        }
    }

    fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock();
        let (until, value) = entries.get(key)?;
        (*until > self.clock.now()).then(|| value.clone())
    }

    fn put(&self, key: K, value: V) {
        let now = self.clock.now();
        let mut entries = self.entries.lock();
        if entries.len() >= REMEMBERED {
            entries.retain(|_, (until, _)| *until > now);
        }
        if entries.len() >= REMEMBERED {
            entries.clear();
        }
        entries.insert(key, (now + BELIEVED, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map;
    use crate::supervision::ManualClock;

    #[test]
    fn answers_are_believed_for_a_while_and_not_all_kept() {
        let clock = Arc::new(ManualClock::new());
        let memory: Memory<u32, u32> = Memory::new(clock.clone());
        memory.put(1, 10);
        assert_eq!(memory.get(&1), Some(10));
        clock.advance(BELIEVED);
        assert_eq!(memory.get(&1), None);
        for n in 0..3 * REMEMBERED as u32 {
            memory.put(n, n);
        }
        assert!(memory.entries.lock().len() <= REMEMBERED);
    }

    #[test]
    fn users_are_read_with_care() {
        let user = |id: &str| {
            read_user(&Value::Map(map! {
                "id" => id,
                "roles" => vec![Value::from("user")],
                "scope" => map! { "workspaces" => map! { "w" => "a" }, "current_workspace" => "w" },
            }))
        };
        let alice = user("alice").unwrap();
        assert_eq!(alice.current_workspace.as_deref(), Some("w"));
        for bad in ["", "root", "a/b", "a b"] {
            assert!(user(bad).is_err(), "{bad}");
        }
        assert!(read_user(&Value::Nil).is_err());
        assert!(read_user(&"alice".into()).is_err());
    }
}
