//! One WebSocket to a server: the handshake, outgoing calls, and the task that reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::error::ClientError;
use super::inbox::{Inbox, Progress, Running, Work};
use super::offering::Offering;
use super::service::RemoteService;
use crate::map;
use crate::wire::{self, Map, RemoteFunction, Value};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long the server may take to welcome a client.
const WELCOME_WITHIN: Duration = Duration::from_secs(20);

/// Where to, and as whom.
#[derive(Debug, Clone, Default)]
pub struct Connect {
    pub server_url: String,
    pub token: Option<String>,
    pub workspace: Option<String>,
    /// A fresh one when not given.
    pub client_id: Option<String>,
}

/// See the module's text.
pub struct Connection {
    pub workspace: String,
    pub user: String,
    pub client_id: String,
    manager: String,
    sink: Arc<Mutex<SplitSink<Socket, Message>>>,
    inbox: Arc<Inbox>,
    reader: tokio::task::JoinHandle<()>,
}

/// The address of the WebSocket of a server.
fn socket_url(server: &str) -> Result<String, ClientError> {
    let server = server.trim_end_matches('/');
    let socket = if let Some(rest) = server.strip_prefix("http") {
        format!("ws{rest}")
    } else {
        server.to_owned()
    };
    if !(socket.starts_with("ws://") || socket.starts_with("wss://")) {
        return Err(ClientError::Url(server.to_owned()));
    }
    Ok(if socket.ends_with("/ws") {
        socket
    } else {
        format!("{socket}/ws")
    })
}

