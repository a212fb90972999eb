//! Services over HTTP: the listing, one service, and calls of its functions (http.md 4).

mod arguments;
mod call;
mod reply;

use actix_web::http::header::LOCATION;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value as Json;

use super::{HttpError, caller};
use crate::identity::Level;
use crate::map;
use crate::node::Node;
use crate::peer::{CallContext, ServiceError, invoke, method_of};
use crate::wire::{Map, Value};

/// Service ids that mean the workspace manager.
const MANAGER_NAMES: [&str; 2] = ["ws", "~"];

pub(super) use reply::Generator;

pub fn routes(config: &mut ServiceConfig) {
    let call = web::resource("/{workspace}/services/{service_id}/{function_key}")
        .app_data(web::PayloadConfig::new(call::MAX_BODY))
        .route(web::get().to(call::call))
        .route(web::post().to(call::call));
    config
        .route("/{workspace}/info", web::get().to(workspace_info))
        .route("/{workspace}/services", web::get().to(to_listing))
        .route("/{workspace}/services/", web::get().to(list))
        .route("/{workspace}/services/{service_id}", web::get().to(info))
        .service(call);
}

/// A method of the workspace manager, called for somebody.
async fn manager(
    node: &Node,
    name: &str,
    kwargs: Map,
    context: CallContext,
) -> Result<Value, ServiceError> {
    let missing = || ServiceError::runtime(format!("the manager has no method {name}"));
    let service = node
        .directory
        .peer
        .offered("*", "default")
        .ok_or_else(missing)?;
    let method = method_of(&*service, name).ok_or_else(missing)?;
    invoke(service, method, Vec::new(), kwargs, context).await
}

/// The `_mode` of a request: how one of several matching services is chosen.
pub(super) fn mode_of(request: &HttpRequest) -> Option<String> {
    url::form_urlencoded::parse(request.query_string().as_bytes())
        .find(|(key, value)| key == "_mode" && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

async fn workspace_info(
    request: HttpRequest,
    workspace: Path<String>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let context = caller::in_workspace(&request, &node, &workspace)?;
    if !context.user.allows(&workspace, Level::Read) {
        return Err(HttpError::Forbidden(format!(
            "{} has no permission to access {workspace}",
            context.user.id
        )));
    }
    let info = manager(&node, "get_workspace_info", Map::new(), context).await?;
    Ok(HttpResponse::Ok().json(info.to_json()))
}

async fn to_listing(request: HttpRequest, workspace: Path<String>) -> HttpResponse {
    redirect(&format!("/{workspace}/services/"), request.query_string())
}

/// A redirection to the address with a slash at its end; the query comes along.
pub(super) fn redirect(path: &str, query: &str) -> HttpResponse {
    let location = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    HttpResponse::TemporaryRedirect()
        .insert_header((LOCATION, location))
        .finish()
}

/// The services of a workspace that the caller may see. The query narrows them down by the keys
/// of `list_services` (workspace.md 3.6): `type`, `visibility`, `client_id`, `service_id`,
/// `app_id`.
async fn list(
    request: HttpRequest,
    workspace: Path<String>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let context = caller::in_workspace(&request, &node, &workspace)?;
    if !node.directory.exists(&workspace) {
        return Err(HttpError::NotFound(format!(
            "'Workspace {workspace} does not exist or is not accessible'"
        )));
    }
    let mut kwargs = Map::new();
    let mut query = Map::new();
    for (key, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
        match key.as_ref() {
            "include_unlisted" => {
                kwargs.insert("include_unlisted", matches!(&*value, "true" | "1"));
            }
            // A listing of another workspace has an address of its own.
            "workspace" => {}
            _ => {
                query.insert(key, value.as_ref());
            }
        }
    }
    if !query.is_empty() {
        query.insert("workspace", workspace.as_str());
        kwargs.insert("query", query);
    }
    let services = manager(&node, "list_services", kwargs, context).await?;
    let listed: Vec<Json> = services
        .as_array()
        .unwrap_or_default()
        .iter()
        .map(|service| displayed(service).to_json())
        .map(|mut service| {
            let id = service["id"].as_str().unwrap_or_default();
            let short = id.rsplit('/').next().unwrap_or_default().to_owned();
            service["id"] = Json::from(short);
            service
        })
        .collect();
    Ok(HttpResponse::Ok().json(listed))
}

async fn info(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, service_id) = path.into_inner();
    let context = caller::in_workspace(&request, &node, &workspace)?;
    if MANAGER_NAMES.contains(&service_id.as_str()) {
        let manager = node
            .directory
            .peer
            .offered("*", "default")
            .ok_or_else(|| HttpError::NotFound(format!("{service_id} not found.")))?;
        let mut described = node.directory.peer.describe("*", &*manager);
        // Its names are the same service in every workspace; callers look for the one they used.
        described.insert("id", service_id);
        return Ok(HttpResponse::Ok().json(displayed(&Value::Map(described)).to_json()));
    }
    let options = map! { "mode" => mode_of(&request), "read_app_manifest" => true };
    let kwargs = map! { "service_id" => format!("{workspace}/{service_id}"), "config" => options };
    let mut found = manager(&node, "get_service_info", kwargs, context).await?;
    if let Some(map) = found.as_map_mut() {
        map.remove("_rtype");
    }
    Ok(HttpResponse::Ok().json(displayed(&found).to_json()))
}

/// A value for people: functions become their schema (http.md 4.2).
pub(super) fn displayed(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(displayed).collect()),
        Value::Map(map) if map.get_str("_rtype") == Some("method") => {
            let schema = map.get("_rschema").filter(|schema| !schema.is_nil());
            let function = schema.cloned().unwrap_or_else(|| {
                let name = map.get_str("_rname").or(map.get_str("_rmethod"));
                Value::Map(map! { "name" => name.unwrap_or_default() })
            });
            Value::Map(map! { "type" => "function", "function" => function })
        }
        Value::Map(map) => Value::Map(
            map.iter()
                .map(|(key, value)| (key.to_owned(), displayed(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}
