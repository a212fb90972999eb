//! Uploads in parts, of files of artifacts and of workspaces.

use actix_web::web::{Data, Json as Body, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::query::Query;
use super::{failed, json, manage, named};
use crate::artifacts::transfer::MAX_EXPIRY_S;
use crate::http::{HttpError, caller};
use crate::map;
use crate::node::Node;
use crate::wire::{Map, Value};

const MANAGER: &str = "artifact-manager";
const STORAGE: &str = "s3-storage";

/// The parts of an upload as the client sends them at its end.
#[derive(Deserialize)]
pub struct Completion {
    upload_id: String,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    part_number: u32,
    etag: String,
}

impl Completion {
    fn arguments(&self) -> Map {
        let part = |part: &Part| {
            let number = i64::from(part.part_number);
            Value::from(map! { "part_number" => number, "etag" => part.etag.as_str() })
        };
        let parts: Vec<Value> = self.parts.iter().map(part).collect();
        map! { "upload_id" => self.upload_id.as_str(), "parts" => Value::Array(parts) }
    }
}

/// What both kinds of uploads begin with.
fn beginning(query: &Query) -> Result<Map, HttpError> {
    let path = query.text("path").filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| HttpError::Invalid("path is needed".to_owned()))?;
    let parts = query.count("part_count", 0, (1, 10_000))?;
    if parts == 0 {
        return Err(HttpError::Invalid("part_count is needed".to_owned()));
    }
    Ok(map! {
        "file_path" => path,
        "part_count" => parts as i64,
        "expires_in" => query.number("expires_in", 3600.0, (1.0, MAX_EXPIRY_S))?,
    })
}

/// Begins an upload to an artifact; an address for each part.
pub async fn begin(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, alias) = path.into_inner();
    let query = Query::of(&request);
    let mut kwargs = beginning(&query)?;
    kwargs.insert("artifact_id", named(&workspace, &alias));
    let weight = query.number("download_weight", 0.0, (0.0, f64::MAX))?;
    kwargs.insert("download_weight", weight);
    if let Some(use_proxy) = query.opt_flag("use_proxy")? {
        kwargs.insert("use_proxy", use_proxy);
    }
    if let Some(base) = query.text("use_local_url") {
        kwargs.insert("use_local_url", base);
    }
    let context = caller::in_workspace(&request, &node, &workspace)?;
    let begun = manage(&node, MANAGER, "put_file_start_multipart", kwargs, context).await;
    answer(begun)
}

/// Completes an upload to an artifact.
pub async fn complete(
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Body<Completion>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, alias) = path.into_inner();
    let mut kwargs = body.arguments();
    kwargs.insert("artifact_id", named(&workspace, &alias));
    let context = caller::in_workspace(&request, &node, &workspace)?;
    let method = "put_file_complete_multipart";
    answer(manage(&node, MANAGER, method, kwargs, context).await)
}

fn answer(done: Result<Value, crate::peer::ServiceError>) -> Result<HttpResponse, HttpError> {
    let done = done.map_err(|error| failed(error, "Artifact not found"))?;
    Ok(json(done))
}

/// Begins an upload to a workspace.
pub async fn begin_for_workspace(
    request: HttpRequest,
    workspace: Path<String>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let context = super::workspace::writer(&request, &node, &workspace)?;
    let kwargs = beginning(&Query::of(&request))?;
    let begun = manage(&node, STORAGE, "put_file_start_multipart", kwargs, context).await;
    Ok(json(begun?))
}

/// Completes an upload to a workspace.
pub async fn complete_for_workspace(
    request: HttpRequest,
    workspace: Path<String>,
    body: Body<Completion>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let context = super::workspace::writer(&request, &node, &workspace)?;
    let method = "put_file_complete_multipart";
    Ok(json(
        manage(&node, STORAGE, method, body.arguments(), context).await?,
    ))
}
