//! Artifacts as sites: their own files, some of them templates, or a page of the server about them.

use std::io;

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use minijinja::Environment;
use serde_json::{Map, Value as Json, json};
use tera::Context;

use super::protection::{self, protect, with_charset};
use super::query::Query;
use super::{Visitor, alias_and_version, cleaned, files, refused, tail};
use crate::artifacts::objects::{Object, Page};
use crate::artifacts::store::{Artifact, check};
use crate::http::HttpError;
use crate::http::pages::page;
use crate::http::services::redirect;
use crate::http::transfer::serve as serve_file;
use crate::node::Node;
use crate::workspace::PUBLIC;

const ARTIFACT: &str = include_str!("../../../templates/pages/artifact.html");
/// Segments before the path of a file: `/{workspace}/view/{alias}/`.
const BEFORE: usize = 3;
/// The page of a site.
const INDEX: &str = "index.html";
/// Largest template, and largest page that is made of one, in bytes.
const MAX_TEMPLATE: u64 = 1024 * 1024;
const MAX_PAGE: usize = 8 * 1024 * 1024;
/// Steps that a template may take.
const STEPS: u64 = 500_000;
/// Files and children that the page about an artifact names.
const NAMED: usize = 200;
/// Types that have a page about them when they have no site of their own.
const WITH_PAGE: &[&str] = &["application", "collection"];
/// What sites may say about their files beside these prefixes. Cookies and policies are not theirs
/// to set.
const HEADERS: &[&str] = &[
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "cache-control",
    "content-language",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "referrer-policy",
];

/// Relative addresses in a site need the slash at its end.
pub async fn to_folder(request: HttpRequest, path: Path<(String, String)>) -> HttpResponse {
    let (workspace, alias) = path.into_inner();
    let segment = protection::quoted;
    let path = format!("/{}/view/{}/", segment(&workspace), segment(&alias));
    redirect(&path, request.query_string())
}

/// How an artifact wants to be shown.
struct Site {
    root: String,
    templates: Vec<String>,
    headers: Map<String, Json>,
    metadata: Json,
}

impl Site {
    fn of(config: &Map<String, Json>) -> Site {
        let text = |key: &str, default: &str| {
            let value = config.get(key).and_then(Json::as_str);
            value.unwrap_or(default).to_owned()
        };
        let listed = config.get("templates").and_then(Json::as_array);
        let templates = listed.into_iter().flatten().filter_map(Json::as_str);
        let engine = text("template_engine", "jinja2") == "jinja2";
        let headers = config.get("headers").and_then(Json::as_object);
        Site {
            root: text("root_directory", "/"),
            templates: templates.filter(|_| engine).map(str::to_owned).collect(),
            headers: headers.cloned().unwrap_or_default(),
            metadata: config.get("metadata").cloned().unwrap_or(json!({})),
        }
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            let name = name.to_ascii_lowercase();
            if !HEADERS.contains(&name.as_str()) && !name.starts_with("x-") {
                continue;
            }
            let value = value.as_str().map(HeaderValue::from_str);
            if let (Ok(name), Some(Ok(value))) = (HeaderName::try_from(name), value) {
                headers.insert(name, value);
            }
        }
    }
}

