//! What a service offers over MCP, for people and programs that look before they speak.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value as Json, json};

use super::{McpError, base, provider, shared, surface};
use crate::mcp::{Provider, Style, Surface, answer};
use crate::node::Node;
use crate::wire::Value;

/// Handler of `GET /{workspace}/mcp/{service}`.
pub async fn info(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, McpError> {
    let (workspace, service) = path.into_inner();
    let service = service.trim_end_matches('/');
    if service.is_empty() {
        return Ok(shared(&mut HttpResponse::NotFound()).json(no_service(&node, &workspace)));
    }
    let provider = match provider(&request, &workspace, service, &node).await {
        Ok(provider) => provider,
        Err(McpError(StatusCode::NOT_FOUND, error)) => {
            return Ok(shared(&mut HttpResponse::NotFound()).json(json!({
                "error": error,
                "message": format!(
                    "Workspace '{workspace}' has no service '{service}' that you may use."
                ),
                "help": "Check the id under /{workspace}/services/, and send a token as \
                         \"Authorization: Bearer <token>\". An app's service is \
                         <service>@<app>.",
            })));
        }
        Err(error) => return Err(error),
    };
    let surface = surface(&provider).await?;
    let base = base(&node, &workspace, service);
    let list = |method: &'static str, key: &'static str| {
        let (provider, surface) = (&provider, &surface);
        async move {
            let listed = answer(provider, surface, method, &serde_json::Map::new()).await;
            listed.map_or_else(|_| json!([]), |mut result| result[key].take())
        }
    };
    Ok(shared(&mut HttpResponse::Ok()).json(json!({
        "service": about(&provider),
        "endpoints": {
            "streamable_http": format!("{base}/mcp"),
            "sse": format!("{base}/sse"),
        },
        "capabilities": {
            "tools": list("tools/list", "tools").await,
            "resources": list("resources/list", "resources").await,
            "prompts": list("prompts/list", "prompts").await,
        },
        "summary": summary(&provider, &surface),
        "help": "Give the streamable_http address to an MCP client; services that not everybody \
                 may use need a token, as \"Authorization: Bearer <token>\".",
    })))
}

fn no_service(node: &Node, workspace: &str) -> Json {
    json!({
        "error": "MCP service ID required",
        "message": "The address names no service.",
        "help": format!(
            "MCP clients connect to /{{workspace}}/mcp/{{service_id}}/mcp; the services are \
             listed under /{workspace}/services/"
        ),
        "example": format!("{}/mcp", base(node, workspace, "your-service-id")),
    })
}

fn about(provider: &Provider) -> Json {
    let info = provider.record.to_map(false);
    let text = |key: &str| info.get(key).and_then(Value::as_str).unwrap_or_default();
    json!({
        "id": text("id"),
        "name": text("name"),
        "type": text("type"),
        "description": text("description"),
    })
}

fn summary(provider: &Provider, surface: &Surface) -> Json {
    let mut summary = json!({
        "service_id": provider.record.id(),
        "service_type": provider.record.kind,
        "tools_count": surface.tools.len(),
        "resources_count": surface.resources.len(),
        "prompts_count": surface.prompts.len(),
        "is_native_mcp": surface.style == Style::Native,
    });
    if !surface.excluded.is_empty() {
        let excluded = surface.excluded.iter().map(|name| {
            json!({ "name": name, "reason": "It has no schema; decorate it with @schema_function" })
        });
        summary["excluded_functions"] = excluded.collect();
        summary["warnings"] = json!([format!(
            "{} functions without a schema are no tools.",
            surface.excluded.len()
        )]);
    }
    summary
}
