//! What arrives from the server: outcomes of calls, calls of callbacks, and the chunks of long
//! messages.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::connection::Answer;
use super::error::ClientError;
use super::long::LongMessages;
use super::offering::Offerings;
use crate::map;
use crate::wire::{self, CallBody, Limits, Map, PromiseSpec, Value};

/// A callback: gets the arguments of each call.
pub type Progress = Arc<dyn Fn(Vec<Value>) + Send + Sync>;

/// A message to be sent.
pub(super) type Message = (Map, Option<Map>);

/// A call of a function that is offered here, under way.
pub(super) struct Running {
    header: Map,
    promise: Option<PromiseSpec>,
}

/// What it does.
pub(super) type Work = BoxFuture<'static, Result<Value, String>>;

impl Running {
    /// The message that ends the call.
    pub fn answer(&self, result: Result<Value, String>) -> Option<Message> {
        answer(&self.header, self.promise.clone(), result)
    }

    /// The message that shows that it is still under way, and how often to send it.
    pub fn heartbeat(&self) -> Option<(Message, Duration)> {
        let session = self.header.get_str("session")?;
        let (method, interval) = match self.promise.as_ref()? {
            PromiseSpec::Session { interval } => (format!("{session}.heartbeat"), *interval),
            PromiseSpec::Explicit {
                heartbeat,
                interval,
                ..
            } => (heartbeat.as_ref()?.method.clone(), *interval),
        };
        let from = self.header.get_str("from")?;
        let header = map! { "type" => "method", "to" => from, "method" => method };
        Some(((header, None), Duration::from_secs_f64(interval)))
    }
}

/// What is to be done because of a frame.
#[derive(Default)]
pub(super) struct Taken {
    pub messages: Vec<Message>,
    pub running: Vec<(Running, Work)>,
}

struct Session {
    answer: Option<oneshot::Sender<Result<Value, ClientError>>>,
    callbacks: HashMap<String, Progress>,
}

/// See the module's text.
pub(super) struct Inbox {
    sessions: Mutex<HashMap<String, Session>>,
    long: Mutex<LongMessages>,
    pub offerings: Mutex<Offerings>,
    /// Why the connection ended.
    ended: Mutex<Option<String>>,
}

