//! Services as web applications under `/{workspace}/apps/{service}/…`: `functions` services
//! answer single requests, `asgi` services speak ASGI (http.md 5).
//!
//! Failures are plain text here: what the caller expects is a web page, not an API.

mod asgi;
mod body;
mod functions;
mod pipe;
mod scope;
pub(super) mod websocket;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::web::{self, Data, Path, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError};

use super::services::{mode_of, redirect};
use super::{HttpError, caller};
use crate::node::Node;
use crate::peer::{CallContext, CallError, CallOptions, ErrorClass, ServiceError};
use crate::workspace::service_id::ServiceId;
use crate::workspace::{LookupOptions, PUBLIC, ServiceRecord};
use websocket::credentials::opens_websocket;

pub fn routes(config: &mut ServiceConfig) {
    config
        .route("/{workspace}/apps/{service_id}", web::to(to_root))
        .route("/{workspace}/apps/{service_id}/{path:.*}", web::to(serve));
}

/// A request to a service, on its way.
struct Visit {
    node: Data<Node>,
    record: Arc<ServiceRecord>,
    context: CallContext,
    /// Workspace and service as the address names them.
    workspace: String,
    service_id: String,
    /// What follows the service, percent-decoded, with a slash in front.
    path: String,
}

impl Visit {
    fn options(&self) -> CallOptions {
        CallOptions {
            from: Some(self.context.from.clone()),
            ws: Some(self.context.ws.clone()),
            user: Some(self.context.user.clone()),
            ..CallOptions::default()
        }
    }
}

/// An error as plain text.
#[derive(Debug)]
struct TextError(HttpError);

impl From<HttpError> for TextError {
    fn from(error: HttpError) -> Self {
        TextError(error)
    }
}

impl std::fmt::Display for TextError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for TextError {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = text(self.status_code().as_u16(), self.to_string());
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            let soon = HeaderValue::from_static("1");
            answer.headers_mut().insert(RETRY_AFTER, soon);
        }
        answer
    }
}

fn text(status: u16, body: String) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status)
        .insert_header((
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ))
        .body(body)
}

/// A failed call of an application. A provider that is gone may be back soon: its app is started
/// again by the next request.
fn failed(error: CallError) -> HttpError {
    match error {
        CallError::NotConnected(_) => {
            HttpError::Unavailable("The application went away; try again".into())
        }
        timeout @ CallError::Timeout { .. } => HttpError::Remote(timeout),
        other => HttpError::Application(format!("RemoteException: {}", other.described())),
    }
}

/// A failed lookup. What starts too slowly for this request may be there for the next.
fn not_there(error: ServiceError) -> HttpError {
    match error.class {
        ErrorClass::Timeout => HttpError::Unavailable(error.to_string()),
        _ => error.into(),
    }
}

/// Paths never lead out of an application, whatever it does with them.
fn leaves(path: &str) -> bool {
    path.split(['/', '\\']).any(|step| step == "..") || path.contains('\0')
}

fn is_login(workspace: &str, service_id: &str) -> bool {
    workspace == PUBLIC && service_id == "hypha-login"
}

async fn to_root(request: HttpRequest, path: Path<(String, String)>) -> HttpResponse {
    let (workspace, service_id) = path.into_inner();
    redirect(
        &format!("/{workspace}/apps/{service_id}/"),
        request.query_string(),
    )
}

/// The service that an address names. When nobody offers it, and exactly one installed app would,
/// that app is started (server-apps.md 3.6).
pub(super) async fn find(
    node: &Node,
    workspace: &str,
    service_id: &str,
    options: &LookupOptions,
    context: &CallContext,
) -> Result<Arc<ServiceRecord>, ServiceError> {
    let directory = &node.directory;
    // A whole id may name another workspace.
    let name = match service_id.contains('/') {
        true => service_id.to_owned(),
        false => format!("{workspace}/{service_id}"),
    };
    let missing = match directory.resolve(&name, options, context).await {
        Err(error) if error.class == ErrorClass::Key => error,
        found => return found,
    };
    let Some(apps) = directory
        .apps()
        .filter(|_| !service_id.contains(['@', ':']))
    else {
        return Err(missing);
    };
    let offers = apps.app_services(workspace).await;
    let mut candidates = offers.iter().filter_map(|service| {
        let id = ServiceId::parse(service.get_str("id")?, workspace).ok()?;
        (id.service == service_id).then_some(id.app?)
    });
    match (candidates.next(), candidates.next()) {
        (Some(app), None) => {
            let name = format!("{name}@{app}");
            directory.resolve(&name, options, context).await
        }
        _ => Err(missing),
    }
}

async fn serve(
    request: HttpRequest,
    path: Path<(String, String, String)>,
    payload: Payload,
    node: Data<Node>,
) -> Result<HttpResponse, TextError> {
    let (workspace, service_id, path) = path.into_inner();
    if leaves(&path) {
        return Err(HttpError::NotFound("The path leaves the application".into()).into());
    }
    let context = match caller::in_workspace(&request, &node, &workspace) {
        // A browser that holds a dead token must be able to get a new one.
        Err(HttpError::Unauthorized(_)) if is_login(&workspace, &service_id) => {
            caller::nobody_in(&node, &workspace)
        }
        known => known?,
    };
    if !node.directory.exists(&workspace) {
        return Err(HttpError::NotFound(format!(
            "Workspace {workspace} does not exist or is not accessible"
        ))
        .into());
    }
    let options = LookupOptions {
        mode: mode_of(&request),
        ..LookupOptions::default()
    };
    let record = find(&node, &workspace, &service_id, &options, &context)
        .await
        .map_err(not_there)?;
    let visit = Visit {
        node,
        record,
        context,
        workspace,
        service_id,
        path: format!("/{path}"),
    };
    match visit.record.kind.as_str() {
        "functions" if opens_websocket(&request) => Err(HttpError::Invalid(
            "Services of type functions have no WebSockets, only those of type asgi".into(),
        )
        .into()),
        "asgi" | "ASGI" if opens_websocket(&request) => {
            websocket::serve(&request, payload, visit).await
        }
        "functions" => functions::serve(&request, payload, visit).await,
        "asgi" | "ASGI" => asgi::serve(&request, payload, visit).await,
        other => Err(HttpError::Invalid(format!(
            "Invalid service type: {other}. Only services of type functions or asgi have web \
             pages; others are called under /{}/services/{}/<function>",
            visit.workspace, visit.service_id
        ))
        .into()),
    }
}
