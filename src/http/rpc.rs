//! `/rpc`: the doors of the transport over HTTP (protocol 6), and calls by clients without a
//! stream.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Payload, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{HttpError, caller};
use crate::gateway::stream::{self, NotOpened, Uplink, UploadError};
use crate::gateway::{Gateway, Hello, RefusalKind};
use crate::identity::Level;
use crate::node::Node;
use crate::peer::{self, CallContext, CallOptions, Service, method_of};
use crate::wire::{self, Limits, Map, Value};
use crate::workspace::{LookupOptions, PUBLIC};

pub fn routes(config: &mut ServiceConfig) {
    config.service(
        web::resource("/rpc")
            .route(web::get().to(open))
            .route(web::post().to(post)),
    );
}

#[derive(Deserialize)]
struct RpcQuery {
    client_id: Option<String>,
    workspace: Option<String>,
    reconnection_token: Option<String>,
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A client opens its stream. Without a client id it gets a new one.
async fn open(
    request: HttpRequest,
    query: Query<RpcQuery>,
    gateway: Data<Gateway>,
) -> HttpResponse {
    let query = query.into_inner();
    let fresh = || uuid::Uuid::new_v4().simple().to_string();
    let hello = Hello {
        client_id: Some(filled(query.client_id).unwrap_or_else(fresh)),
        workspace: filled(query.workspace),
        token: caller::token(&request),
        reconnection_token: filled(query.reconnection_token),
        ..Hello::default()
    };
    match stream::open(&gateway.into_inner(), &request, hello).await {
        Ok(response) => response,
        Err(error) => not_opened(&error),
    }
}

fn not_opened(error: &NotOpened) -> HttpResponse {
    let detail = error.to_string();
    let refusal = match error {
        NotOpened::Busy => {
            return HttpResponse::ServiceUnavailable()
                .insert_header(("Retry-After", "1"))
                .json(json!({ "success": false, "detail": detail }));
        }
        NotOpened::Refused(refusal) => refusal,
    };
    tracing::info!(reason = refusal.reason, "stream refused");
    let (status, detail) = match refusal.kind {
        RefusalKind::Token => (StatusCode::UNAUTHORIZED, detail),
        RefusalKind::ReconnectionToken => (
            StatusCode::UNAUTHORIZED,
            format!("Invalid reconnection token: {detail}"),
        ),
        RefusalKind::Denied => (StatusCode::FORBIDDEN, detail),
        RefusalKind::NotFound => (StatusCode::NOT_FOUND, detail),
        RefusalKind::InUse => (StatusCode::CONFLICT, detail),
        RefusalKind::Limit => (StatusCode::TOO_MANY_REQUESTS, detail),
        RefusalKind::Invalid => (StatusCode::BAD_REQUEST, detail),
    };
    HttpResponse::build(status).json(json!({ "success": false, "detail": detail }))
}

/// A client sends a message; with an open stream it is routed, else it must be a whole call.
async fn post(
    request: HttpRequest,
    query: Query<RpcQuery>,
    payload: Payload,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let query = query.into_inner();
    let limit = node.gateway.limits.max_frame_bytes;
    let Some(client_id) = filled(query.client_id) else {
        // Read first: an answer to a request that is still being sent may get lost.
        let _ = stream::read_body(payload, limit).await;
        return Err(HttpError::Invalid("client_id is required".into()));
    };
    let named = filled(query.workspace).filter(|ws| ws != PUBLIC);
    let workspace = match named.map_or_else(|| caller::workspace(&request, &node), Ok) {
        Ok(workspace) => workspace,
        Err(error) => {
            let _ = stream::read_body(payload, limit).await;
            return Err(error);
        }
    };
    let address = format!("{workspace}/{client_id}");
    let Some(uplink) = node.gateway.streams.find(&address) else {
        let body = stream::read_body(payload, limit).await;
        return stateless(&request, &node, &workspace, body).await;
    };
    if let Err(error) = may_send(&request, &node, &uplink) {
        let _ = stream::read_body(payload, limit).await;
        return Err(error);
    }
    stream::receive(&node.gateway, &uplink, &request, payload)
        .await
        .map_err(not_taken)?;
    Ok(HttpResponse::Ok().finish())
}

/// Only who opened a stream may speak for its client: known by the same token, or by another one
/// of the same user with at least the same rights.
fn may_send(request: &HttpRequest, node: &Node, uplink: &Uplink) -> Result<(), HttpError> {
    let token = caller::token(request);
    if uplink.has_token(token.as_deref()) {
        return Ok(());
    }
    let client = &uplink.client;
    let user = caller::in_workspace(request, node, &client.workspace)?.user;
    let fits = user.check_client(&client.id).is_ok();
    if fits && user.id == client.user.id && user.allows(&client.workspace, client.level) {
        return Ok(());
    }
    Err(denied(&client.workspace))
}

fn denied(workspace: &str) -> HttpError {
    HttpError::Forbidden(format!("Permission denied for workspace {workspace}"))
}

fn not_taken(error: UploadError) -> HttpError {
    match error {
        UploadError::TooLarge(_) => HttpError::TooLarge(error.to_string()),
        // Clients send again after a 400.
        other => HttpError::Invalid(other.to_string()),
    }
}

/// A call in one request, answered in its response.
struct StatelessCall {
    service: String,
    method: String,
    args: Vec<Value>,
    kwargs: Map,
}

async fn stateless(
    request: &HttpRequest,
    node: &Node,
    workspace: &str,
    body: Result<Bytes, UploadError>,
) -> Result<HttpResponse, HttpError> {
    let context = caller::in_workspace(request, node, workspace)?;
    let user = &context.user;
    let own = user.is_anonymous && workspace == user.personal_workspace();
    let allowed = own || user.allows(workspace, Level::ReadWrite);
    // Without a token nothing tells a stranger from a client whose stream just broke; the latter
    // sends no call of this form, and is to send again.
    if !allowed && !user.is_anonymous {
        return Err(denied(workspace));
    }
    let call = parse_call(&body.map_err(not_taken)?, workspace)?;
    if !allowed {
        return Err(denied(workspace));
    }
    let result = invoke(node, call, &context).await?;
    Ok(HttpResponse::Ok().json(json!({ "success": true, "result": result.to_json() })))
}

fn parse_call(body: &Bytes, workspace: &str) -> Result<StatelessCall, HttpError> {
    let invalid = |text: &str| HttpError::Invalid(text.to_owned());
    let (message, _) = wire::decode_prefix(body, &Limits::default())
        .map_err(|error| HttpError::Invalid(format!("Invalid request body: {error}")))?;
    let Value::Map(mut message) = message else {
        return Err(invalid("Invalid request body: not a map"));
    };
    if message.get_str("type") != Some("method") {
        return Err(invalid("Stateless calls require type='method'"));
    }
    let target = message.get_str("to").unwrap_or_default();
    if target.split(':').count() != 2 {
        return Err(invalid(
            "Invalid target format, expected 'client_id:service_id'",
        ));
    }
    let service = match target.contains('/') {
        true => target.to_owned(),
        false => format!("{workspace}/{target}"),
    };
    let method = message.get_str("method").unwrap_or_default().to_owned();
    let args = match message.remove("args") {
        Some(Value::Array(args)) => args,
        None | Some(Value::Nil) => Vec::new(),
        Some(_) => return Err(invalid("`args` must be a list")),
    };
    let kwargs = match message.remove("kwargs") {
        Some(Value::Map(kwargs)) => kwargs,
        None | Some(Value::Nil) => Map::new(),
        Some(_) => return Err(invalid("`kwargs` must be a map")),
    };
    Ok(StatelessCall {
        service,
        method,
        args,
        kwargs,
    })
}

async fn invoke(
    node: &Node,
    call: StatelessCall,
    context: &CallContext,
) -> Result<Value, HttpError> {
    let directory = &node.directory;
    let missing = || HttpError::NotFound(format!("Method '{}' not found", call.method));
    let options = LookupOptions::default();
    let record = directory.resolve(&call.service, &options, context).await?;
    if directory.router.is_local_address(&record.address()) {
        let service = directory
            .peer
            .offered(&record.workspace, &record.name)
            .ok_or_else(missing)?;
        return own(service, call, context.clone()).await;
    }
    let fetched = Value::Map(directory.fetch(&record, &options).await?);
    let found = call
        .method
        .split('.')
        .try_fold(&fetched, |at, step| at.get(step));
    let is_function = found
        .and_then(|value| value.get("_rtype"))
        .and_then(Value::as_str)
        == Some("method");
    if !is_function {
        return Err(missing());
    }
    let function = format!("services.{}.{}", record.name, call.method);
    let address = record.address();
    let mut outgoing = directory
        .peer
        .call(&address, &function)
        .options(CallOptions {
            from: Some(context.from.clone()),
            ws: Some(context.ws.clone()),
            user: Some(context.user.clone()),
            ..CallOptions::default()
        })
        .counted();
    for arg in call.args {
        outgoing = outgoing.arg(arg);
    }
    for (name, value) in call.kwargs {
        outgoing = outgoing.kwarg(&name, value);
    }
    Ok(outgoing.send_to_living().await?)
}

/// Calls a service of the server itself.
async fn own(
    service: Arc<dyn Service>,
    call: StatelessCall,
    context: CallContext,
) -> Result<Value, HttpError> {
    let method = method_of(&*service, &call.method)
        .ok_or_else(|| HttpError::NotFound(format!("Method '{}' not found", call.method)))?;
    Ok(peer::invoke(service, method, call.args, call.kwargs, context).await?)
}
