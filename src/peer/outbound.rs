//! Messages from the server to clients: calls, notifications, answers, and their chunks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::error::CallError;
use super::pending::{AnsweringCallback, Callback, SessionFunction};
use super::{CHUNK_BYTES, DEFAULT_TIMEOUT_S, LONG_MESSAGE_BYTES, Peer, fresh_id};
use crate::identity::UserInfo;
use crate::map;
use crate::router::{Client, Outgoing, PushError};
use crate::wire::{self, Map, RemoteFunction, Value};

/// Silence of a client after which a call asks for a sign of life beside it.
const DOUBT_AFTER_MS: u64 = 1000;
/// How long a client in doubt has to give the sign: what the reference waits for a service's
/// description before it calls it.
const SIGN_WITHIN: Duration = Duration::from_secs(10);
/// How long a message may wait for room in its receiver's mailbox.
const PATIENCE: Duration = Duration::from_secs(30);
/// Chunks of one message on their way at the same time (protocol 3).
const CHUNKS_IN_FLIGHT: usize = 30;

/// In whose name and how long the server calls.
#[derive(Clone)]
pub struct CallOptions {
    /// Address that calls; must be one of the server's own. Default: the manager's.
    pub from: Option<String>,
    /// Workspace shown to the callee. Default: the callee's own.
    pub ws: Option<String>,
    /// User shown to the callee. Default: root.
    pub user: Option<Arc<UserInfo>>,
    /// Without an answer or a heartbeat for this long the call fails.
    pub timeout: Duration,
}

impl Default for CallOptions {
    fn default() -> Self {
        CallOptions {
            from: None,
            ws: None,
            user: None,
            timeout: Duration::from_secs_f64(DEFAULT_TIMEOUT_S),
        }
    }
}

/// Keeps work in flight counted on the client that does it.
pub struct SessionGuard(Arc<Client>);

impl SessionGuard {
    pub fn new(client: Arc<Client>) -> Self {
        client.load.begin();
        SessionGuard(client)
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.load.end();
    }
}

/// A call in preparation. Callbacks made with [`OutgoingCall::callback`] live until it ends.
pub struct OutgoingCall<'a> {
    peer: &'a Peer,
    target: String,
    method: String,
    session: String,
    args: Vec<Value>,
    kwargs: Map,
    callbacks: HashMap<String, SessionFunction>,
    options: CallOptions,
}

