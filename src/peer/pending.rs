//! Calls from the server to its clients that wait for an answer.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::error::{CallError, RemoteError, ServiceError};
use crate::wire::Value;

/// What a callback of the server does with its arguments when nobody waits for its outcome. It
/// must not block.
pub type Callback = Arc<dyn Fn(Vec<Value>) + Send + Sync>;

/// The outcome of a callback whose caller waits for it.
pub type Answer = BoxFuture<'static, Result<Value, ServiceError>>;

/// A callback whose caller waits for its outcome. What it does before it returns its future
/// happens in the order of the calls.
pub type AnsweringCallback = Arc<dyn Fn(Vec<Value>) -> Answer + Send + Sync>;

/// A function of the server that a callee may call while the session is open.
#[derive(Clone)]
pub(super) enum SessionFunction {
    Notify(Callback),
    Answer(AnsweringCallback),
}

/// The server's end of one open session.
pub(super) struct PendingCall {
    /// The only address that may answer.
    target: String,
    answer: Mutex<Option<oneshot::Sender<Result<Value, CallError>>>>,
    beat: Arc<Notify>,
    callbacks: HashMap<String, SessionFunction>,
}

/// All open sessions, by session id.
#[derive(Default)]
pub(super) struct PendingCalls {
    calls: DashMap<String, Arc<PendingCall>>,
}

/// What the waiting side holds: dropping it closes the session.
pub(super) struct Waiter<'a> {
    calls: &'a PendingCalls,
    pub session: String,
    pub answer: oneshot::Receiver<Result<Value, CallError>>,
    pub beat: Arc<Notify>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.calls.calls.remove(&self.session);
    }
}

impl PendingCalls {
    /// Opens a session towards `target`.
    pub fn open(
        &self,
        session: String,
        target: &str,
        callbacks: HashMap<String, SessionFunction>,
    ) -> Waiter<'_> {
        let (sender, answer) = oneshot::channel();
        let beat = Arc::new(Notify::new());
        let call = PendingCall {
            target: target.to_owned(),
            answer: Mutex::new(Some(sender)),
            beat: beat.clone(),
            callbacks,
        };
        self.calls.insert(session.clone(), Arc::new(call));
        Waiter {
            calls: self,
            session,
            answer,
            beat,
        }
    }

    /// How many calls wait.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// How many sessions lend functions of the server to `address`.
    pub fn lent_to(&self, address: &str) -> usize {
        self.calls
            .iter()
            .filter(|call| call.target == address && !call.callbacks.is_empty())
            .count()
    }

    /// Whether `session` is open towards `from`; keeps it alive for another interval.
    pub fn touch(&self, session: &str, from: &str) -> bool {
        match self.calls.get(session) {
            Some(call) if call.target == from => {
                call.beat.notify_one();
                true
            }
            _ => false,
        }
    }

    /// Handles `<session>.<member>` called by `from`. What is returned is the work that the
    /// caller waits for.
    ///
    /// # Errors
    /// The text for the caller when there is no such session or member, or it is not theirs.
    pub fn invoke(
        &self,
        from: &str,
        session: &str,
        member: &str,
        mut args: Vec<Value>,
    ) -> Result<Option<Answer>, String> {
        let Some(call) = self.calls.get(session).map(|call| call.clone()) else {
            return Err(format!("Session not found: {from}:{session}.{member}"));
        };
        if call.target != from {
            return Err(format!(
                "PermissionError: Access denied for method call ({from}:{session}.{member}) from \
                 {from} to target {}",
                call.target
            ));
        }
        match member {
            "heartbeat" => call.beat.notify_one(),
            "resolve" => {
                let value = if args.is_empty() {
                    Value::Nil
                } else {
                    args.swap_remove(0)
                };
                call.settle(Ok(value));
            }
            "reject" => call.settle(Err(CallError::Remote(rejection(args.first())))),
            _ => match call.callbacks.get(callback_key(member)) {
                Some(SessionFunction::Notify(callback)) => callback(args),
                Some(SessionFunction::Answer(callback)) => return Ok(Some(callback(args))),
                None => {
                    return Err(format!(
                        "Method expired or not found: {from}:{session}.{member}"
                    ));
                }
            },
        }
        Ok(None)
    }

    /// Fails every call that waits for `address`.
    pub fn fail_target(&self, address: &str) {
        // Collected first: settling wakes waiters, whose Drop takes the map's locks.
        let lost: Vec<Arc<PendingCall>> = self
            .calls
            .iter()
            .filter(|call| call.target == address)
            .map(|call| call.clone())
            .collect();
        for call in lost {
            call.settle(Err(CallError::NotConnected(address.to_owned())));
        }
    }
}

