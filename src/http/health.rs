//! `/health`: whether the process lives and whether it serves.

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use serde_json::json;

use crate::node::Node;

pub fn routes(config: &mut ServiceConfig) {
    let readiness = web::resource("/readiness")
        .route(web::get().to(ready))
        .route(web::head().to(ready));
    let liveness = web::resource("/liveness")
        .route(web::get().to(alive))
        .route(web::head().to(alive));
    config.service(readiness).service(liveness);
}

async fn ready(node: Data<Node>) -> impl Responder {
    if node.is_ready() {
        let detail = json!({ "store": "ready", "event_bus": "ready" });
        return HttpResponse::Ok().json(json!({ "status": "OK", "detail": detail }));
    }
    HttpResponse::ServiceUnavailable()
        .json(json!({ "status": "DOWN", "detail": "starting or stopping" }))
}

/// Answering at all is the sign of life: the connection threads and the runtime work.
async fn alive(node: Data<Node>) -> impl Responder {
    let detail = json!({ "clients": node.directory.router.count() });
    HttpResponse::Ok().json(json!({ "status": "OK", "detail": detail }))
}