/// A file of a site, or the page about an artifact.
pub async fn serve(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, alias) = path.into_inner();
    let query = Query::of(&request);
    let (alias, version) = alias_and_version(&alias, &query)?;
    let path = cleaned(&tail(&request, BEFORE)?)?;
    let path = match path.is_empty() || path.ends_with('/') {
        true => format!("{path}{INDEX}"),
        false => path,
    };
    let visitor = Visitor::of(&request, &node, &workspace, &query)?;
    let artifact = visitor.artifact(&node, &workspace, alias, &path).await?;
    let site = match artifact.config.get("view_config") {
        Some(Json::String(off)) if off == "disabled" => {
            let text = "View access is disabled for this artifact".to_owned();
            return Err(HttpError::NotFound(text));
        }
        Some(Json::Object(config)) => Some(Site::of(config)),
        _ if !WITH_PAGE.contains(&artifact.kind.as_str()) => {
            let text = "This artifact type does not support view mode".to_owned();
            return Err(HttpError::Invalid(text));
        }
        _ => None,
    };
    if site.is_none() && path == INDEX {
        let answer = about(&node, &visitor, &artifact, version).await?;
        seen(&request, &node, artifact).await?;
        return Ok(answer);
    }
    let site = site.unwrap_or_else(|| Site::of(&Map::new()));
    let stored = cleaned(&format!("{}/{path}", site.root))?;
    let found = files::find(&node, &artifact, version.clone(), &stored).await;
    let (_, object) = found.map_err(|error| match error {
        HttpError::Service(_) => HttpError::NotFound(format!("File not found: {path}")),
        other => other,
    })?;
    let media_type = with_charset(object.media_type(&path));
    let mut answer = match site.templates.contains(&path) {
        true => {
            let page = rendered(&node, &visitor, &site, &artifact, version, &path, &object);
            HttpResponse::Ok()
                .content_type(media_type.as_str())
                .body(page.await?)
        }
        false => serve_file(&request, node.artifacts.objects(), &object, &media_type).await?,
    };
    protect(&mut answer, &media_type);
    if trusts(&node, &visitor, &workspace) {
        answer.headers_mut().remove(CONTENT_SECURITY_POLICY);
    }
    site.add_headers(answer.headers_mut());
    if media_type.starts_with("text/html") {
        seen(&request, &node, artifact).await?;
    }
    Ok(answer)
}

/// Whether a site may act as one of this server: only before those whose workspace it is in.
fn trusts(node: &Node, visitor: &Visitor, workspace: &str) -> bool {
    let info = node.directory.get(workspace);
    let user = &visitor.context.user;
    let owned = info.is_some_and(|info| info.is_owned_by(user));
    workspace != PUBLIC && !user.is_anonymous && owned
}

async fn seen(request: &HttpRequest, node: &Node, artifact: Artifact) -> Result<(), HttpError> {
    if request.method() != Method::GET {
        return Ok(());
    }
    let counted = node
        .artifacts
        .read(move |inner| inner.count(&artifact, 1.0, 0.0));
    counted.await.map_err(refused)
}

/// The record as clients see it.
async fn record(
    node: &Node,
    artifact: &Artifact,
    version: Option<String>,
) -> Result<Json, HttpError> {
    let artifact = artifact.clone();
    let shown = node.artifacts.read(move |inner| {
        let sight = artifact.sight(version.as_deref())?;
        inner.view(&artifact, sight)
    });
    shown.await.map_err(refused)
}

/// A template of a site, filled.
async fn rendered(
    node: &Node,
    visitor: &Visitor,
    site: &Site,
    artifact: &Artifact,
    version: Option<String>,
    path: &str,
    object: &Object,
) -> Result<Vec<u8>, HttpError> {
    if object.size > MAX_TEMPLATE {
        let text = format!("A template may have at most {MAX_TEMPLATE} bytes");
        return Err(HttpError::Invalid(text));
    }
    let blobs = node.artifacts.objects().blobs();
    let source = blobs.get(&object.blob).await;
    let source = source.map_err(crate::artifacts::objects::ObjectError::from)?;
    let server = &node.config.server;
    let (base, workspace, alias) = (server.base_url(), &artifact.workspace, &artifact.alias);
    let user = &visitor.context.user;
    let context = json!({
        "public_base_url": base,
        "local_base_url": server.local_url(),
        "artifact": record(node, artifact, version).await?,
        "view_base_url": format!("{base}/{workspace}/view/{alias}"),
        "artifact_base_url": format!("{base}/{workspace}/artifacts/{alias}"),
        "workspace": workspace,
        "user": { "id": user.id, "is_anonymous": user.is_anonymous, "roles": user.roles },
        "metadata": site.metadata,
    });
    let path = path.to_owned();
    let page = web::block(move || fill(&path, &source, &context)).await;
    let page = page.map_err(|error| HttpError::Internal(error.to_string()))?;
    page.map_err(|text| HttpError::Application(format!("Template rendering failed: {text}")))
}

fn fill(path: &str, source: &[u8], context: &Json) -> Result<Vec<u8>, String> {
    let source = std::str::from_utf8(source).map_err(|error| error.to_string())?;
    let mut environment = Environment::new();
    environment.set_fuel(Some(STEPS));
    let template = environment.template_from_named_str(path, source);
    let template = template.map_err(|error| error.to_string())?;
    let mut page = Limited(Vec::new());
    let context = minijinja::Value::from(minijinja::value::Serde(context));
    let written = template.render_captured_to(context, &mut page);
    written.map_err(|error| error.to_string())?;
    Ok(page.0)
}