impl PendingCall {
    fn settle(&self, result: Result<Value, CallError>) {
        if let Some(answer) = self.answer.lock().take() {
            // The waiter may have given up meanwhile.
            let _ = answer.send(result);
        }
    }
}

/// A callback is addressed as `<object id>#<name>`; the name is for people.
fn callback_key(member: &str) -> &str {
    member.split_once('#').map_or(member, |(key, _)| key)
}

fn rejection(error: Option<&Value>) -> RemoteError {
    let Some(value) = error else {
        return "the peer rejected the call without a reason"
            .to_owned()
            .into();
    };
    let text = crate::wire::error_text(value)
        .or_else(|| value.as_str().map(str::to_owned))
        .unwrap_or_else(|| value.to_json().to_string());
    let trace = value.get("_rtrace").and_then(Value::as_str);
    RemoteError {
        text,
        trace: trace.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error_value;

    const PEER: &str = "ws/peer";

    fn open<'a>(calls: &'a PendingCalls, session: &str) -> Waiter<'a> {
        calls.open(session.into(), PEER, HashMap::new())
    }

    #[tokio::test]
    async fn an_answer_reaches_its_waiter_and_the_session_closes_with_it() {
        let calls = PendingCalls::default();
        let mut waiter = open(&calls, "s1");
        calls.invoke(PEER, "s1", "resolve", vec![7.into()]).unwrap();
        assert_eq!((&mut waiter.answer).await.unwrap(), Ok(Value::from(7)));
        drop(waiter);
        assert_eq!(calls.len(), 0);
        let late = calls.invoke(PEER, "s1", "resolve", vec![]).err().unwrap();
        assert_eq!(late, "Session not found: ws/peer:s1.resolve");
    }

    #[tokio::test]
    async fn only_the_called_peer_may_answer() {
        let calls = PendingCalls::default();
        let mut waiter = open(&calls, "s1");
        assert!(calls.invoke("ws/other", "s1", "resolve", vec![]).is_err());
        assert!(!calls.touch("s1", "ws/other"));
        calls
            .invoke(PEER, "s1", "reject", vec![error_value("boom")])
            .unwrap();
        assert_eq!(
            (&mut waiter.answer).await.unwrap(),
            Err(CallError::Remote("boom".to_owned().into()))
        );
    }

    #[tokio::test]
    async fn a_departed_peer_fails_its_calls() {
        let calls = PendingCalls::default();
        let mut waiter = open(&calls, "s1");
        calls.fail_target(PEER);
        assert_eq!(
            (&mut waiter.answer).await.unwrap(),
            Err(CallError::NotConnected(PEER.into()))
        );
    }

    #[test]
    fn callbacks_are_found_by_their_id_before_the_name() {
        let calls = PendingCalls::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let callback: Callback = {
            let seen = seen.clone();
            Arc::new(move |args| seen.lock().extend(args))
        };
        let callbacks = HashMap::from([("cb0".to_owned(), SessionFunction::Notify(callback))]);
        let _waiter = calls.open("s1".into(), PEER, callbacks);
        calls
            .invoke(PEER, "s1", "cb0#progress", vec![1.into()])
            .unwrap();
        assert_eq!(*seen.lock(), vec![Value::from(1)]);
        let unknown = calls.invoke(PEER, "s1", "cb9", vec![]).err().unwrap();
        assert_eq!(unknown, "Method expired or not found: ws/peer:s1.cb9");
    }
}
