//! `/admin`: what runs on this server, for its administrators.

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value as Json, json};

use super::{HttpError, caller};
use crate::node::{Counts, Node};
use crate::supervision::{GetTree, TreeNode};
use crate::wire::Value;

pub fn routes(config: &mut ServiceConfig) {
    config
        .route("/apps", web::get().to(apps))
        .route("/sessions", web::get().to(sessions))
        .route("/workers", web::get().to(workers))
        .route("/tree", web::get().to(tree))
        .route("/counts", web::get().to(counts));
}

/// Every installed app with its workspace.
async fn apps(request: HttpRequest, node: Data<Node>) -> Result<HttpResponse, HttpError> {
    let user = caller::admin(&request, &node)?;
    let mut listed = Vec::new();
    if let Some(host) = &node.apps {
        let installed = host
            .store
            .installed()
            .await
            .map_err(crate::peer::ServiceError::from)?;
        let mut workspaces: Vec<String> = installed.into_iter().map(|(ws, _)| ws).collect();
        workspaces.sort();
        workspaces.dedup();
        for workspace in workspaces {
            for mut app in host.list_apps(&workspace, &user).await? {
                let running = host
                    .sessions
                    .of_app(&workspace, app["id"].as_str().unwrap_or_default());
                app["workspace"] = workspace.clone().into();
                app["running"] = running.len().into();
                if let Some(fields) = app.as_object_mut() {
                    fields.remove("startup_context");
                }
                listed.push(app);
            }
        }
    }
    Ok(HttpResponse::Ok().json(listed))
}

/// Every session, living or ended not long ago, with its history.
async fn sessions(request: HttpRequest, node: Data<Node>) -> Result<HttpResponse, HttpError> {
    caller::admin(&request, &node)?;
    let listed: Vec<Json> = node
        .apps
        .iter()
        .flat_map(|host| host.sessions.all())
        .map(|entry| Value::Map(entry.info()).to_json())
        .collect();
    Ok(HttpResponse::Ok().json(listed))
}

async fn workers(request: HttpRequest, node: Data<Node>) -> Result<HttpResponse, HttpError> {
    caller::admin(&request, &node)?;
    let listed: Vec<Json> = node
        .apps
        .iter()
        .flat_map(|host| host.workers.all().into_iter().map(move |info| (host, info)))
        .map(|(host, info)| {
            json!({
                "id": info.id,
                "name": info.name,
                "description": info.description,
                "supported_types": info.supported_types,
                "workspace": info.workspace,
                "built_in": info.client.is_none(),
                "disabled": host.workers.is_disabled(&info.id),
                "sessions": host.workers.sessions(&info.id),
                "health": host.workers.get(&info.id).map(|worker| worker.health()),
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(listed))
}

/// The supervision tree as it is now.
async fn tree(request: HttpRequest, node: Data<Node>) -> Result<HttpResponse, HttpError> {
    caller::admin(&request, &node)?;
    let tree = ask_tree(&node).await?;
    let connections = node.directory.router.count();
    let mut tree = serde_json::to_value(tree.named("node", "node")).unwrap_or_default();
    tree["detail"] =
        json!({ "connections": connections, "services": node.directory.registry.len() });
    Ok(HttpResponse::Ok().json(tree))
}

/// How many of everything there are: what a leak would show in.
async fn counts(request: HttpRequest, node: Data<Node>) -> Result<HttpResponse, HttpError> {
    caller::admin(&request, &node)?;
    let actors = ask_tree(&node).await?.count();
    Ok(HttpResponse::Ok().json(Counts::take(&node, actors)))
}

async fn ask_tree(node: &Node) -> Result<TreeNode, HttpError> {
    let unavailable = || HttpError::Unavailable("The supervision tree does not answer".into());
    let root = node.tree.get().ok_or_else(unavailable)?;
    root.send(GetTree::default())
        .await
        .map_err(|_| unavailable())
}
