//! What the server offers to clients: a service is a table of methods and one entry point.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::error::ServiceError;
use super::schema::{Arguments, MethodSpec};
use crate::identity::UserInfo;
use crate::map;
use crate::router::Client;
use crate::wire::{self, Limits, Map, Value};

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

impl Reply {
    /// The value itself, for callers that do not splice bytes.
    ///
    /// # Errors
    /// The bytes are not one value within the limits.
    pub fn into_value(self) -> Result<Value, ServiceError> {
        match self {
            Reply::Value(value) => Ok(value),
            Reply::Packed(bytes) => wire::decode(&bytes, &Limits::default())
                .map_err(|error| ServiceError::runtime(error.to_string())),
        }
    }
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

/// The method of that name in a service's table.
pub fn method_of(service: &dyn Service, name: &str) -> Option<&'static MethodSpec> {
    // The table is static; the borrow of the service is not.
    let methods: &'static [MethodSpec] = service.spec().methods;
    methods.iter().find(|method| method.name == name)
}

/// Binds the arguments, runs the method, and waits for its value.
///
/// # Errors
/// Wrong arguments, or what the method fails with.
pub async fn invoke(
    service: Arc<dyn Service>,
    method: &'static MethodSpec,
    args: Vec<Value>,
    kwargs: Map,
    context: CallContext,
) -> Result<Value, ServiceError> {
    let bound = method.bind(args, kwargs)?;
    service.call(method, bound, context).await?.into_value()
}
