//! The connection to a Chromium over the DevTools protocol, on chromiumoxide's own.
//!
//! chromiumoxide's handler of pages waits for the answer to each command of a page's set-up before it gives the next.
//! Commands go out in the order of their calls, and a caller need not wait for the answer of one before it gives the
//! next. A page that is set up costs one round trip to its process, not one for each command.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chromiumoxide::cdp::browser_protocol::target::SessionId;
use chromiumoxide::types::{
    CallId, Command, Error as Refusal, EventMessage, Message, Method, MethodId, MethodType,
    Response,
};
use chromiumoxide::{Connection, error::CdpError};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

type Outcome = Result<Value, DevtoolsError>;
/// Who listens in a session, by the method of the event.
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
    orders: mpsc::UnboundedSender<Order>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// By session; none is the browser itself.
    listeners: HashMap<Option<Arc<str>>, Listeners>,
}

/// A command, and who waits for its answer.
struct Order {
    method: MethodId,
    session: Option<Arc<str>>,
    params: Value,
    answer: oneshot::Sender<Outcome>,
}

/// Who waits for the answers to commands that are under way.
type Asked = HashMap<CallId, (Option<Arc<str>>, oneshot::Sender<Outcome>)>;

/// An event of any kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Happened {
    method: String,
    session_id: Option<String>,
    #[serde(default)]
    params: Value,
}

impl Method for Happened {
    fn identifier(&self) -> MethodId {
        self.method.clone().into()
    }
}

impl EventMessage for Happened {
    fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }
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
    let connection = Connection::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    let (orders, queue) = mpsc::unbounded_channel();
    let link = Arc::new(Link {
        orders,
        state: Mutex::default(),
    });
    let driver = tokio::spawn(drive(connection, queue, Closing(link.clone())));
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
        let answer = params.map(|params| self.ask(command.identifier(), params));
        async move {
            let result = answer?.await.unwrap_or(Err(DevtoolsError::Closed))?;
            Ok(C::response_from_value(result)?)
        }
    }

    fn ask(&self, method: MethodId, params: Value) -> oneshot::Receiver<Outcome> {
        let (answer, receiver) = oneshot::channel();
        let session = self.session.clone();
        // Where nobody takes it any more, the answer's sender goes with it, which says that the connection is closed.
        let _ = self.link.orders.send(Order {
            method,
            session,
            params,
            answer,
        });
        receiver
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
    fn happened(&self, event: Happened) {
        let session = event.session_id.map(Arc::from);
        let mut state = self.state.lock();
        let listeners = state.listeners.get_mut(&session);
        let Some(listeners) = listeners.and_then(|of| of.get_mut(event.method.as_str())) else {
            return;
        };
        listeners.retain(|listener| listener.send(event.params.clone()).is_ok());
    }
}

/// The session that an event says is over.
fn detached(event: &Happened) -> Option<Arc<str>> {
    (event.method == "Target.detachedFromTarget")
        .then(|| event.params["sessionId"].as_str().map(Arc::from))
        .flatten()
}

fn answered(asked: &mut Asked, response: Response) {
    let Some((_, answer)) = asked.remove(&response.id) else {
        return;
    };
    let outcome = match response.error {
        Some(refusal) => Err(refusal.into()),
        None => Ok(response.result.unwrap_or_default()),
    };
    // Whoever asked may not wait any more.
    let _ = answer.send(outcome);
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
    mut connection: Connection<Happened>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    closing: Closing,
) -> String {
    let mut asked = Asked::new();
    loop {
        tokio::select! {
            message = connection.next() => match message {
                Some(Ok(Message::Response(response))) => answered(&mut asked, response),
                Some(Ok(Message::Event(event))) => {
                    if let Some(session) = detached(&event) {
                        let session = Some(session);
                        closing.0.state.lock().listeners.remove(&session);
                        asked.retain(|_, (of, _)| *of != session);
                    }
                    closing.0.happened(event);
                }
                None => return "it closed its connection".to_owned(),
                Some(Err(CdpError::InvalidMessage(_, error))) => tracing::debug!(%error, "Chromium was not understood"),
                Some(Err(error)) => return format!("its connection broke: {error}"),
            },
            order = orders.recv() => {
                let Some(Order { method, session, params, answer }) = order else {
                    return "nobody uses its connection".to_owned();
                };
                let to = session.as_deref().map(SessionId::new);
                if let Ok(id) = connection.submit_command(method, to, params) {
                    asked.insert(id, (session, answer));
                }
            }
        }
    }
}
