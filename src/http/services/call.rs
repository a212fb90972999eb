//! Calling a function of a service over HTTP (http.md 4.3).

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::super::reading::Patience;
use super::super::{HttpError, caller};
use super::arguments::{CallArguments, Format, from_body, from_query};
use super::reply::{self, Generator};
use super::{MANAGER_NAMES, displayed, mode_of};
use crate::gateway::SocketHandle;
use crate::node::Node;
use crate::peer::{CallContext, CallError, CallOptions, Service, invoke, method_of};
use crate::wire::{Map, Value};
use crate::workspace::{LookupOptions, ServiceRecord};

/// Longest body of a call, in bytes.
pub const MAX_BODY: usize = 100 * 1024 * 1024;

/// Handler of `GET` and `POST /{workspace}/services/{service_id}/{function_key}`.
pub async fn call(
    request: HttpRequest,
    path: Path<(String, String, String)>,
    body: Bytes,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, service_id, key) = path.into_inner();
    let format = Format::of(&request)?;
    let arguments = |schema: Option<&Map>| {
        if request.method() == Method::GET {
            from_query(request.query_string(), schema)
        } else {
            from_body(&body, format, schema)
        }
    };
    let context = caller::calling(&request, &node, &workspace)?;
    let directory = &node.directory;
    if MANAGER_NAMES.contains(&service_id.as_str()) {
        let manager = directory
            .peer
            .offered("*", "default")
            .ok_or_else(|| not_found(&key))?;
        return own(&node, "*", manager, &key, arguments, context, format).await;
    }
    let options = LookupOptions {
        mode: mode_of(&request),
        ..LookupOptions::default()
    };
    let name = format!("{workspace}/{service_id}");
    let record = directory.resolve(&name, &options, &context).await?;
    if directory.router.is_local_address(&record.address()) {
        let service = directory
            .peer
            .offered(&record.workspace, &record.name)
            .ok_or_else(|| not_found(&key))?;
        let workspace = record.workspace.clone();
        return own(&node, &workspace, service, &key, arguments, context, format).await;
    }
    let steps: Vec<&str> = key.split('.').collect();
    if record.function(&steps).is_some() {
        // Its schema does not help with the arguments: clients call parameters without a type
        // strings.
        let arguments = arguments(None)?;
        return remote(&request, &node, &record, &key, arguments, &context, format).await;
    }
    // Not a function by its registration: ask the provider what it is.
    let service = directory.fetch(&record, &options).await?;
    match find(&Value::Map(service), &steps) {
        None => Err(not_found(&key)),
        Some(value) if is_function(value) => {
            let arguments = arguments(None)?;
            remote(&request, &node, &record, &key, arguments, &context, format).await
        }
        Some(value) => Ok(reply::whole(displayed(value), format)),
    }
}

fn not_found(key: &str) -> HttpError {
    HttpError::NotFound(format!("{key} not found."))
}

fn find<'a>(service: &'a Value, steps: &[&str]) -> Option<&'a Value> {
    let found = steps.iter().try_fold(service, |at, step| at.get(step))?;
    (!found.is_nil()).then_some(found)
}

fn is_function(value: &Value) -> bool {
    value.get("_rtype").and_then(Value::as_str) == Some("method")
}

/// Calls a service of the server itself.
async fn own(
    node: &Node,
    workspace: &str,
    service: Arc<dyn Service>,
    key: &str,
    arguments: impl FnOnce(Option<&Map>) -> Result<CallArguments, HttpError>,
    context: CallContext,
    format: Format,
) -> Result<HttpResponse, HttpError> {
    let Some(method) = method_of(&*service, key) else {
        let described = Value::Map(node.directory.peer.describe(workspace, &*service));
        let steps: Vec<&str> = key.split('.').collect();
        let value = find(&described, &steps).ok_or_else(|| not_found(key))?;
        return Ok(reply::whole(displayed(value), format));
    };
    let schema = method.schema();
    let CallArguments { args, kwargs } = arguments(schema.as_map())?;
    let value = invoke(service, method, args, kwargs, context).await?;
    Ok(reply::whole(value, format))
}

/// Calls a service of a client.
async fn remote(
    request: &HttpRequest,
    node: &Node,
    record: &ServiceRecord,
    key: &str,
    arguments: CallArguments,
    context: &CallContext,
    format: Format,
) -> Result<HttpResponse, HttpError> {
    let peer = &node.directory.peer;
    let address = record.address();
    let detailed = node.config.server.expose_detailed_errors;
    let options = CallOptions {
        from: Some(context.from.clone()),
        ws: Some(context.ws.clone()),
        user: Some(context.user.clone()),
        ..CallOptions::default()
    };
    let mut call = peer
        .call(&address, &format!("services.{}.{key}", record.name))
        .options(options.clone())
        .counted();
    for arg in arguments.args {
        call = call.arg(arg);
    }
    for (name, value) in arguments.kwargs {
        call = call.kwarg(&name, value);
    }
    let value = call
        .send_to_living()
        .await
        .map_err(|error| failed(error, key, detailed))?;
    match Generator::from_result(&value, &address, peer, &options, detailed) {
        Some(generator) => {
            let watch = request
                .conn_data::<SocketHandle>()
                .and_then(|socket| socket.hang_up());
            let patience = Patience::with(request, node);
            Ok(reply::streamed(generator, format, watch, patience))
        }
        None => Ok(reply::whole(value, format)),
    }
}

/// A provider that does not have the function says so in its own words.
fn failed(error: CallError, key: &str, detailed: bool) -> HttpError {
    if let CallError::Remote(remote) = &error
        && remote.text.contains("Method not found")
    {
        return not_found(key);
    }
    match detailed {
        true => HttpError::RemoteInFull(error),
        false => HttpError::Remote(error),
    }
}
