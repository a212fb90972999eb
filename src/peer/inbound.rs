//! Messages addressed to the server: answers to its calls, and calls of its services.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;

use super::Peer;
use super::error::ServiceError;
use super::service::{CallContext, Reply, method_of};
use crate::router::{Client, Incoming, MAX_RUNNING_CALLS, PushError, reject_frame};
use crate::supervision::panic_text;
use crate::wire::{self, CallBody, Limits, Map, PromiseSpec, RemoteFunction, Value};

/// Where the outcome of a call goes. Always to the caller itself: an answer towards a third
/// party would lend it the server's identity.
struct ReplyTo {
    client: Arc<Client>,
    /// The address that was called.
    from: String,
    session: String,
    resolve: String,
    reject: String,
    heartbeat: Option<String>,
    interval: Duration,
}

impl Peer {
    /// Takes a message for one of the server's addresses. Never waits: what takes time runs in a
    /// task of its own.
    pub fn receive(self: &Arc<Self>, incoming: Incoming) {
        if incoming.kind != "method" {
            return;
        }
        if let Err(reason) = self.dispatch(&incoming) {
            refuse(&incoming, &reason);
        }
    }

    fn dispatch(self: &Arc<Self>, incoming: &Incoming) -> Result<(), String> {
        let method = incoming
            .method
            .as_deref()
            .ok_or("ValueError: a message of type \"method\" needs a `method`")?;
        let body = CallBody::decode(&incoming.body, &Limits::default())
            .map_err(|error| format!("ValueError: {error}"))?;
        let (head, rest) = method.split_once('.').unwrap_or((method, ""));
        if head == "services" {
            return self.call_service(incoming, rest, body);
        }
        let caller = &incoming.caller.address;
        let Some(work) = self.calls.invoke(caller, head, rest, body.args)? else {
            return Ok(());
        };
        let reply_to = reply_to(incoming, body.promise)?;
        let client = incoming.caller.clone();
        let work = work.map(move |outcome| {
            // The answer to this one allows the next one.
            client.owed.asked();
            outcome.map(Reply::Value)
        });
        self.run("callback", reply_to, work);
        Ok(())
    }

    fn call_service(
        self: &Arc<Self>,
        incoming: &Incoming,
        path: &str,
        body: CallBody,
    ) -> Result<(), String> {
        let workspace = incoming.to.split_once('/').map_or("*", |(ws, _)| ws);
        let (service_id, name) = path.split_once('.').unwrap_or((path, ""));
        let found = self.offered(workspace, service_id).and_then(|service| {
            let method = method_of(&*service, name)?;
            Some((service, method))
        });
        let Some((service, method)) = found else {
            return Err(format!(
                "Method expired or not found: {}:services.{path}",
                incoming.caller.address
            ));
        };
        let reply_to = reply_to(incoming, body.promise)?;
        let Some(place) = incoming.caller.begin_call() else {
            return Err(format!(
                "RuntimeError: too many calls of {} are running (limit {MAX_RUNNING_CALLS})",
                incoming.caller.address
            ));
        };
        let context = context_of(incoming);
        let outcome = match method.bind(body.args, body.kwargs) {
            Ok(arguments) => service.call(method, arguments, context),
            Err(error) => futures::future::ready(Err(error)).boxed(),
        };
        let counted = async move {
            let _place = place;
            outcome.await
        };
        self.run(method.name, reply_to, counted);
        Ok(())
    }

    /// Runs work for a client in a task of its own.
    fn run<F>(self: &Arc<Self>, name: &'static str, reply_to: Option<ReplyTo>, outcome: F)
    where
        F: Future<Output = Result<Reply, ServiceError>> + 'static,
    {
        let peer = self.clone();
        actix_web::rt::spawn(async move {
            // A panic in a method is this call's failure and nobody else's.
            let outcome = AssertUnwindSafe(outcome).catch_unwind();
            match reply_to {
                Some(reply_to) => peer.answer(reply_to, name, outcome).await,
                None => drop(outcome.await),
            }
        });
    }

    /// Runs a method to its end, with heartbeats to its caller, and sends the outcome.
    async fn answer<F>(self: Arc<Self>, reply_to: ReplyTo, method: &str, outcome: F)
    where
        F: Future<Output = std::thread::Result<Result<Reply, ServiceError>>>,
    {
        tokio::pin!(outcome);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut outcome => break result,
                () = tokio::time::sleep(reply_to.interval) => {
                    if self.beat(&reply_to).await.is_err() {
                        // Nobody is left to hear the answer; the work itself goes on to its end,
                        // since others may depend on it (an install, a start).
                        drop(outcome.await);
                        return;
                    }
                }
            }
        };
        let reply = match result {
            Ok(reply) => reply,
            Err(panic) => {
                tracing::error!(
                    method,
                    panic = panic_text(&*panic),
                    "a service method panicked"
                );
                Err(ServiceError::runtime("internal error"))
            }
        };
        let (target, value) = match reply {
            Ok(Reply::Value(value)) => (&reply_to.resolve, wire::encode(&value)),
            Ok(Reply::Packed(bytes)) => (&reply_to.resolve, bytes),
            Err(error) => {
                tracing::debug!(method, caller = %reply_to.client.address, %error, "call failed");
                let value = wire::error_value(&error.to_string());
                (&reply_to.reject, wire::encode(&value))
            }
        };
        let sent = self
            .send_answer(
                &reply_to.from,
                &reply_to.client,
                target,
                &reply_to.session,
                &value,
            )
            .await;
        if let Err(error) = sent {
            tracing::debug!(method, caller = %reply_to.client.address, %error, "answer not taken");
        }
    }

    async fn beat(&self, reply_to: &ReplyTo) -> Result<(), super::CallError> {
        match &reply_to.heartbeat {
            Some(method) => {
                self.send_bare(
                    &reply_to.from,
                    &reply_to.client,
                    method,
                    Some(&reply_to.session),
                    Bytes::new(),
                )
                .await
            }
            None => Ok(()),
        }
    }
}

