//! `/assets`: the unmodified hypha-rpc client for browsers, and what pages need to know of the
//! server.

use std::path::PathBuf;

use actix_web::http::header::{
    CACHE_CONTROL, ETAG, EntityTag, HeaderValue, IF_NONE_MATCH, IfNoneMatch,
};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde_json::json;

use super::{HttpError, caller, pyodide, wheels};
use crate::node::Node;
use crate::workspace::HYPHA_VERSION;

/// Files that are served, of the npm package `hypha-rpc`.
const CLIENT_FILES: [&str; 4] = [
    "hypha-rpc-websocket.js",
    "hypha-rpc-websocket.mjs",
    "hypha-rpc-websocket.min.js",
    "hypha-rpc-websocket.min.mjs",
];

pub fn routes(config: &mut ServiceConfig) {
    let client = web::resource("/{file:hypha-rpc-websocket[.a-z]*}")
        .route(web::get().to(client_file))
        .route(web::head().to(client_file));
    config
        .route("/config.json", web::get().to(config_json))
        .service(client)
        .configure(pyodide::routes)
        .configure(wheels::routes);
}

fn path_of(node: &Node, file: &str) -> PathBuf {
    node.config.server.assets().join("hypha-rpc").join(file)
}

async fn client_file(
    request: HttpRequest,
    file: web::Path<String>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let missing = || HttpError::NotFound(format!("File not found: assets/{file}"));
    if !CLIENT_FILES.contains(&file.as_str()) {
        return Err(missing());
    }
    let path = path_of(&node, &file);
    let bytes = tokio::fs::read(&path).await.map_err(|error| {
        tracing::warn!(path = %path.display(), %error, "a browser file is missing; run scripts/fetch-runtimes");
        missing()
    })?;
    let tag = EntityTag::new_strong(crate::artifacts::BlobId::of(&bytes).to_string());
    let mut response = HttpResponse::Ok();
    response
        .insert_header((ETAG, tag.to_string()))
        .insert_header((
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=300"),
        ))
        .insert_header(("Access-Control-Allow-Origin", "*"))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
        .content_type("application/javascript");
    if let Some(known) = request.get_header::<IfNoneMatch>()
        && request.headers().contains_key(IF_NONE_MATCH)
        && holds(&known, &tag)
    {
        return Ok(response
            .status(actix_web::http::StatusCode::NOT_MODIFIED)
            .finish());
    }
    Ok(response.body(bytes))
}

fn holds(known: &IfNoneMatch, tag: &EntityTag) -> bool {
    match known {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(items) => items.iter().any(|item| item.weak_eq(tag)),
    }
}

async fn config_json(request: HttpRequest, node: Data<Node>) -> Result<HttpResponse, HttpError> {
    let user = caller::user(&request, &node)?;
    let base = node.config.server.base_url();
    Ok(HttpResponse::Ok().json(json!({
        "user": user.to_value().to_json(),
        "server_id": node.directory.router.server_id(),
        "hypha_version": HYPHA_VERSION,
        "public_base_url": base,
        "local_base_url": base,
        "auth0_client_id": null,
        "auth0_domain": null,
        "auth0_audience": null,
        "auth0_issuer": null,
        "login_service_url": format!("{base}/public/services/hypha-login"),
    })))
}
