//! Apps over HTTP: the listing of a workspace, and the files of running sessions.

use actix_web::http::header::{HeaderValue, REFERRER_POLICY};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use serde::Deserialize;

use super::files::{self, Keep};
use super::{HttpError, caller};
use crate::apps::Host;
use crate::apps::store::VersionSelector;
use crate::identity::Level;
use crate::node::Node;
use crate::workspace::WorkspaceError;

pub fn routes(config: &mut ServiceConfig) {
    let page = web::resource("/_pages/{key}/{path:.*}")
        .route(web::get().to(session_file))
        .route(web::head().to(session_file));
    config
        .service(page)
        .route("/{workspace}/apps", web::get().to(list))
        .service(
            web::resource("/{workspace}/artifacts/{app}/files/{path:.*}")
                .route(web::get().to(app_file))
                .route(web::head().to(app_file)),
        );
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

#[derive(Deserialize)]
struct FileQuery {
    version: Option<String>,
    #[serde(default)]
    stage: bool,
}

/// A file of an app, for members of its workspace; `app@version` fixes the version.
async fn app_file(
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
    query: web::Query<FileQuery>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, app, path) = path.into_inner();
    let user = caller::user(&request, &node)?;
    let host = host(&node)?;
    if !user.allows(&workspace, Level::Read) {
        return Err(HttpError::Forbidden(format!(
            "Permission denied for workspace {workspace}"
        )));
    }
    let (app, fixed) = match app.split_once('@') {
        Some((app, label)) => (app.to_owned(), Some(label.to_owned())),
        None => (app, None),
    };
    let selector = match fixed.or_else(|| query.version.clone()) {
        _ if query.stage => VersionSelector::Stage,
        Some(label) => VersionSelector::Label(label),
        None => VersionSelector::Current,
    };
    let version = host
        .store
        .version(&workspace, &app, &selector)
        .await
        .map_err(crate::peer::ServiceError::from)?;
    let bytes = host
        .store
        .file(&workspace, &app, &version.label, &path)
        .await
        .map_err(crate::peer::ServiceError::from)?;
    Ok(files::answer(&request, &path, bytes, Keep::Asking))
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
    let grant = host.pages.open(&key).ok_or_else(missing)?;
    let bytes = host
        .store
        .file(&grant.workspace, &grant.app, &grant.version, &path)
        .await
        .map_err(|error| {
            tracing::debug!(session = grant.session, path, %error, "no such file");
            missing()
        })?;
    let mut response = files::answer(&request, &path, bytes, Keep::Never);
    response
        .headers_mut()
        .insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}
