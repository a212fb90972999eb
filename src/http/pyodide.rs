//! `/assets/pyodide`: the runtimes of Python apps in pages, as `scripts/fetch-runtimes` laid them down.

use actix_files::NamedFile;
use actix_web::http::header::{CACHE_CONTROL, ContentType, HeaderName, HeaderValue};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::HttpError;
use crate::node::Node;

/// What pages choose a runtime from.
const CATALOGUE: &str = "runtimes.json";
/// Files are named after their versions, so that they never change.
pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub fn routes(config: &mut ServiceConfig) {
    config
        .route("/pyodide/runtimes.json", web::get().to(catalogue))
        .service(
            web::resource("/pyodide/{version:[0-9][0-9a-z.]*}/{file:[A-Za-z0-9_][A-Za-z0-9_.+-]*}")
                .route(web::get().to(file))
                .route(web::head().to(file)),
        );
}

/// The runtimes that are here, or the address of one elsewhere.
async fn catalogue(request: HttpRequest, node: Data<Node>) -> Result<HttpResponse, HttpError> {
    let elsewhere = node.config.apps.pyodide_url.trim_end_matches('/');
    if !elsewhere.is_empty() {
        let answer = json!({ "url": format!("{elsewhere}/") });
        return Ok(open(HttpResponse::Ok().json(answer), "no-cache"));
    }
    serve(&request, &node, CATALOGUE, "no-cache")
        .await?
        .ok_or_else(|| {
            HttpError::NotFound(
                "this server has no Pyodide; its operator can fetch it with scripts/fetch-runtimes"
                    .to_owned(),
            )
        })
}

async fn file(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (version, name) = path.into_inner();
    // The lock alone bears no version of its own.
    let caching = if name.ends_with(".json") {
        "no-cache"
    } else {
        FOR_EVER
    };
    let path = format!("{version}/{name}");
    let found = serve(&request, &node, &path, caching).await?;
    found.ok_or_else(|| HttpError::NotFound(format!("File not found: assets/pyodide/{path}")))
}

async fn serve(
    request: &HttpRequest,
    node: &Node,
    path: &str,
    caching: &'static str,
) -> Result<Option<HttpResponse>, HttpError> {
    let place = node.config.server.assets().join("pyodide").join(path);
    let opening = place.clone();
    let opened = web::block(move || NamedFile::open(opening)).await;
    let file = match opened.map_err(|error| HttpError::Internal(error.to_string()))? {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            tracing::warn!(path = %place.display(), %error, "a browser file cannot be read");
            return Err(HttpError::Internal(format!(
                "the file cannot be read: {path}"
            )));
        }
    };
    // Module scripts need the type that says so.
    let file = match path.rsplit('.').next() {
        Some("mjs") => {
            file.set_content_type(ContentType(mime_guess::mime::APPLICATION_JAVASCRIPT).0)
        }
        Some("whl") => file.set_content_type(ContentType::octet_stream().0),
        _ => file,
    };
    Ok(Some(open(file.into_response(request), caching)))
}

/// Lets pages of every origin use an answer.
pub(super) fn open(mut answer: HttpResponse, caching: &'static str) -> HttpResponse {
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    answer
}
