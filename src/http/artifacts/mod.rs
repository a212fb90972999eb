//! Artifacts and files of workspaces over HTTP (http.md 9).

mod files;
mod protection;
mod query;
mod records;
mod uploads;
mod view;
mod workspace;
mod zip;

pub use protection::ALONE;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::{HttpError, caller};
use crate::artifacts::store::{Artifact, ArtifactError, check};
use crate::identity::{Level, UserInfo};
use crate::node::Node;
use crate::peer::{CallContext, ErrorClass, ServiceError, invoke, method_of};
use crate::wire::{Map, Value};
use crate::workspace::PUBLIC;
use query::Query;

pub fn routes(config: &mut ServiceConfig) {
    let get_or_head = |path: &str| web::resource(path.to_owned());
    config
        .app_data(web::Data::new(crate::artifacts::zip::Indexes::default()))
        .route("/{workspace}/artifacts/", web::get().to(records::list))
        .route(
            "/{workspace}/artifacts/-/search",
            web::get().to(records::search),
        )
        .route(
            "/{workspace}/artifacts/{alias}",
            web::get().to(records::info),
        )
        .route(
            "/{workspace}/artifacts/{alias}/children",
            web::get().to(records::children),
        )
        .service(
            get_or_head("/{workspace}/artifacts/{alias}/files/{path:.*}")
                .route(web::get().to(files::get))
                .route(web::head().to(files::get))
                .route(web::put().to(files::put)),
        )
        .route(
            "/{workspace}/artifacts/{alias}/create-multipart-upload",
            web::post().to(uploads::begin),
        )
        .route(
            "/{workspace}/artifacts/{alias}/complete-multipart-upload",
            web::post().to(uploads::complete),
        )
        .service(
            get_or_head("/{workspace}/artifacts/{alias}/create-zip-file")
                .route(web::get().to(zip::create))
                .route(web::head().to(zip::create)),
        )
        .service(
            get_or_head("/{workspace}/artifacts/{alias}/zip-files/{path:.*}")
                .route(web::get().to(zip::member))
                .route(web::head().to(zip::member)),
        )
        .service(
            get_or_head("/{workspace}/view/{alias}")
                .route(web::get().to(view::to_folder))
                .route(web::head().to(view::to_folder)),
        )
        .service(
            get_or_head("/{workspace}/view/{alias}/{path:.*}")
                .route(web::get().to(view::serve))
                .route(web::head().to(view::serve)),
        )
        .service(
            get_or_head("/{workspace}/files/{path:.*}")
                .route(web::get().to(workspace::get))
                .route(web::head().to(workspace::get))
                .route(web::put().to(workspace::put))
                .route(web::delete().to(workspace::delete)),
        )
        .route(
            "/{workspace}/create-multipart-upload",
            web::post().to(uploads::begin_for_workspace),
        )
        .route(
            "/{workspace}/complete-multipart-upload",
            web::post().to(uploads::complete_for_workspace),
        );
}

/// Calls a method of one of the server's own services for somebody.
async fn manage(
    node: &Node,
    service: &str,
    method: &str,
    kwargs: Map,
    context: CallContext,
) -> Result<Value, ServiceError> {
    let missing = || ServiceError::runtime(format!("there is no {service}.{method}"));
    let service = node.directory.peer.offered(PUBLIC, service);
    let service = service.ok_or_else(missing)?;
    let method = method_of(&*service, method).ok_or_else(missing)?;
    invoke(service, method, Vec::new(), kwargs, context).await
}

/// A failed call as an answer; `missing` is said about an artifact that does not exist.
fn failed(error: ServiceError, missing: &str) -> HttpError {
    match error.class {
        ErrorClass::Key => HttpError::NotFound(missing.to_owned()),
        ErrorClass::Permission => HttpError::Forbidden("Permission denied".to_owned()),
        _ => error.into(),
    }
}

/// A failed look at an artifact as an answer. What is invalid there is the version.
fn refused(error: ArtifactError) -> HttpError {
    match error {
        ArtifactError::NotFound(_) | ArtifactError::NotHere(_) => {
            HttpError::NotFound("Artifact not found".to_owned())
        }
        ArtifactError::Denied { .. } => HttpError::Forbidden("Permission denied".to_owned()),
        ArtifactError::Invalid(text) => HttpError::NotFound(text),
        ArtifactError::Files(error) => error.into(),
        other => ServiceError::from(other).into(),
    }
}