/// Where the outcome goes, if the caller waits for one.
fn reply_to(incoming: &Incoming, promise: Option<PromiseSpec>) -> Result<Option<ReplyTo>, String> {
    match (&incoming.session, promise) {
        (Some(session), Some(promise)) => ReplyTo::new(incoming, session, promise).map(Some),
        _ => Ok(None),
    }
}

impl ReplyTo {
    fn new(incoming: &Incoming, session: &str, promise: PromiseSpec) -> Result<Self, String> {
        let caller = &incoming.caller;
        let (resolve, reject, heartbeat, interval) = match promise {
            PromiseSpec::Session { interval } => (
                format!("{session}.resolve"),
                format!("{session}.reject"),
                Some(format!("{session}.heartbeat")),
                interval,
            ),
            PromiseSpec::Explicit {
                resolve,
                reject,
                heartbeat,
                interval,
            } => (
                own_method(caller, resolve)?,
                own_method(caller, reject)?,
                heartbeat.map(|beat| own_method(caller, beat)).transpose()?,
                interval,
            ),
        };
        Ok(ReplyTo {
            client: caller.clone(),
            from: incoming.to.clone(),
            session: session.to_owned(),
            resolve,
            reject,
            heartbeat,
            interval: Duration::from_secs_f64(interval),
        })
    }
}

/// A function that belongs to the caller itself.
fn own_method(caller: &Client, mut function: RemoteFunction) -> Result<String, String> {
    function.resolve_target(&caller.workspace);
    if function.target == *caller.address {
        Ok(function.method)
    } else {
        Err(format!(
            "PermissionError: an answer cannot be sent to {}, only to the caller {}",
            function.target, caller.address
        ))
    }
}

fn context_of(incoming: &Incoming) -> CallContext {
    let caller = &incoming.caller;
    CallContext {
        ws: caller.workspace.to_string(),
        from: caller.address.to_string(),
        to: incoming.to.clone(),
        user: caller.user.clone(),
        client: Some(caller.clone()),
    }
}

/// Tells a caller that waits why its message could not be handled.
fn refuse(incoming: &Incoming, reason: &str) {
    let Some(session) = &incoming.session else {
        tracing::debug!(from = %incoming.caller.address, reason, "message dropped");
        return;
    };
    let frame = reject_frame(&incoming.to, &incoming.caller.address, session, reason);
    if let Err(PushError::Full(_)) = incoming.caller.push(frame) {
        tracing::debug!(to = %incoming.caller.address, "rejection not taken, the mailbox is full");
    }
}

/// Handles a message that arrived in chunks. Its sender is the caller of `process`, whatever the
/// joined bytes claim (protocol 9).
pub(super) fn process_joined(
    peer: &Arc<Peer>,
    message: Bytes,
    context: CallContext,
) -> Result<(), ServiceError> {
    let caller = context
        .client
        .ok_or_else(|| ServiceError::value("long messages need a connection"))?;
    let (header, body_at) = wire::decode_prefix(&message, &Limits::default())
        .map_err(|error| ServiceError::value(format!("malformed long message: {error}")))?;
    let header = match header {
        Value::Map(map) => map,
        _ => Map::new(),
    };
    let text = |key: &str| header.get_str(key).map(str::to_owned);
    peer.receive(Incoming {
        caller,
        to: context.to,
        kind: text("type").unwrap_or_default(),
        method: text("method"),
        session: text("session"),
        body: message.slice(body_at..),
    });
    Ok(())
}
