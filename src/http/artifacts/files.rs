//! Files of artifacts: getting, listing folders, putting.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{ETAG, LOCATION};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value as Json, json};

use super::protection::{protect, with_charset};
use super::query::Query;
use super::{Visitor, alias_and_version, cleaned, named, refused, tail};
use crate::artifacts::objects::{Entry, Object, Page, Target};
use crate::artifacts::store::{Artifact, ArtifactError, Place, Wish};
use crate::artifacts::transfer::{Base, MAX_EXPIRY_S, UrlOptions};
use crate::http::HttpError;
use crate::http::transfer::{content_type, drain, expected, receive, serve};
use crate::node::Node;
use crate::peer::ServiceError;

/// Segments before the path of a file: `/{workspace}/artifacts/{alias}/files/`.
const BEFORE: usize = 4;

/// A file, or what is in a folder.
pub async fn get(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, alias) = path.into_inner();
    let query = Query::of(&request);
    let path = cleaned(&tail(&request, BEFORE)?)?;
    let (alias, version) = alias_and_version(&alias, &query)?;
    let visitor = Visitor::of(&request, &node, &workspace, &query)?;
    let artifact = visitor.artifact(&node, &workspace, alias, &path).await?;
    if path.is_empty() || path.ends_with('/') {
        return list(&node, artifact, version, &path, &query).await;
    }
    let (target, object) = find(&node, &artifact, version, &path).await?;
    let media_type = with_charset(object.media_type(&path));
    let redirected = redirection(&node, &query, &target, &object).await?;
    let answer = match redirected {
        Some(answer) => answer,
        None => {
            let objects = node.artifacts.objects();
            let mut answer = serve(&request, objects, &object, &media_type).await?;
            protect(&mut answer, &media_type);
            answer
        }
    };
    let sent = answer.status().is_success() || answer.status().is_redirection();
    if sent && request.method() == Method::GET && !query.flag("silent")? {
        let weight = artifact.weight(&path);
        count(&node, artifact, weight).await?;
    }
    Ok(answer)
}

/// A file of a version of an artifact.
pub(super) async fn find(
    node: &Node,
    artifact: &Artifact,
    version: Option<String>,
    path: &str,
) -> Result<(Target, Object), HttpError> {
    let (artifact, path) = (artifact.clone(), path.to_owned());
    let found = node
        .artifacts
        .read(move |inner| inner.file(&artifact, version.as_deref(), &path));
    found.await.map_err(refused)
}

/// Counts downloads.
pub(super) async fn count(node: &Node, artifact: Artifact, weight: f64) -> Result<(), HttpError> {
    if weight <= 0.0 {
        return Ok(());
    }
    let counted = node
        .artifacts
        .read(move |inner| inner.count(&artifact, 0.0, weight));
    counted.await.map_err(refused)
}

/// Where the file is fetched from, when that is not here: the query or the server's settings say
/// so. Only addresses of this server's own settings are led to.
async fn redirection(
    node: &Node,
    query: &Query,
    target: &Target,
    object: &Object,
) -> Result<Option<HttpResponse>, HttpError> {
    let storage = &node.config.storage;
    let elsewhere = storage.s3 && storage.direct_downloads;
    let use_proxy = query.opt_flag("use_proxy")?.unwrap_or(!elsewhere);
    let options = UrlOptions {
        expires_in: query.number("expires_in", 3600.0, (1.0, MAX_EXPIRY_S))?,
        use_proxy: Some(use_proxy),
        base: match query.flag("use_local_url")? {
            true => Base::Local,
            false => Base::Public,
        },
    };
    if use_proxy {
        return Ok(None);
    }
    let url = node
        .transfer
        .get_url(target, Some(object), &options)
        .await?;
    let mut answer = HttpResponse::TemporaryRedirect();
    Ok(Some(answer.insert_header((LOCATION, url)).finish()))
}

async fn list(
    node: &Node,
    artifact: Artifact,
    version: Option<String>,
    path: &str,
    query: &Query,
) -> Result<HttpResponse, HttpError> {
    let limit = query.count("limit", 1000, (1, 10_000))?;
    let offset = query.count("offset", 0, (0, usize::MAX >> 1))?;
    let sight = artifact.sight(version.as_deref()).map_err(refused)?;
    let mut listed = Vec::new();
    if let Some(dir) = artifact.dir_of(sight) {
        let all = Page {
            offset: 0,
            limit: usize::MAX,
        };
        let objects = node.artifacts.objects();
        let folder = path.trim_end_matches('/');
        let entries = objects.list_dir(&artifact.id, dir, folder, all).await?;
        listed = shown(entries, |name| artifact.weight(&format!("{path}{name}")));
    }
    if listed.is_empty() {
        let text = "File or directory not found".to_owned();
        return Err(HttpError::NotFound(text));
    }
    let page: Vec<Json> = listed.into_iter().skip(offset).take(limit).collect();
    Ok(HttpResponse::Ok().json(page))
}

