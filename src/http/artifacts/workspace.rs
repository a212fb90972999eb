//! Files of workspaces. They are for those who may write there, also to read.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::files::{shown, uploaded};
use super::protection::{protect, with_charset};
use super::query::Query;
use super::{cleaned, tail};
use crate::artifacts::objects::{Object, Page, Target};
use crate::artifacts::transfer::target_of;
use crate::http::transfer::{content_type, drain, expected, receive, serve};
use crate::http::{HttpError, caller};
use crate::identity::Level;
use crate::node::Node;
use crate::peer::CallContext;

/// Segments before the path of a file: `/{workspace}/files/`.
const BEFORE: usize = 2;

/// Somebody who may write in a workspace.
///
/// # Errors
/// They may not, or there is no such workspace; strangers are not told which.
pub(super) fn writer(
    request: &HttpRequest,
    node: &Node,
    workspace: &str,
) -> Result<CallContext, HttpError> {
    let context = caller::in_workspace(request, node, workspace)?;
    if !context.user.allows(workspace, Level::ReadWrite) {
        return Err(HttpError::Forbidden(format!(
            "Permission denied: {workspace}"
        )));
    }
    if !node.directory.exists(workspace) {
        let text = format!("Workspace does not exist: {workspace}");
        return Err(HttpError::NotFound(text));
    }
    Ok(context)
}

/// As [`writer`], where something is to change.
fn changer(request: &HttpRequest, node: &Node, workspace: &str) -> Result<CallContext, HttpError> {
    let context = writer(request, node, workspace)?;
    let info = node.directory.get(workspace);
    if info.is_some_and(|info| info.read_only) {
        let text = format!("Permission denied: workspace ({workspace}) is read-only");
        return Err(HttpError::Forbidden(text));
    }
    Ok(context)
}

/// The file of a path; files of artifacts have routes of their own.
fn target(workspace: &str, path: &str) -> Result<Target, HttpError> {
    match target_of(&format!("{workspace}/{path}")) {
        Some(target @ Target::Workspace { .. }) if !path.ends_with('/') => Ok(target),
        _ => Err(HttpError::Invalid(format!("'{path}' names no file"))),
    }
}

/// A file, or what is in a folder.
pub async fn get(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, _) = path.into_inner();
    writer(&request, &node, &workspace)?;
    let objects = &node.transfer.objects;
    let path = cleaned(&tail(&request, BEFORE)?)?;
    if !path.is_empty() && !path.ends_with('/') {
        if let Some(object) = objects.head(&target(&workspace, &path)?).await? {
            let media_type = with_charset(object.media_type(&path));
            let mut answer = serve(&request, objects, &object, &media_type).await?;
            protect(&mut answer, &media_type);
            return Ok(answer);
        }
    }
    let limit = Query::of(&request).count("max_length", 1000, (1, 10_000))?;
    let page = Page { offset: 0, limit };
    let folder = path.trim_end_matches('/');
    let entries = objects.list_workspace(&workspace, folder, page).await?;
    if entries.is_empty() && !path.is_empty() {
        return Err(HttpError::NotFound(format!("File does not exist: {path}")));
    }
    let name = folder.rsplit('/').next().unwrap_or_default();
    Ok(HttpResponse::Ok().json(json!({
        "success": true,
        "type": "directory",
        "name": name,
        "children": shown(entries, |_| 0.0),
    })))
}

/// Puts a file.
pub async fn put(
    request: HttpRequest,
    path: Path<(String, String)>,
    mut payload: Payload,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, _) = path.into_inner();
    let outcome = put_file(&request, &workspace, &mut payload, &node).await;
    if outcome.is_err() {
        drain(&mut payload, &node.clock).await;
    }
    Ok(uploaded(&outcome?))
}

async fn put_file(
    request: &HttpRequest,
    workspace: &str,
    payload: &mut Payload,
    node: &Node,
) -> Result<Object, HttpError> {
    changer(request, node, workspace)?;
    let target = target(workspace, &cleaned(&tail(request, BEFORE)?)?)?;
    let expect = expected(request)?;
    let kind = content_type(request);
    let put = |body| node.transfer.put(&target, body, expect, kind, None);
    Ok(receive(payload, &node.clock, put).await?)
}

/// Removes a file, or with a slash at the end a folder. It is no error when there was none.
pub async fn delete(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, _) = path.into_inner();
    changer(&request, &node, &workspace)?;
    let path = cleaned(&tail(&request, BEFORE)?)?;
    let objects = &node.transfer.objects;
    match path.ends_with('/') {
        true => {
            objects.remove_workspace_files(&workspace, &path).await?;
        }
        false => {
            let target = target(&workspace, &path)?;
            objects
                .remove_workspace_file(&workspace, target.path())
                .await?;
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "success": true })))
}
