//! Apps over HTTP: the listing of a workspace, and the files of running sessions.

use actix_web::http::header::{HeaderValue, REFERRER_POLICY};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::files;
use super::{HttpError, caller};
use crate::apps::Host;
use crate::node::Node;
use crate::workers::browser::pool::WAITING;
use crate::workspace::WorkspaceError;

pub fn routes(config: &mut ServiceConfig) {
    let page = web::resource("/_pages/{key}/{path:.*}")
        .route(web::get().to(session_file))
        .route(web::head().to(session_file));
    config
        .service(page)
        .route("/{workspace}/apps", web::get().to(list));
}

fn host(node: &Node) -> Result<&Host, HttpError> {
    node.apps
        .as_deref()
        .ok_or_else(|| HttpError::NotFound("Server Apps service is not enabled.".into()))
}

async fn list(
    request: HttpRequest,
    workspace: web::Path<String>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let user = caller::user(&request, &node)?;
    let host = host(&node)?;
    if !node.directory.exists(&workspace) {
        return Err(HttpError::NotFound(
            WorkspaceError::NotFound(workspace.to_string()).to_string(),
        ));
    }
    Ok(HttpResponse::Ok().json(host.list_apps(&workspace, &user).await?))
}

/// A file of the version that a session runs. The key in the address is the permission.
async fn session_file(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (key, path) = path.into_inner();
    let host = host(&node)?;
    let missing = || HttpError::NotFound(format!("File not found: {path}"));
    if key == WAITING {
        let shell = node.pool().and_then(|pool| pool.shell(&path));
        return Ok(files::answer(&request, &path, shell.ok_or_else(missing)?));
    }
    let grant = host.pages.open(&key).ok_or_else(missing)?;
    let bytes = host
        .store
        .file(&grant.workspace, &grant.app, &grant.version, &path)
        .await
        .map_err(|error| {
            tracing::debug!(session = grant.session, path, %error, "no such file");
            missing()
        })?;
    let mut response = files::answer(&request, &path, bytes);
    response
        .headers_mut()
        .insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}
