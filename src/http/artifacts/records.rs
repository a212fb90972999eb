//! Records: one, and lists of them.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value as Json;

use super::query::Query;
use super::{failed, json, manage, named, version};
use crate::http::{HttpError, caller};
use crate::map;
use crate::node::Node;
use crate::peer::ErrorClass;
use crate::wire::{Map, Value};

const MANAGER: &str = "artifact-manager";
/// Most records of one answer.
const MAX_LIMIT: usize = 10_000;

/// The arguments of a list or a search.
fn arguments(query: &Query) -> Result<Map, HttpError> {
    let text = |key| query.text(key).filter(|text| !text.is_empty());
    let mut kwargs = Map::new();
    if let Some(keywords) = text("keywords") {
        let words = keywords.split(',').map(Value::from);
        kwargs.insert("keywords", Value::Array(words.collect()));
    }
    if let Some(filters) = text("filters") {
        match serde_json::from_str(filters) {
            Ok(filters @ Json::Object(_)) => kwargs.insert("filters", Value::from(filters)),
            _ => return Err(HttpError::Invalid("filters must be a JSON object".into())),
        };
    }
    for key in ["mode", "order_by"] {
        if let Some(given) = text(key) {
            kwargs.insert(key, given);
        }
    }
    let limit = query.count("limit", 100, (0, MAX_LIMIT))?;
    let offset = query.count("offset", 0, (0, usize::MAX >> 1))?;
    kwargs.insert("limit", limit as i64);
    kwargs.insert("offset", offset as i64);
    kwargs.insert("pagination", query.flag("pagination")?);
    let stage = match query.text("stage") {
        Some("all") => Value::from("all"),
        Some(text) => Value::from(text.eq_ignore_ascii_case("true")),
        None => Value::from(false),
    };
    kwargs.insert("stage", stage);
    Ok(kwargs)
}

async fn listed(
    request: &HttpRequest,
    node: &Node,
    workspace: &str,
    method: &str,
    parent: Option<&str>,
) -> Result<HttpResponse, HttpError> {
    let context = caller::in_workspace(request, node, workspace)?;
    let query = Query::of(request);
    let mut kwargs = arguments(&query)?;
    if method == "list" {
        kwargs.insert("silent", query.flag("silent")?);
    }
    if let Some(parent) = parent {
        kwargs.insert("parent_id", named(workspace, parent));
    }
    let listed = manage(node, MANAGER, method, kwargs, context).await;
    Ok(json(listed.map_err(|error| {
        failed(error, "Parent artifact not found")
    })?))
}

/// What is in no collection.
pub async fn list(
    request: HttpRequest,
    workspace: Path<String>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    listed(&request, &node, &workspace, "list", None).await
}

/// Everything in a workspace.
pub async fn search(
    request: HttpRequest,
    workspace: Path<String>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    listed(&request, &node, &workspace, "search", None).await
}

/// What is in a collection.
pub async fn children(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, alias) = path.into_inner();
    listed(&request, &node, &workspace, "list", Some(&alias)).await
}

/// One record.
pub async fn info(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, alias) = path.into_inner();
    let query = Query::of(&request);
    let context = caller::in_workspace(&request, &node, &workspace)?;
    let mut kwargs = map! {
        "artifact_id" => named(&workspace, &alias),
        "silent" => query.flag("silent")?,
    };
    if let Some(version) = version(&query)? {
        kwargs.insert("version", version);
    }
    match manage(&node, MANAGER, "read", kwargs, context).await {
        Ok(record) => Ok(json(record)),
        // Nothing else about the request could be wrong.
        Err(error) if error.class == ErrorClass::Value => {
            Err(HttpError::NotFound(error.to_string()))
        }
        Err(error) => Err(failed(error, "Artifact not found")),
    }
}
