//! Streams of the server's own methods: the caller gets a generator and asks for one item after
//! the other (protocol 4.6, the form the client libraries give to their own generators).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::error::ServiceError;
use super::pending::{AnsweringCallback, SessionFunction};
use super::{Peer, fresh_id};
use crate::map;
use crate::router::Client;
use crate::supervision::spawn_detached;
use crate::wire::Value;

/// A generator nobody asks for this long is closed.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Generators that one client may have open.
const MOST_OPEN: usize = 100;

/// What a generator yields.
pub type Items = BoxStream<'static, Result<Value, ServiceError>>;

struct Shared {
    items: Mutex<Option<Items>>,
    /// Somebody asked for an item.
    used: Notify,
    /// It ended, or was closed.
    over: Notify,
    /// Set when it is closed: an item that is still waited for does not come.
    closed: CancellationToken,
}

impl Shared {
    async fn next(&self) -> Result<Value, ServiceError> {
        self.used.notify_one();
        let mut items = self.items.lock().await;
        let item = match items.as_mut() {
            Some(stream) => tokio::select! {
                item = stream.next() => item,
                () = self.closed.cancelled() => None,
            },
            None => None,
        };
        match item {
            Some(Ok(value)) => Ok(value),
            ended => {
                *items = None;
                self.over.notify_one();
                match ended {
                    Some(Err(error)) => Err(error),
                    _ => Ok(Value::Map(map! { "_rtype" => "stop_iteration" })),
                }
            }
        }
    }

    /// Whether an item is being waited for.
    fn is_busy(&self) -> bool {
        self.items.try_lock().is_err()
    }
}

impl Peer {
    /// Hands a stream to a caller; the value is what the method returns. It closes when it ends,
    /// when the caller closes it or leaves, and when it was forgotten.
    ///
    /// # Errors
    /// The caller has too many open.
    pub fn generator(
        self: &Arc<Self>,
        from: &str,
        client: &Arc<Client>,
        items: Items,
    ) -> Result<Value, ServiceError> {
        if self.calls.lent_to(&client.address) >= MOST_OPEN {
            return Err(ServiceError::runtime(format!(
                "{MOST_OPEN} generators are open already"
            )));
        }
        let session = fresh_id();
        let shared = Arc::new(Shared {
            items: Mutex::new(Some(items)),
            used: Notify::new(),
            over: Notify::new(),
            closed: CancellationToken::new(),
        });
        let generator = Value::Map(map! {
            "_rtype" => "generator",
            "_rserver" => self.public_base_url(),
            "_rtarget" => from,
            "_rmethod" => format!("{session}.next"),
            "_rclose_method" => format!("{session}.close"),
            "_rpromise" => "*",
            "_rdoc" => "Remote generator",
        });
        let target = client.address.to_string();
        let mut open = keep_open(self.clone(), session, target, shared).boxed();
        // The first step registers the functions; the caller may ask as soon as it has the answer.
        if (&mut open).now_or_never().is_none() {
            spawn_detached("generator", open);
        }
        Ok(generator)
    }
}

async fn keep_open(peer: Arc<Peer>, session: String, target: String, shared: Arc<Shared>) {
    let next: AnsweringCallback = {
        let shared = shared.clone();
        Arc::new(move |_| {
            let shared = shared.clone();
            async move { shared.next().await }.boxed()
        })
    };
    let close: AnsweringCallback = {
        let shared = shared.clone();
        Arc::new(move |_| {
            shared.over.notify_one();
            async { Ok(Value::Bool(true)) }.boxed()
        })
    };
    let functions = HashMap::from([
        ("next".to_owned(), SessionFunction::Answer(next)),
        ("close".to_owned(), SessionFunction::Answer(close)),
    ]);
    let _closing = shared.closed.clone().drop_guard();
    let mut waiter = peer.calls.open(session, &target, functions);
    loop {
        tokio::select! {
            biased;
            // The client left.
            _ = &mut waiter.answer => return,
            () = shared.over.notified() => return,
            () = shared.used.notified() => {}
            () = tokio::time::sleep(FORGOTTEN_AFTER) => {
                if !shared.is_busy() {
                    return;
                }
            }
        }
    }
}
