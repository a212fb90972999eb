//! Apps over HTTP: the listing of a workspace, and the files of running sessions.

use actix_web::http::header::{HeaderValue, REFERRER_POLICY};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::files;
use super::{HttpError, caller};
use crate::apps::Host;
use crate::apps::pages::PageGrant;
use crate::apps::store::VersionSelector;
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

/// The paths of all files below a folder, for pages that take their modules from there.
async fn folder(host: &Host, grant: &PageGrant, path: &str) -> Result<HttpResponse, HttpError> {
    let version = VersionSelector::Label(grant.version.clone());
    let files = host
        .store
        .files(&grant.workspace, &grant.app, &version)
        .await;
    let missing = |_| HttpError::NotFound(format!("File not found: {path}"));
    let below: Vec<String> = files
        .map_err(missing)?
        .into_iter()
        .map(|(file, _, _)| file)
        .filter(|file| file.starts_with(path))
        .collect();
    Ok(HttpResponse::Ok().json(below))
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
    if path.is_empty() || path.ends_with('/') {
        return folder(host, &grant, &path).await;
    }
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