/// Entries of a folder: files first, then folders.
pub(super) fn shown(entries: Vec<Entry>, weight: impl Fn(&str) -> f64) -> Vec<Json> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::File(name, object) => {
                let weight = weight(&name);
                let mut file = json!({
                    "type": "file",
                    "name": name,
                    "size": object.size,
                    "last_modified": object.at,
                });
                if weight > 0.0 {
                    file["download_weight"] = json!(weight);
                }
                files.push(file);
            }
            Entry::Folder(name) => folders.push(json!({ "type": "directory", "name": name })),
        }
    }
    files.append(&mut folders);
    files
}

/// Puts a file into the stage of an artifact.
pub async fn put(
    request: HttpRequest,
    path: Path<(String, String)>,
    mut payload: Payload,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, alias) = path.into_inner();
    let outcome = put_file(&request, &workspace, &alias, &mut payload, &node).await;
    if outcome.is_err() {
        drain(&mut payload, &node.clock).await;
    }
    Ok(uploaded(&outcome?))
}

/// The answer to an upload.
pub(super) fn uploaded(object: &Object) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((ETAG, format!("\"{}\"", object.etag())))
        .json(json!({ "success": true, "message": "File uploaded successfully" }))
}

async fn put_file(
    request: &HttpRequest,
    workspace: &str,
    alias: &str,
    payload: &mut Payload,
    node: &Node,
) -> Result<Object, HttpError> {
    let query = Query::of(request);
    let path = cleaned(&tail(request, BEFORE)?)?;
    if path.is_empty() || path.ends_with('/') {
        return Err(HttpError::Invalid("the path names no file".to_owned()));
    }
    let weight = query.number("download_weight", 0.0, (0.0, f64::MAX))?;
    let expect = expected(request)?;
    let visitor = Visitor::of(request, node, workspace, &query)?;
    let place = may_put(&visitor, node, workspace, alias, &path).await?;
    let objects = node.artifacts.objects();
    let kind = content_type(request);
    let take = |body| objects.take(body, expect, kind);
    let object = receive(payload, &node.clock, take).await?;
    // The stage hears of the file when there is one: a broken upload leaves nothing behind.
    let (wish, arrived) = (Wish { path, weight }, object.clone());
    let put = node
        .artifacts
        .change(move |inner, _| inner.put(&place, wish, &arrived));
    put.await.map_err(put_refused)?;
    Ok(object)
}

/// Checks that a file can be put, before its bytes are read; who puts it where.
async fn may_put(
    visitor: &Visitor,
    node: &Node,
    workspace: &str,
    alias: &str,
    path: &str,
) -> Result<Place, HttpError> {
    let id = named(workspace, alias);
    let (here, asked) = (workspace.to_owned(), id.clone());
    let found = node.artifacts.read(move |inner| {
        let found = inner.find(&here, &asked)?;
        match found.workspace == here {
            true => Ok(found),
            false => Err(ArtifactError::NotFound(asked)),
        }
    });
    let artifact = found.await.map_err(put_refused)?;
    let user = match visitor.may_by_scope(&artifact, "put_file", path) {
        None => visitor.context.user.clone(),
        Some(true) => Arc::new(visitor.lent(workspace)),
        Some(false) => return Err(HttpError::Forbidden("Permission denied".to_owned())),
    };
    let place = Place {
        workspace: workspace.to_owned(),
        id: artifact.id,
        user,
    };
    let asked = place.clone();
    let allowed = node.artifacts.read(move |inner| {
        let found = inner.allowed(&asked.workspace, &asked.id, &asked.user, "put_file")?;
        found
            .staging
            .is_some()
            .then_some(())
            .ok_or(ArtifactError::NotStaged)
    });
    allowed.await.map_err(put_refused)?;
    Ok(place)
}

fn put_refused(error: ArtifactError) -> HttpError {
    match error {
        ArtifactError::Invalid(_) => ServiceError::from(error).into(),
        other => refused(other),
    }
}
