//! `/health`: whether the process lives, whether it serves, and how it is (http.md 2).

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use serde_json::json;

use crate::metrics::machine;
use crate::node::Node;
use crate::workspace::iso_time::format_iso;

/// Resident memory above this costs points, in bytes.
const MUCH_MEMORY: u64 = 2 * 1024 * 1024 * 1024;
/// Connections on their way out that are no cause for worry.
const FEW_LEAVING: usize = 10;

pub fn routes(config: &mut ServiceConfig) {
    let whole = web::resource("")
        .route(web::get().to(diagnosis))
        .route(web::head().to(diagnosis));
    let readiness = web::resource("/readiness")
        .route(web::get().to(ready))
        .route(web::head().to(ready));
    let liveness = web::resource("/liveness")
        .route(web::get().to(alive))
        .route(web::head().to(alive));
    config.service(whole).service(readiness).service(liveness);
}

async fn ready(node: Data<Node>) -> impl Responder {
    let down = |reason: &str| {
        HttpResponse::ServiceUnavailable().json(json!({ "status": "DOWN", "detail": reason }))
    };
    if !node.is_ready() {
        return down("starting or stopping");
    }
    if let Err(error) = node.directory.check_store() {
        tracing::error!(%error, "the store cannot be read");
        return down("the store cannot be read");
    }
    let detail = json!({ "store": "ready", "event_bus": "ready" });
    HttpResponse::Ok().json(json!({ "status": "OK", "detail": detail }))
}

/// Answering at all is the sign of life: the connection threads and the runtime work.
async fn alive(node: Data<Node>) -> impl Responder {
    let detail = json!({ "clients": node.directory.router.count() });
    HttpResponse::Ok().json(json!({ "status": "OK", "detail": detail }))
}

/// What is wrong, and what is left of 100 points.
fn assess(node: &Node, resident: u64, leaving: usize) -> (i64, Vec<String>) {
    let (mut score, mut issues) = (100, Vec::new());
    let mut issue = |points: i64, text: String| {
        score -= points;
        issues.push(text);
    };
    if let Err(error) = node.directory.check_store() {
        tracing::error!(%error, "the store cannot be read");
        issue(50, "The store cannot be read".into());
    }
    if !node.is_ready() {
        issue(50, "Starting or stopping".into());
    }
    if resident > MUCH_MEMORY {
        issue(20, "High memory usage (>2GB)".into());
    }
    if leaving > FEW_LEAVING {
        issue(5, format!("{leaving} connections are closed but not gone"));
    }
    (score, issues)
}

async fn diagnosis(node: Data<Node>) -> impl Responder {
    let (router, peer) = (&node.directory.router, &node.directory.peer);
    let clients = router.all();
    let leaving = clients
        .iter()
        .filter(|client| client.mailbox.is_closed())
        .count();
    let memory = machine::memory();
    let (score, issues) = assess(&node, memory.resident, leaving);
    let (status, code) = match score {
        80.. => ("HEALTHY", StatusCode::OK),
        60..80 => ("WARNING", StatusCode::OK),
        _ => ("CRITICAL", StatusCode::SERVICE_UNAVAILABLE),
    };
    let megabytes = |bytes: u64| hundredths(bytes as f64 / (1024.0 * 1024.0));
    let memory_percent = hundredths(machine::memory_percent());
    let (created, active) = (router.established(), clients.len() as u64);
    HttpResponse::build(code).json(json!({
        "timestamp": format!("{}Z", format_iso(node.clock.unix())),
        "status": status,
        "health_score": score,
        "issues": issues,
        "memory": {
            "rss_mb": megabytes(memory.resident),
            "vms_mb": megabytes(memory.mapped),
            "percent": memory_percent,
        },
        "connections": {
            "active": active,
            "total_created": created,
            "total_closed": created.saturating_sub(active),
            "orphaned": leaving,
        },
        "objects": {
            "rpc_objects": peer.waiting_calls(),
            "connection_objects": active,
        },
        // Events are delivered inside the process: there is nothing that could break.
        "event_bus": { "circuit_breaker_open": false, "consecutive_failures": 0 },
        "system": {
            "memory_percent": memory_percent,
            "disk_usage": hundredths(machine::disk_percent(&node.config.server.data_dir)),
            "load_average": machine::load_average(),
        },
        "uptime_seconds": hundredths(node.clock.now().as_secs_f64()),
    }))
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