impl Inbox {
    pub fn new() -> Self {
        Inbox {
            sessions: Mutex::default(),
            long: Mutex::default(),
            offerings: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    /// Opens the session of a call.
    pub fn open(&self, session: &str, callbacks: HashMap<String, Progress>) -> Answer {
        let (sender, answer) = oneshot::channel();
        let entry = Session {
            answer: Some(sender),
            callbacks,
        };
        // A connection that ended answers nothing any more; dropping the sender says so.
        if self.ended.lock().is_none() {
            self.sessions.lock().insert(session.to_owned(), entry);
        }
        answer
    }

    pub fn close(&self, session: &str) {
        self.sessions.lock().remove(session);
    }

    /// The connection ended: all who wait are told.
    pub fn lose(&self, reason: String) {
        *self.ended.lock() = Some(reason);
        self.sessions.lock().clear();
    }

    /// Why the connection ended.
    pub fn end(&self) -> String {
        self.ended.lock().clone().unwrap_or_default()
    }

    /// Handles one frame; returns what is to be done because of it.
    pub fn take(&self, frame: Bytes) -> Taken {
        let limits = Limits::default();
        let Ok((Value::Map(header), body_at)) = wire::decode_prefix(&frame, &limits) else {
            return Taken::default();
        };
        if header.get_str("type") != Some("method") {
            return Taken::default();
        }
        let Ok(body) = CallBody::decode(&frame.slice(body_at..), &limits) else {
            return Taken::default();
        };
        let method = header.get_str("method").unwrap_or_default().to_owned();
        let (head, member) = method.split_once('.').unwrap_or((&method, ""));
        if head == "services" {
            return match member.starts_with("built-in.") {
                true => self.serve(&header, member, body),
                false => self.run(header, member, body),
            };
        }
        self.settle(head, member, body.args);
        Taken::default()
    }

    /// A call of an offered service.
    fn run(&self, header: Map, member: &str, body: CallBody) -> Taken {
        let handler = self.offerings.lock().handler(member);
        match handler {
            Some(handler) => Taken {
                running: vec![(
                    Running {
                        header,
                        promise: body.promise,
                    },
                    handler(body.args, body.kwargs),
                )],
                ..Taken::default()
            },
            None => {
                let missing = Err(format!("KeyError: 'Method not found: {member}'"));
                Taken {
                    messages: answer(&header, body.promise, missing).into_iter().collect(),
                    ..Taken::default()
                }
            }
        }
    }

    fn settle(&self, session: &str, member: &str, mut args: Vec<Value>) {
        let mut sessions = self.sessions.lock();
        let Some(open) = sessions.get_mut(session) else {
            return;
        };
        let first = |args: &mut Vec<Value>| match args.is_empty() {
            true => Value::Nil,
            false => args.swap_remove(0),
        };
        let outcome = match member {
            "heartbeat" => return,
            "resolve" => Ok(first(&mut args)),
            "reject" => Err(ClientError::Remote(error_line(&first(&mut args)))),
            callback => {
                if let Some(callback) = open.callbacks.get(callback).cloned() {
                    drop(sessions);
                    callback(args);
                }
                return;
            }
        };
        if let Some(answer) = open.answer.take() {
            // Whoever asked may have given up.
            let _ = answer.send(outcome);
        }
    }

    /// Calls of the `built-in` service.
    fn serve(&self, header: &Map, member: &str, body: CallBody) -> Taken {
        let mut joined = None;
        let result = match member.strip_prefix("built-in.") {
            Some("ping") => Ok(Value::from("pong")),
            Some("get_service") => self.describe(&body),
            Some(step) => match step.strip_prefix("message_cache.") {
                Some(step) => self
                    .long
                    .lock()
                    .step(step, body.args)
                    .map(|message| joined = message)
                    .map(|()| Value::Nil),
                None => Err(format!("there is no function {step}")),
            },
            None => Err(format!("there is no function {member}")),
        };
        let mut taken = Taken {
            messages: answer(header, body.promise, result).into_iter().collect(),
            ..Taken::default()
        };
        if let Some(message) = joined {
            let inner = self.take(message);
            taken.messages.extend(inner.messages);
            taken.running.extend(inner.running);
        }
        taken
    }

    fn describe(&self, body: &CallBody) -> Result<Value, String> {
        let id = body.args.first().or(body.kwargs.get("service_id"));
        let id = id.and_then(Value::as_str).unwrap_or_default();
        let described = self.offerings.lock().describe(id);
        described
            .map(Value::Map)
            .ok_or_else(|| format!("KeyError: 'Service not found: {id}'"))
    }
}

/// The message that ends somebody's call of ours.
fn answer(
    header: &Map,
    promise: Option<PromiseSpec>,
    result: Result<Value, String>,
) -> Option<Message> {
    let session = header.get_str("session")?;
    let from = header.get_str("from")?;
    let (resolve, reject) = match promise? {
        PromiseSpec::Session { .. } => (format!("{session}.resolve"), format!("{session}.reject")),
        PromiseSpec::Explicit {
            resolve, reject, ..
        } => (resolve.method, reject.method),
    };
    let (method, value) = match result {
        Ok(value) => (resolve, value),
        Err(text) => (reject, wire::error_value(&text)),
    };
    let header = map! { "type" => "method", "to" => from, "method" => method };
    Some((header, Some(map! { "args" => vec![value] })))
}

/// The last line of an error, `Class: message`.
fn error_line(error: &Value) -> String {
    let text = wire::error_text(error).unwrap_or_else(|| error.to_json().to_string());
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.unwrap_or("unknown error").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(header: Map, body: Map) -> Bytes {
        let mut bytes = Vec::new();
        wire::encode_map_into(&header, &mut bytes);
        wire::encode_map_into(&body, &mut bytes);
        bytes.into()
    }

    fn method(name: &str) -> Map {
        map! { "type" => "method", "from" => "ws/peer", "session" => "theirs", "method" => name }
    }

    #[tokio::test]
    async fn outcomes_and_callbacks_find_their_session() {
        let inbox = Inbox::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let callback: Progress = {
            let seen = seen.clone();
            Arc::new(move |args| seen.lock().extend(args))
        };
        let answer = inbox.open("s", HashMap::from([("progress".to_owned(), callback)]));
        let args = |value: i64| map! { "args" => vec![Value::from(value)] };
        assert!(
            inbox
                .take(frame(method("s.progress"), args(1)))
                .messages
                .is_empty()
        );
        inbox.take(frame(method("s.resolve"), args(2)));
        assert_eq!(*seen.lock(), [Value::from(1)]);
        assert_eq!(answer.await.unwrap().unwrap(), Value::from(2));
    }

    #[tokio::test]
    async fn a_lost_connection_ends_all_calls() {
        let inbox = Inbox::new();
        let waiting = inbox.open("s", HashMap::new());
        inbox.lose("gone".into());
        assert!(waiting.await.is_err() && inbox.open("t", HashMap::new()).await.is_err());
        assert_eq!(inbox.end(), "gone");
    }

    #[test]
    fn pings_are_answered() {
        let inbox = Inbox::new();
        let body = map! { "args" => vec![Value::from("ping")], "promise" => "*" };
        let answers = inbox
            .take(frame(method("services.built-in.ping"), body))
            .messages;
        assert_eq!(answers[0].0.get_str("method"), Some("theirs.resolve"));
        assert_eq!(answers[0].0.get_str("to"), Some("ws/peer"));
    }
}
