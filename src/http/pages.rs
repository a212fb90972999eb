//! Pages for people: the portal and one page per workspace (http.md 6). They are public; what
//! they show, they fetch with the visitor's own token.

use actix_web::http::header::CONTENT_SECURITY_POLICY;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tera::{Context, Tera};

use super::HttpError;
use super::error::no_page;
use super::services::redirect;
use crate::node::Node;

const STYLE: &str = include_str!("../../templates/pages/style.css");
const INDEX: &str = include_str!("../../templates/pages/index.html");
const WORKSPACE: &str = include_str!("../../templates/pages/workspace.html");
const WORKSPACE_SCRIPT: &str = include_str!("../../templates/pages/workspace.js");

pub fn routes(config: &mut ServiceConfig) {
    config
        .route("/", web::get().to(portal))
        .route("/login", web::get().to(login))
        .route("/{workspace}", web::get().to(to_workspace))
        .route("/{workspace}/", web::get().to(workspace));
}

/// Only names with a hyphen are workspaces that have a page; all others are files or nothing.
fn has_page(workspace: &str) -> bool {
    workspace.contains('-')
        && workspace
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_|@.".contains(&byte))
}

async fn portal(node: Data<Node>) -> Result<HttpResponse, HttpError> {
    let mut context = Context::new();
    context.insert("base_url", &node.config.server.base_url());
    page(INDEX, context)
}

/// The page of the login service.
async fn login(request: HttpRequest) -> HttpResponse {
    redirect("/public/apps/hypha-login/", request.query_string())
}

async fn to_workspace(request: HttpRequest, workspace: Path<String>) -> HttpResponse {
    if !has_page(&workspace) {
        return no_page(request.path());
    }
    redirect(&format!("/{workspace}/"), request.query_string())
}

async fn workspace(
    request: HttpRequest,
    workspace: Path<String>,
) -> Result<HttpResponse, HttpError> {
    if !has_page(&workspace) {
        return Ok(no_page(request.path()));
    }
    let mut context = Context::new();
    context.insert("workspace", workspace.as_str());
    context.insert("script", WORKSPACE_SCRIPT);
    page(WORKSPACE, context)
}

/// Renders a page. Scripts run by a nonce only, so markup that got in could do nothing.
pub(super) fn page(template: &str, mut context: Context) -> Result<HttpResponse, HttpError> {
    let nonce = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
    context.insert("nonce", &nonce);
    context.insert("style", STYLE);
    let html = Tera::one_off(template, &context, true)
        .map_err(|error| HttpError::Application(error.to_string()))?;
    let policy = format!(
        "default-src 'self'; script-src 'nonce-{nonce}' 'unsafe-eval'; style-src 'nonce-{nonce}'; \
         connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; \
         frame-ancestors 'self'"
    );
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .body(html))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_render_and_only_workspaces_have_one() {
        for (template, key) in [(INDEX, "base_url"), (WORKSPACE, "workspace")] {
            let mut context = Context::new();
            context.insert(key, "x\"><script>");
            context.insert("script", WORKSPACE_SCRIPT);
            assert_eq!(page(template, context).unwrap().status(), 200);
        }
        assert!(has_page("ws-user-a") && has_page("ws-user-github|1"));
        assert!(!has_page("public") && !has_page("a-b\"<"));
    }
}
