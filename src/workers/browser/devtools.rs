//! The connection to a Chromium over the DevTools protocol.
//!
//! Commands go out in the order of their calls, and a caller need not wait for the answer of one before it gives the
//! next. A page that is set up costs one round trip to its process, not one for each command.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use chromiumoxide_types::{Command, Error as Refusal, MethodId, MethodType};
use futures::{SinkExt, Stream, StreamExt};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Outcome = Result<Value, DevtoolsError>;
/// Who hears the events of one session, by method.
type Listeners = HashMap<MethodId, Vec<mpsc::UnboundedSender<Value>>>;

/// Why a command has no result.
#[derive(Debug, Error)]
pub(crate) enum DevtoolsError {
    /// Chromium refuses it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The connection, or the target that it was for, is gone.
    #[error("the connection is closed")]
    Closed,
    /// The answer is not what the protocol says.
    #[error("not understood: {0}")]
    Answer(#[from] serde_json::Error),
    /// A page does not go to its address.
    #[error("{0}")]
    Navigation(String),
}

/// A connection, or a session with one target on it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Devtools {
    link: Arc<Link>,
    /// The session; none for the browser itself.
    session: Option<Arc<str>>,
}

struct Link {
    numbers: AtomicU64,
    outgoing: mpsc::UnboundedSender<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    asked: HashMap<u64, Asked>,
    /// By session.
    listeners: HashMap<Option<Arc<str>>, Listeners>,
}

struct Asked {
    session: Option<Arc<str>>,
    answer: oneshot::Sender<Outcome>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Incoming {
    id: Option<u64>,
    method: Option<String>,
    session_id: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
}

/// Events of one kind, until their target is gone.
pub(crate) struct Events<E> {
    incoming: mpsc::UnboundedReceiver<Value>,
    kind: PhantomData<fn() -> E>,
}

impl<E: DeserializeOwned> Stream for Events<E> {
    type Item = Arc<E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arc<E>>> {
        loop {
            match self.incoming.poll_recv(context) {
                Poll::Ready(Some(params)) => match serde_json::from_value(params) {
                    Ok(event) => return Poll::Ready(Some(Arc::new(event))),
                    // A value that this version of the protocol does not know.
                    Err(error) => {
                        tracing::debug!(%error, "an event of Chromium was not understood")
                    }
                },
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Connects to the browser at `address`. The task ends with the connection, and says why.
pub(crate) async fn connect(address: &str) -> Result<(Devtools, JoinHandle<String>), String> {
    // Pictures of large pages and traces are longer than the usual limits.
    let config = WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None);
    let (socket, _) = connect_async_with_config(address, Some(config), true)
        .await
        .map_err(|error| error.to_string())?;
    let (outgoing, queue) = mpsc::unbounded_channel();
    let link = Arc::new(Link {
        numbers: AtomicU64::new(1),
        outgoing,
        state: Mutex::default(),
    });
    let driver = tokio::spawn(drive(socket, queue, Closing(link.clone())));
    Ok((
        Devtools {
            link,
            session: None,
        },
        driver,
    ))
}

impl Devtools {
    /// The session of that id on this connection.
    pub fn with_session(&self, id: &str) -> Self {
        Self {
            link: self.link.clone(),
            session: Some(id.into()),
        }
    }

    /// Gives a command, at once; the future is for its answer only.
    pub fn send<C: Command>(
        &self,
        command: C,
    ) -> impl Future<Output = Result<C::Response, DevtoolsError>> + Send + use<C> {
        let params = serde_json::to_value(&command);
        let answer =
            params.map(|params| self.link.ask(&self.session, &command.identifier(), params));
        async move {
            let result = answer?.await.unwrap_or(Err(DevtoolsError::Closed))?;
            Ok(C::response_from_value(result)?)
        }
    }

    /// All events of one kind from now on.
    pub fn events<E: MethodType + DeserializeOwned>(&self) -> Events<E> {
        let (sender, incoming) = mpsc::unbounded_channel();
        let mut state = self.link.state.lock();
        if !state.closed {
            let known = state.listeners.entry(self.session.clone()).or_default();
            let known = known.entry(E::method_id()).or_default();
            known.retain(|listener| !listener.is_closed());
            known.push(sender);
        }
        Events {
            incoming,
            kind: PhantomData,
        }
    }
}

impl Link {
    fn ask(
        &self,
        session: &Option<Arc<str>>,
        method: &str,
        params: Value,
    ) -> oneshot::Receiver<Outcome> {
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.as_ref().into();
        }
        let (answer, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        // Dropping the sender says that the connection is closed.
        if !state.closed {
            let session = session.clone();
            state.asked.insert(id, Asked { session, answer });
            // Sent under the lock, so that the order on the wire is that of the numbers.
            let _ = self.outgoing.send(message.to_string());
        }
        receiver
    }

    fn hear(&self, text: &str) {
        let incoming: Incoming = match serde_json::from_str(text) {
            Ok(incoming) => incoming,
            Err(error) => return tracing::debug!(%error, "Chromium was not understood"),
        };
        if let Some(asked) = incoming
            .id
            .and_then(|id| self.state.lock().asked.remove(&id))
        {
            let outcome = match incoming.error {
                Some(refusal) => Err(refusal.into()),
                None => Ok(incoming.result),
            };
            // Whoever asked may not wait any more.
            let _ = asked.answer.send(outcome);
            return;
        }
        let Some(method) = incoming.method else {
            return;
        };
        if method == "Target.detachedFromTarget"
            && let Some(session) = incoming.params["sessionId"].as_str()
        {
            self.detached(session);
        }
        let session = incoming.session_id.map(Arc::from);
        let mut state = self.state.lock();
        let listeners = state.listeners.get_mut(&session);
        let Some(listeners) = listeners.and_then(|of| of.get_mut(method.as_str())) else {
            return;
        };
        listeners.retain(|listener| listener.send(incoming.params.clone()).is_ok());
    }

    /// Ends the events of a session and the commands to it.
    fn detached(&self, session: &str) {
        let session = Some(Arc::from(session));
        let mut state = self.state.lock();
        state.listeners.remove(&session);
        state.asked.retain(|_, asked| asked.session != session);
    }
}

/// Ends everything that waits when the connection does, however that ends.
struct Closing(Arc<Link>);

impl Drop for Closing {
    fn drop(&mut self) {
        *self.0.state.lock() = State {
            closed: true,
            ..State::default()
        };
    }
}

async fn drive(
    socket: Socket,
    mut queue: mpsc::UnboundedReceiver<String>,
    closing: Closing,
) -> String {
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => closing.0.hear(&text),
                Some(Ok(Message::Close(_))) | None => return "it closed its connection".to_owned(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return format!("its connection broke: {error}"),
            },
            text = queue.recv() => {
                let Some(text) = text else {
                    return "nobody uses its connection".to_owned();
                };
                // What waits goes out in one piece.
                let mut sent = sink.feed(Message::text(text)).await;
                while let Ok(text) = queue.try_recv() {
                    sent = sent.and(sink.feed(Message::text(text)).await);
                }
                if let Err(error) = sent.and(sink.flush().await) {
                    return format!("its connection broke: {error}");
                }
            }
        }
    }
}
