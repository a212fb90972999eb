//! Documents for AI agents: `/{workspace}/agent-skills/…` and `/ws/agent-skills/…` (http.md 11).

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, HeaderValue};
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde_json::json;

use super::services::redirect;
use super::{HttpError, caller};
use crate::config::Server as ServerConfig;
use crate::identity::{Level, UserInfo};
use crate::node::Node;
use crate::skills::{Book, Catalog, Facts, Page, PageError, WorkspaceFacts};
use crate::workspace::{PUBLIC, WorkspaceError};

pub fn routes(config: &mut ServiceConfig, server: &ServerConfig) {
    if server.disable_agent_skills {
        return;
    }
    let resource = |path: &str| {
        web::resource(path).route(web::method(actix_web::http::Method::OPTIONS).to(preflight))
    };
    let to_index = web::get().to(to_index);
    config
        .service(
            resource("/ws/agent-skills/{path:.*}")
                .route(web::get().to(global))
                .route(web::head().to(global)),
        )
        .service(
            resource("/{workspace}/agent-skills/{path:.*}")
                .route(web::get().to(of_workspace))
                .route(web::head().to(of_workspace)),
        )
        .route("/{workspace}/agent-skills", to_index);
}

async fn to_index(request: HttpRequest, workspace: Path<String>) -> HttpResponse {
    redirect(
        &format!("/{workspace}/agent-skills/"),
        request.query_string(),
    )
}

async fn preflight() -> HttpResponse {
    open(&mut HttpResponse::NoContent()).finish()
}

/// The documents of the server as a whole. They are the same for everybody.
async fn global(path: Path<String>, node: Data<Node>) -> Result<HttpResponse, HttpError> {
    let everybody = UserInfo::http_anonymous();
    let mut catalog = Catalog::of(&node.directory, PUBLIC, &everybody).await?;
    catalog.public.clear();
    let facts = Facts::global(&node.config);
    answer(&path, &Book::new(facts, catalog, None))
}

/// The documents of a workspace, for the caller: they show what the caller may see.
async fn of_workspace(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, path) = path.into_inner();
    let user = caller::in_workspace(&request, &node, &workspace)?.user;
    if user.is_anonymous && !user.allows(&workspace, Level::Read) && workspace != PUBLIC {
        return Ok(who_are_you(&workspace, &node.config.server.base_url()));
    }
    let info = node.directory.get(&workspace).ok_or_else(|| {
        HttpError::NotFound(WorkspaceError::NotFound(workspace.clone()).to_string())
    })?;
    let catalog = Catalog::of(&node.directory, &workspace, &user).await?;
    let mut known = WorkspaceFacts::of(&info, &user);
    if let Some(host) = &node.apps
        && user.allows(&workspace, Level::Read)
    {
        known = known.with_apps(&host.list_apps(&workspace, &user).await?);
    }
    let facts = Facts::of_workspace(&node.config, &workspace);
    answer(&path, &Book::new(facts, catalog, Some(&known)))
}

/// Whether the workspace exists is not told to strangers.
fn who_are_you(workspace: &str, base_url: &str) -> HttpResponse {
    open(&mut HttpResponse::Unauthorized()).json(json!({
        "error": "Authentication required",
        "message": format!(
            "The documents of workspace '{workspace}' need a valid token, as \"Authorization: \
             Bearer <token>\" or in the cookie access_token. Those of the server need none."
        ),
        "global_url": format!("{base_url}/ws/agent-skills/"),
        "public_url": format!("{base_url}/public/agent-skills/"),
    }))
}

fn answer(path: &str, book: &Book) -> Result<HttpResponse, HttpError> {
    let page = match book.page(path.trim_matches('/')) {
        Ok(page) => page,
        Err(error @ (PageError::Template(_) | PageError::Archive(_))) => {
            return Err(HttpError::Application(error.to_string()));
        }
        Err(error) => {
            return Ok(open(&mut HttpResponse::build(StatusCode::NOT_FOUND))
                .content_type("text/plain; charset=utf-8")
                .body(error.to_string()));
        }
    };
    let mut response = HttpResponse::Ok();
    let response = open(&mut response);
    response.insert_header((CACHE_CONTROL, HeaderValue::from_static("private, no-cache")));
    Ok(match page {
        Page::Index(index) => response.json(index),
        Page::Markdown(text) => response
            .content_type("text/markdown; charset=utf-8")
            .body(text),
        Page::Archive { name, bytes } => response
            .content_type("application/zip")
            .insert_header((
                CONTENT_DISPOSITION,
                format!("attachment; filename=\"{name}\""),
            ))
            .body(bytes),
    })
}

/// Pages from anywhere may read the documents, with a token that they have themselves: cookies of
/// a visitor open nothing to them.
fn open(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"))
        .insert_header((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type",
        ))
}
