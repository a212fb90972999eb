//! Services as MCP servers (http.md 10): `/{workspace}/mcp/{service}/mcp` speaks the streamable
//! HTTP transport, `…/sse` the older one with an event stream, and `/{workspace}/mcp/{service}`
//! tells people and programs what is there.

mod info;
mod sse;

use std::sync::Arc;

use actix_web::http::header::{ALLOW, CONTENT_TYPE, LOCATION};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError};
use bytes::Bytes;
use serde_json::{Value as Json, json};

pub use sse::Streams;

use super::proxy;
use super::services::mode_of;
use super::{HttpError, caller};
use crate::config::Server as ServerConfig;
use crate::mcp::{Failure, Incoming, PROTOCOL_VERSIONS, Provider, Surface, answer, parse};
use crate::node::Node;
use crate::workspace::LookupOptions;

/// Longest message, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Header in which clients name the version that they have agreed on.
const VERSION: &str = "mcp-protocol-version";

/// The routes, when MCP is switched on.
pub fn routes(config: &mut ServiceConfig, server: &ServerConfig) {
    if !server.enable_mcp {
        return;
    }
    let open = || web::method(Method::OPTIONS).to(preflight);
    let resource = |path: &str| {
        web::resource(path)
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .route(open())
    };
    config
        .route("/{workspace}/mcp", web::get().to(to_help))
        .service(
            resource("/{workspace}/mcp/{service:.+}/sse/messages/")
                .route(web::post().to(sse::message)),
        )
        .service(resource("/{workspace}/mcp/{service:.+}/sse").route(web::get().to(sse::open)))
        .service(
            resource("/{workspace}/mcp/{service:.+}/mcp")
                .route(web::post().to(message))
                .default_service(web::to(only_post)),
        )
        .service(resource("/{workspace}/mcp/{service:.*}").route(web::get().to(info::info)));
}

async fn to_help(workspace: Path<String>) -> HttpResponse {
    HttpResponse::MovedPermanently()
        .insert_header((LOCATION, format!("/{workspace}/mcp/")))
        .finish()
}

/// There are no streams from the server, and no sessions to end.
async fn only_post() -> HttpResponse {
    let mut response = HttpResponse::MethodNotAllowed();
    response.insert_header((ALLOW, "POST"));
    shared(&mut response).json(json!({ "error": "Only POST is answered here" }))
}

async fn preflight() -> HttpResponse {
    shared(&mut HttpResponse::NoContent()).finish()
}

/// Pages from anywhere may speak MCP, with a token of their own: cookies do not come along.
fn shared(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .insert_header(("access-control-allow-origin", "*"))
        .insert_header(("access-control-allow-methods", "GET, POST, OPTIONS"))
        .insert_header((
            "access-control-allow-headers",
            "Accept, Authorization, Content-Type, Last-Event-ID, Mcp-Protocol-Version, \
             Mcp-Session-Id",
        ))
}

/// A failure before the protocol begins.
#[derive(Debug)]
struct McpError(StatusCode, String);

impl From<HttpError> for McpError {
    fn from(error: HttpError) -> Self {
        McpError(error.status_code(), error.to_string())
    }
}

impl std::fmt::Display for McpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl ResponseError for McpError {
    fn status_code(&self) -> StatusCode {
        self.0
    }

    fn error_response(&self) -> HttpResponse {
        shared(&mut HttpResponse::build(self.0)).json(json!({ "error": self.1 }))
    }
}

/// The service that an address names, for the caller. An app that offers it is started.
///
/// # Errors
/// 401 for a bad token; 404 for what is not there or not for the caller.
async fn provider(
    request: &HttpRequest,
    workspace: &str,
    service: &str,
    node: &Data<Node>,
) -> Result<Provider, McpError> {
    let context = caller::calling(request, node, workspace)?;
    let options = LookupOptions {
        mode: mode_of(request),
        ..LookupOptions::default()
    };
    let found = proxy::find(node, workspace, service, &options, &context).await;
    let record = found.map_err(HttpError::from).map_err(|error| {
        let error = McpError::from(error);
        match error.0 {
            // Who may not use a service does not learn that it is there.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => McpError(
                StatusCode::NOT_FOUND,
                format!("Service {service} not found or not accessible"),
            ),
            _ => error,
        }
    })?;
    Ok(Provider {
        directory: node.directory.clone(),
        record,
        context,
        detailed: node.config.server.expose_detailed_errors,
    })
}

/// What a service offers; one that is not what it claims is a failure of the server that it is.
async fn surface(provider: &Provider) -> Result<Surface, McpError> {
    let described = provider.surface().await.map_err(HttpError::from)?;
    described.map_err(|error| {
        McpError(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Internal Server Error: {error}"),
        )
    })
}

/// The answer to one message; none for those that want none.
async fn reply(provider: &Provider, body: &[u8]) -> Result<Option<(bool, Json)>, McpError> {
    match parse(body) {
        Err(failure) => Ok(Some((false, failure.to_json(None)))),
        Ok(Incoming::Silent) => Ok(None),
        Ok(Incoming::Request { id, method, params }) => {
            let surface = surface(provider).await?;
            let answered = answer(provider, &surface, &method, &params).await;
            Ok(Some((true, as_message(&id, answered))))
        }
    }
}

fn as_message(id: &Json, answered: Result<Json, Failure>) -> Json {
    match answered {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(failure) => failure.to_json(Some(id)),
    }
}

/// One message over streamable HTTP.
async fn message(
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Bytes,
    node: Data<Node>,
) -> Result<HttpResponse, McpError> {
    let (workspace, service) = path.into_inner();
    check(&request)?;
    let provider = provider(&request, &workspace, &service, &node).await?;
    Ok(match reply(&provider, &body).await? {
        None => shared(&mut HttpResponse::Accepted()).finish(),
        Some((true, answer)) => shared(&mut HttpResponse::Ok()).json(answer),
        Some((false, answer)) => shared(&mut HttpResponse::BadRequest()).json(answer),
    })
}

/// Refuses what no client of MCP sends. The type of the content keeps forms of other sites out.
fn check(request: &HttpRequest) -> Result<(), McpError> {
    let given = |name: &str| request.headers().get(name)?.to_str().ok();
    let kind = given(CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(McpError(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Unsupported Media Type: Content-Type must be application/json".into(),
        ));
    }
    match given(VERSION) {
        Some(version) if !PROTOCOL_VERSIONS.contains(&version) => Err(McpError(
            StatusCode::BAD_REQUEST,
            format!("Bad Request: unsupported protocol version {version}"),
        )),
        _ => Ok(()),
    }
}

/// Path of a service's MCP routes, for answers that name them.
fn base(node: &Node, workspace: &str, service: &str) -> String {
    format!("{}/{workspace}/mcp/{service}", node.config.server.prefix())
}

/// Shared by all connections.
pub fn streams() -> Arc<Streams> {
    Arc::new(Streams::default())
}