/// A fresh name that the grammar of ids leaves alone.
pub(super) fn fresh_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl Connection {
    /// Connects and identifies.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn open(connect: &Connect) -> Result<Self, ClientError> {
        let url = socket_url(&connect.server_url)?;
        let (mut socket, _) = connect_async(&url)
            .await
            .map_err(|error| ClientError::Connect {
                url: url.clone(),
                reason: error.to_string(),
            })?;
        let client_id = match &connect.client_id {
            Some(id) => id.clone(),
            None => format!("cli-{}", fresh_id()),
        };
        let hello = json!({
            "client_id": client_id,
            "token": connect.token,
            "workspace": connect.workspace,
        });
        socket
            .send(Message::text(hello.to_string()))
            .await
            .map_err(lost)?;
        let info = tokio::time::timeout(WELCOME_WITHIN, welcome(&mut socket))
            .await
            .map_err(|_| ClientError::Refused("no answer to the greeting".into()))??;
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let (sink, stream) = socket.split();
        let sink = Arc::new(Mutex::new(sink));
        let inbox = Arc::new(Inbox::new());
        let reader = tokio::spawn(read(stream, inbox.clone(), sink.clone()));
        Ok(Connection {
            workspace: text(&info["workspace"]),
            user: text(&info["user"]["id"]),
            client_id,
            manager: format!("*/{}", text(&info["manager_id"])),
            sink,
            inbox,
            reader,
        })
    }

    /// Calls a method of the workspace manager.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn manager(&self, method: &str, args: Vec<Value>) -> Result<Value, ClientError> {
        let function = RemoteFunction {
            target: self.manager.clone(),
            method: format!("services.default.{method}"),
            promise: true,
            name: None,
        };
        self.call(&function, args, Map::new(), HashMap::new()).await
    }

    /// Makes the client known to its workspace, which takes no services from strangers: it
    /// registers the `built-in` one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn join(&self) -> Result<(), ClientError> {
        let built_in = map! {
            "id" => format!("{}/{}:built-in", self.workspace, self.client_id),
            "name" => "built-in",
            "type" => "built-in",
            "config" => map! { "visibility" => "public" },
        };
        self.manager("register_service", vec![built_in.into()])
            .await
            .map(|_| ())
    }

    /// Offers a service to the workspace, after [`Connection::join`].
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn offer(&self, offering: &Offering) -> Result<(), ClientError> {
        let address = format!("{}/{}", self.workspace, self.client_id);
        self.inbox.offerings.lock().add(offering, &address);
        let registration = offering.registration(&address);
        self.manager("register_service", vec![registration.into()])
            .await
            .map(|_| ())
    }

    /// Ends the connection, and with it what is offered.
    pub async fn close(&self) {
        // It may be over already.
        let _ = self.sink.lock().await.send(Message::Close(None)).await;
        self.reader.abort();
    }

    /// A service by its id; starts the app behind `service@app`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn service(&self, id: &str) -> Result<RemoteService<'_>, ClientError> {
        let service = self.manager("get_service", vec![id.into()]).await?;
        match service {
            Value::Map(service) => Ok(RemoteService::new(self, id, service)),
            other => Err(ClientError::Protocol(format!(
                "get_service returned a {}",
                other.type_name()
            ))),
        }
    }

    /// Calls a function and waits for its outcome, however long it takes: the server answers for
    /// the peers it has lost. `callbacks` become keyword arguments.
    pub(super) async fn call(
        &self,
        function: &RemoteFunction,
        mut args: Vec<Value>,
        mut kwargs: Map,
        callbacks: HashMap<String, Progress>,
    ) -> Result<Value, ClientError> {
        let session = fresh_id();
        let own = format!("{}/{}", self.workspace, self.client_id);
        for name in callbacks.keys() {
            let callback = map! {
                "_rtype" => "method",
                "_rtarget" => own.as_str(),
                "_rmethod" => format!("{session}.{name}"),
                "_rpromise" => false,
            };
            kwargs.insert(name.as_str(), callback);
        }
        let mut body = Map::new();
        if !kwargs.is_empty() {
            args.push(kwargs.into());
            body.insert("with_kwargs", true);
        }
        body.insert("args", args);
        body.insert("promise", "*");
        body.insert("t", 10.0);
        let header = map! {
            "type" => "method",
            "to" => function.target.as_str(),
            "method" => function.method.as_str(),
            "session" => session.as_str(),
        };
        let answer = self.inbox.open(&session, callbacks);
        self.send(header, Some(body)).await?;
        let outcome = answer.await;
        self.inbox.close(&session);
        outcome.map_err(|_| ClientError::Lost(self.inbox.end()))?
    }

    async fn send(&self, header: Map, body: Option<Map>) -> Result<(), ClientError> {
        send(&self.sink, header, body).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn lost(error: impl std::fmt::Display) -> ClientError {
    ClientError::Lost(error.to_string())
}

async fn send(
    sink: &Mutex<SplitSink<Socket, Message>>,
    header: Map,
    body: Option<Map>,
) -> Result<(), ClientError> {
    let mut frame = Vec::new();
    wire::encode_map_into(&header, &mut frame);
    if let Some(body) = body {
        wire::encode_map_into(&body, &mut frame);
    }
    let frame = Message::Binary(Bytes::from(frame));
    sink.lock().await.send(frame).await.map_err(lost)
}

/// Waits for `connection_info`, or for the reason of a refusal.
async fn welcome(socket: &mut Socket) -> Result<Json, ClientError> {
    while let Some(message) = socket.next().await {
        match message.map_err(lost)? {
            Message::Text(text) => {
                let info: Json = serde_json::from_str(&text)
                    .map_err(|error| ClientError::Protocol(error.to_string()))?;
                return match info["type"].as_str() {
                    Some("connection_info") => Ok(info),
                    _ => Err(ClientError::Refused(
                        info["message"].as_str().unwrap_or(&text).to_owned(),
                    )),
                };
            }
            Message::Close(reason) => {
                let reason = reason.map(|frame| frame.reason.to_string());
                return Err(ClientError::Refused(reason.unwrap_or_default()));
            }
            _ => {}
        }
    }
    Err(ClientError::Refused("the connection was closed".into()))
}

/// Hands what arrives to the inbox, and sends what it answers.
async fn read(
    mut stream: SplitStream<Socket>,
    inbox: Arc<Inbox>,
    sink: Arc<Mutex<SplitSink<Socket, Message>>>,
) {
    let reason = loop {
        match stream.next().await {
            Some(Ok(Message::Binary(frame))) => {
                let taken = inbox.take(frame);
                for (header, body) in taken.messages {
                    if send(&sink, header, body).await.is_err() {
                        break;
                    }
                }
                for (running, work) in taken.running {
                    tokio::spawn(run(running, work, sink.clone()));
                }
            }
            Some(Ok(Message::Close(reason))) => {
                break reason.map_or_else(String::new, |frame| frame.reason.to_string());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => break error.to_string(),
            None => break "closed by the server".to_owned(),
        }
    };
    inbox.lose(reason);
}

/// Runs a call of an offered function and tells its outcome.
async fn run(running: Running, work: Work, sink: Arc<Mutex<SplitSink<Socket, Message>>>) {
    let beats = async {
        let Some(((header, body), every)) = running.heartbeat() else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(every).await;
            if send(&sink, header.clone(), body.clone()).await.is_err() {
                return;
            }
        }
    };
    let result = tokio::select! {
        result = work => result,
        // Nobody is left to hear of it.
        () = beats => return,
    };
    if let Some((header, body)) = running.answer(result) {
        // A lost connection is the reader's to tell.
        let _ = send(&sink, header, body).await;
    }
}

/// The waiting end of a call.
pub(super) type Answer = oneshot::Receiver<Result<Value, ClientError>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_sockets() {
        for (server, socket) in [
            ("http://a:1", "ws://a:1/ws"),
            ("https://a.b/", "wss://a.b/ws"),
            ("ws://a:1/ws", "ws://a:1/ws"),
        ] {
            assert_eq!(socket_url(server).unwrap(), socket);
        }
        assert!(socket_url("a.b").is_err());
    }
}