/// The part of a raw path behind this many segments, decoded. The router would take `%2F` in names
/// for its own.
fn tail(request: &HttpRequest, segments: usize) -> Result<String, HttpError> {
    let path = request.uri().path();
    let tail = path.splitn(segments + 2, '/').nth(segments + 1);
    let tail = percent_encoding::percent_decode_str(tail.unwrap_or_default());
    match tail.decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(HttpError::Invalid("the path is no UTF-8 text".to_owned())),
    }
}

/// A path in an artifact that can be one.
fn cleaned(path: &str) -> Result<String, HttpError> {
    Ok(crate::artifacts::objects::clean_dir(path)?)
}

/// Somebody who asks for files of an artifact.
struct Visitor {
    context: CallContext,
    /// Scopes of a token that was made for certain files only.
    scopes: Option<Vec<String>>,
}

impl Visitor {
    /// Who asks: by the query's `token`, else as everywhere.
    fn of(
        request: &HttpRequest,
        node: &Node,
        workspace: &str,
        query: &Query,
    ) -> Result<Visitor, HttpError> {
        let given = query.text("token");
        let context = caller::with_files_token(request, node, workspace, given)?;
        let scopes = context.user.specialised_scopes();
        let scopes = match scopes.is_empty() {
            true => None,
            false => Some(scopes.into_iter().map(str::to_owned).collect()),
        };
        Ok(Visitor { context, scopes })
    }

    /// Whether this token was made for certain files, and a file of this artifact is one of them.
    fn may_by_scope(&self, artifact: &Artifact, operation: &str, path: &str) -> Option<bool> {
        let scopes = self.scopes.as_ref()?;
        let encoded = protection::quoted(path);
        let names = [artifact.id.clone(), artifact.name()];
        Some(names.iter().any(|name| {
            ["*", &encoded]
                .iter()
                .any(|path| scopes.contains(&format!("{operation}:{name}:{path}")))
        }))
    }

    /// The artifact of an address, if its files may be got.
    async fn artifact(
        &self,
        node: &Node,
        workspace: &str,
        alias: &str,
        path: &str,
    ) -> Result<Artifact, HttpError> {
        let (workspace, alias) = (workspace.to_owned(), alias.to_owned());
        let found = node.artifacts.read(move |inner| {
            let found = inner.find(&workspace, &named(&workspace, &alias))?;
            if found.workspace != workspace {
                return Err(ArtifactError::NotFound(alias));
            }
            let parent = inner.parent(&found)?;
            Ok((found, parent))
        });
        let (artifact, parent) = found.await.map_err(refused)?;
        match self.may_by_scope(&artifact, "get_file", path) {
            Some(true) => Ok(artifact),
            Some(false) => Err(HttpError::Forbidden("Permission denied".to_owned())),
            None => {
                let user = &self.context.user;
                check(&artifact, parent.as_ref(), user, "get_file").map_err(refused)?;
                Ok(artifact)
            }
        }
    }

    /// The same person with the right to put into a workspace, for one file that a token is for.
    fn lent(&self, workspace: &str) -> UserInfo {
        let mut user = (*self.context.user).clone();
        user.scope.grant(workspace, Level::ReadWrite);
        user
    }
}

/// The name of an artifact of a workspace: its UUID stands for itself.
fn named(workspace: &str, alias: &str) -> String {
    match uuid::Uuid::try_parse(alias) {
        Ok(_) => alias.to_owned(),
        Err(_) => format!("{workspace}/{alias}"),
    }
}

/// A version that is asked for: `stage` where the query says so.
fn version(query: &Query) -> Result<Option<String>, HttpError> {
    let version = query.text("version").filter(|version| !version.is_empty());
    match (query.flag("stage")?, version) {
        (false, version) => Ok(version.map(str::to_owned)),
        (true, None | Some("stage")) => Ok(Some("stage".to_owned())),
        (true, Some(_)) => Err(HttpError::Invalid(
            "You cannot specify a version when using stage mode.".to_owned(),
        )),
    }
}

/// An alias with the version that it fixes, as in `app@v1`.
fn alias_and_version<'a>(
    alias: &'a str,
    query: &Query,
) -> Result<(&'a str, Option<String>), HttpError> {
    let asked = version(query)?;
    match alias.split_once('@') {
        Some((alias, fixed)) if asked.is_none() => Ok((alias, Some(fixed.to_owned()))),
        _ => Ok((alias, asked)),
    }
}

/// An answer as JSON.
fn json(value: Value) -> HttpResponse {
    HttpResponse::Ok().json(value.to_json())
}