impl OutgoingCall<'_> {
    pub fn options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// Lets the call count as use of the client: it keeps an app session from being stopped for
    /// inactivity, and weighs in its load.
    pub fn counted(self) -> Self {
        if let Some(client) = self.peer.router.find(&self.target) {
            let now = self.peer.router.now_ms();
            client.used(now);
            client.load.count(now);
        }
        self
    }

    /// Adds a positional argument.
    pub fn arg(mut self, value: impl Into<Value>) -> Self {
        self.args.push(value.into());
        self
    }

    /// Adds a keyword argument.
    pub fn kwarg(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.kwargs.insert(name, value);
        self
    }

    /// A function of the server that the callee may call while this call runs.
    pub fn callback(&mut self, name: &str, callback: Callback) -> Value {
        self.session_function(name, SessionFunction::Notify(callback), false.into())
    }

    /// The same, for a function whose outcome the callee waits for.
    pub fn answering_callback(&mut self, name: &str, callback: AnsweringCallback) -> Value {
        self.session_function(name, SessionFunction::Answer(callback), "*".into())
    }

    /// The options must be set before: they name the address that the function is called at.
    fn session_function(&mut self, name: &str, function: SessionFunction, promise: Value) -> Value {
        let key = format!("cb{}", self.callbacks.len());
        self.callbacks.insert(key.clone(), function);
        Value::Map(map! {
            "_rtype" => "method",
            "_rtarget" => self.peer.calling_address(&self.options),
            "_rmethod" => format!("{}.{key}#{name}", self.session),
            "_rpromise" => promise,
            "_rname" => name,
            "_rasync" => true,
        })
    }

    /// Sends the call and waits for its answer.
    ///
    /// # Errors
    /// See [`CallError`]; a heartbeat of the callee starts the timeout anew.
    pub async fn send(mut self) -> Result<Value, CallError> {
        let client = self
            .peer
            .router
            .find(&self.target)
            .ok_or_else(|| CallError::NotConnected(self.target.clone()))?;
        let _busy = SessionGuard::new(client.clone());
        let callbacks = std::mem::take(&mut self.callbacks);
        let mut waiter = self
            .peer
            .calls
            .open(self.session.clone(), &self.target, callbacks);
        self.transmit(&client).await?;
        loop {
            tokio::select! {
                biased;
                answer = &mut waiter.answer => {
                    return answer.unwrap_or_else(|_| {
                        Err(CallError::Cancelled("the session was closed".into()))
                    });
                }
                () = waiter.beat.notified() => {}
                () = tokio::time::sleep(self.options.timeout) => {
                    return Err(CallError::Timeout {
                        method: self.method.clone(),
                        seconds: self.options.timeout.as_secs_f64(),
                    });
                }
            }
        }
    }

    /// Like [`OutgoingCall::send`], but a client that was silent for a while must also answer a
    /// ping soon: a caller over HTTP should not wait for the dead as long as for the busy.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send_to_living(self) -> Result<Value, CallError> {
        let (peer, target) = (self.peer, self.target.clone());
        let heard = peer.router.find(&target).map(|client| client.last_heard());
        let now = peer.router.now_ms();
        if heard.is_none_or(|heard| now.saturating_sub(heard) < DOUBT_AFTER_MS) {
            return self.send().await;
        }
        let ping = peer
            .call(&target, "services.built-in.ping")
            .options(CallOptions {
                timeout: SIGN_WITHIN,
                ..CallOptions::default()
            })
            .arg("ping")
            .send();
        let call = self.send();
        tokio::pin!(ping, call);
        tokio::select! {
            biased;
            sign = &mut ping => match sign {
                Err(error @ CallError::Timeout { .. }) => Err(error),
                _ => call.await,
            },
            outcome = &mut call => outcome,
        }
    }

    async fn transmit(&mut self, client: &Arc<Client>) -> Result<(), CallError> {
        let from = self.peer.calling_address(&self.options);
        let header = self.peer.header(
            &from,
            client,
            &self.method,
            &self.options,
            map! { "session" => self.session.as_str() },
        );
        let mut body = Map::new();
        let mut args = std::mem::take(&mut self.args);
        if !self.kwargs.is_empty() {
            args.push(Value::Map(std::mem::take(&mut self.kwargs)));
            body.insert("with_kwargs", true);
        }
        if !args.is_empty() {
            body.insert("args", args);
        }
        body.insert("promise", "*");
        body.insert("t", self.options.timeout.as_secs_f64() / 2.0);
        let body = wire::encode(&Value::Map(body));
        client.owed.asked();
        self.peer.transmit(&from, client, header, body, None).await
    }
}