/// Takes a page of bounded size.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_PAGE {
            return Err(io::Error::other("the page is too big"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The page about an artifact: what its manifest says, its files, and what is in it.
async fn about(
    node: &Node,
    visitor: &Visitor,
    artifact: &Artifact,
    version: Option<String>,
) -> Result<HttpResponse, HttpError> {
    let record = record(node, artifact, version.clone()).await?;
    let sight = artifact.sight(version.as_deref()).map_err(refused)?;
    let mut listed = Vec::new();
    if let Some(dir) = artifact.dir_of(sight) {
        let page = Page {
            offset: 0,
            limit: NAMED,
        };
        let objects = node.artifacts.objects();
        let entries = objects.list_dir(&artifact.id, dir, "", page).await?;
        listed = files::shown(entries, |_| 0.0);
    }
    for file in &mut listed {
        let name = protection::quoted(file["name"].as_str().unwrap_or_default());
        let slash = if file["type"] == "directory" { "/" } else { "" };
        file["address"] = json!(format!("{name}{slash}"));
    }
    let mut context = Context::new();
    let name = record["manifest"]["name"].as_str();
    context.insert("title", name.unwrap_or(&artifact.alias));
    context.insert("artifact", &record);
    context.insert("files", &listed);
    context.insert("children", &children(node, visitor, artifact).await?);
    let base = format!("../../artifacts/{}", protection::quoted(&artifact.alias));
    context.insert("base", &base);
    page(ARTIFACT, context)
}

/// What is in a collection, as far as the visitor may know of it.
async fn children(
    node: &Node,
    visitor: &Visitor,
    artifact: &Artifact,
) -> Result<Vec<Json>, HttpError> {
    let (artifact, user) = (artifact.clone(), visitor.context.user.clone());
    let found = node.artifacts.read(move |inner| {
        let parent = inner.parent(&artifact)?;
        let private = artifact.config.get("private_children") == Some(&json!(true));
        if private || check(&artifact, parent.as_ref(), &user, "list").is_err() {
            return Ok(Vec::new());
        }
        let children = inner.children(&artifact)?.into_iter();
        let committed = children.filter(|child| !child.versions.is_empty());
        let shown = committed.take(NAMED).map(|child| {
            let name = child.manifest.as_ref().and_then(|m| m.get("name").cloned());
            json!({
                "alias": child.alias,
                "name": name.unwrap_or_else(|| json!(child.alias)),
                "type": child.kind,
                "address": protection::quoted(&child.alias),
            })
        });
        Ok(shown.collect())
    });
    found.await.map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(source: &str) -> Result<String, String> {
        let context = json!({ "artifact": { "manifest": { "name": "<b>" } }, "user": null });
        let page = fill("index.html", source.as_bytes(), &context)?;
        Ok(String::from_utf8(page).unwrap())
    }

    #[test]
    fn templates_are_filled_as_jinja_does() {
        let source = "{{ artifact.manifest.name }} {{ user.id if user else 'Nobody' }}";
        assert_eq!(filled(source).unwrap(), "&lt;b&gt; Nobody");
        assert_eq!(
            filled("{% for n in range(3) %}{{ n }}{% endfor %}").unwrap(),
            "012"
        );
        assert!(filled("{% if %}").is_err());
    }

    #[test]
    fn templates_end() {
        let loops = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(filled(loops).is_err());
        let recursion = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
        assert!(filled(recursion).is_err());
        let grows = "{% for a in range(9999) %}{{ 'x' * 99999 }}{% endfor %}";
        assert!(filled(grows).is_err());
    }

    #[test]
    fn sites_set_harmless_headers() {
        let config = json!({ "headers": {
            "Cache-Control": "max-age=60", "X-Own": "1", "Set-Cookie": "access_token=x",
            "Content-Security-Policy": "none", "Access-Control-Allow-Credentials": "true",
            "X-Bad": "a\r\nb", "X-Number": 1,
        }});
        let mut headers = HeaderMap::new();
        Site::of(config.as_object().unwrap()).add_headers(&mut headers);
        let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["cache-control", "x-own"]);
    }
}
