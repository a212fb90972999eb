//! What the server offers to clients: a service is a table of methods and one entry point.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::error::ServiceError;
use super::schema::{Arguments, MethodSpec};
use crate::identity::UserInfo;
use crate::map;
use crate::router::Client;
use crate::wire::{Map, Value};

/// Who calls, from where, and in whose name; written by the server, never by the caller.
#[derive(Clone)]
pub struct CallContext {
    /// Workspace of the caller.
    pub ws: String,
    /// `workspace/client_id` of the caller.
    pub from: String,
    /// The address that was called.
    pub to: String,
    pub user: Arc<UserInfo>,
    /// The caller's connection; none for calls over plain HTTP or made by the server itself.
    pub client: Option<Arc<Client>>,
}

impl CallContext {
    /// A context for work that the server does by itself, e.g. starting a daemon.
    pub fn internal(ws: &str, from: String, user: Arc<UserInfo>) -> Self {
        CallContext {
            ws: ws.to_owned(),
            to: from.clone(),
            from,
            user,
            client: None,
        }
    }
}

/// The result of a method: a value, or the bytes of one that was encoded before.
#[derive(Debug, Clone)]
pub enum Reply {
    Value(Value),
    /// MessagePack of one value, spliced into the answer as it is.
    Packed(Bytes),
}

impl<T: Into<Value>> From<T> for Reply {
    fn from(value: T) -> Self {
        Reply::Value(value.into())
    }
}

pub type MethodFuture = BoxFuture<'static, Result<Reply, ServiceError>>;

/// What a service tells about itself.
pub struct ServiceSpec {
    pub id: &'static str,
    pub name: &'static str,
    pub kind: &'static str,
    pub description: &'static str,
    pub methods: &'static [MethodSpec],
}

/// A service of the server.
pub trait Service: Send + Sync {
    fn spec(&self) -> &ServiceSpec;

    /// The `config` map that clients see; the peer adds workspace and url.
    fn config(&self) -> Map {
        map! { "require_context" => true, "visibility" => "public" }
    }

    /// Runs one method; `arguments` are bound to its parameters already.
    fn call(
        self: Arc<Self>,
        method: &'static MethodSpec,
        arguments: Arguments,
        context: CallContext,
    ) -> MethodFuture;
}