impl Peer {
    /// Prepares a call of `method` (e.g. `services.built-in.ping`) at the client `target`.
    pub fn call(&self, target: &str, method: &str) -> OutgoingCall<'_> {
        OutgoingCall {
            peer: self,
            target: target.to_owned(),
            method: method.to_owned(),
            session: fresh_id(),
            args: Vec::new(),
            kwargs: Map::new(),
            callbacks: HashMap::new(),
            options: CallOptions::default(),
        }
    }

    /// Calls a function that `owner` passed as an argument, without waiting for an answer. It
    /// must come from the address that the owner called. Functions of anybody else are not
    /// called: the server's identity opens doors.
    pub fn notify(
        &self,
        from: &str,
        owner: &Arc<Client>,
        function: &RemoteFunction,
        args: Vec<Value>,
    ) {
        let mut function = function.clone();
        function.resolve_target(&owner.workspace);
        if function.target != *owner.address {
            tracing::debug!(
                target = function.target,
                "a callback of a third party is not called"
            );
            return;
        }
        let header = self.header(
            from,
            owner,
            &function.method,
            &CallOptions::default(),
            Map::new(),
        );
        let body = wire::encode(&Value::Map(map! { "args" => args }));
        let message = Outgoing::Frame { header, body };
        // Progress is worth no wait: a client that does not read loses it.
        if let Err(PushError::Full(_)) = owner.push(message) {
            tracing::debug!(to = %owner.address, "notification not taken, the mailbox is full");
        }
    }

    fn calling_address(&self, options: &CallOptions) -> String {
        options
            .from
            .clone()
            .unwrap_or_else(|| self.manager_address())
    }

    /// The header of a server-made message (protocol 2.2 rule 5).
    fn header(
        &self,
        from: &str,
        to: &Client,
        method: &str,
        options: &CallOptions,
        extra: Map,
    ) -> Bytes {
        let mut header = map! {
            "type" => "method",
            "from" => from,
            "to" => &*to.address,
            "method" => method,
        };
        header.extend(extra);
        header.insert("ws", options.ws.as_deref().unwrap_or(&to.workspace));
        let user = match &options.user {
            Some(user) => wire::encode(&user.to_value()),
            None => self.root_packed.clone(),
        };
        with_packed(&header, "user", &user)
    }

    /// Sends the outcome of a call to its caller. `value` is one encoded value.
    pub(super) async fn send_answer(
        &self,
        from: &str,
        to: &Arc<Client>,
        method: &str,
        session: &str,
        value: &Bytes,
    ) -> Result<(), CallError> {
        let header = self.answer_header(from, to, method, Some(session));
        // {"args": [value]}, with the value spliced in.
        let mut body = BytesMut::with_capacity(value.len() + 8);
        body.extend_from_slice(b"\x81\xa4args\x91");
        body.extend_from_slice(value);
        self.transmit(from, to, header, body.freeze(), Some(session))
            .await
    }

    /// Sends a message that has no arguments or only encoded ones.
    pub(super) async fn send_bare(
        &self,
        from: &str,
        to: &Arc<Client>,
        method: &str,
        session: Option<&str>,
        body: Bytes,
    ) -> Result<(), CallError> {
        let header = self.answer_header(from, to, method, session);
        push(to, Outgoing::Frame { header, body }).await
    }

    fn answer_header(&self, from: &str, to: &Client, method: &str, session: Option<&str>) -> Bytes {
        let mut extra = Map::new();
        if let Some(session) = session {
            extra.insert("parent", session);
        }
        self.header(from, to, method, &CallOptions::default(), extra)
    }

    /// Sends a message whole, or in chunks when the client could not read it whole.
    async fn transmit(
        &self,
        from: &str,
        to: &Arc<Client>,
        header: Bytes,
        body: Bytes,
        answers: Option<&str>,
    ) -> Result<(), CallError> {
        if header.len() + body.len() <= LONG_MESSAGE_BYTES {
            return push(to, Outgoing::Frame { header, body }).await;
        }
        let mut message = BytesMut::with_capacity(header.len() + body.len());
        message.extend_from_slice(&header);
        message.extend_from_slice(&body);
        self.send_chunks(from, to, message.freeze(), answers).await
    }

    /// Boxed because sending chunks is made of calls, which come back here.
    fn send_chunks<'a>(
        &'a self,
        from: &'a str,
        to: &'a Arc<Client>,
        message: Bytes,
        answers: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        self.chunk_calls(from, to, message, answers).boxed()
    }

    async fn chunk_calls(
        &self,
        from: &str,
        to: &Arc<Client>,
        message: Bytes,
        answers: Option<&str>,
    ) -> Result<(), CallError> {
        let key = answers.map_or_else(fresh_id, str::to_owned);
        let heartbeat = answers.is_some();
        let step = |step: &str| {
            self.call(
                &to.address,
                &format!("services.built-in.message_cache.{step}"),
            )
            .options(CallOptions {
                from: Some(from.to_owned()),
                ..CallOptions::default()
            })
            .arg(key.as_str())
        };
        step("create").arg(heartbeat).send().await?;
        let sets: Vec<_> = (0..message.len())
            .step_by(CHUNK_BYTES)
            .enumerate()
            .map(|(index, start)| {
                let end = message.len().min(start + CHUNK_BYTES);
                step("set")
                    .arg(index as i64)
                    .arg(message.slice(start..end))
                    .arg(heartbeat)
                    .send()
                    .boxed()
            })
            .collect();
        let sent = stream::iter(sets)
            .buffer_unordered(CHUNKS_IN_FLIGHT)
            .try_for_each(|_| async { Ok(()) })
            .await;
        if let Err(error) = sent {
            // Best effort: the client may be the reason of the failure.
            let _ = step("remove").send().await;
            return Err(error);
        }
        step("process").arg(heartbeat).send().await?;
        Ok(())
    }
}

async fn push(to: &Arc<Client>, message: Outgoing) -> Result<(), CallError> {
    match to.mailbox.push_within(message, PATIENCE).await {
        Ok(()) => Ok(()),
        Err(PushError::Closed) => Err(CallError::NotConnected(to.address.to_string())),
        Err(PushError::Full(_)) => {
            tracing::warn!(client = %to.address, "cutting a receiver that takes nothing");
            to.cut();
            Err(CallError::NotConnected(to.address.to_string()))
        }
    }
}

/// Encodes `map` with one more entry whose value is encoded already.
fn with_packed(map: &Map, key: &str, value: &[u8]) -> Bytes {
    let mut whole = map.clone();
    whole.insert(key, Value::Nil);
    let mut out = Vec::with_capacity(256 + value.len());
    wire::encode_map_into(&whole, &mut out);
    // The entry was inserted last, so its nil is the last byte.
    out.pop();
    out.extend_from_slice(value);
    Bytes::from(out)
}
