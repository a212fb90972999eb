//! The part of the start that waits for the operator's own functions.

use std::time::Duration;

use super::{Node, NodeError};
use crate::startup::{RunFunction, Runner};
use crate::workspace::PUBLIC;

/// Id of the login service.
const LOGIN: &str = "hypha-login";
/// The tree comes up beside the start; how long that may take.
const TREE_UP: Duration = Duration::from_secs(5);

/// Runs the startup functions one after the other; the first failure ends it.
pub(super) async fn run_startup_functions(node: &Node) -> Result<(), NodeError> {
    for entry in &node.startup.entries {
        if let Runner::BuiltIn(worker) = entry.runner {
            note_built_in(node, &entry.text, worker);
            continue;
        }
        let deadline = tokio::time::Instant::now() + TREE_UP;
        while !node.startup.slot.is_up() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let run = node.startup.slot.send(RunFunction(entry.clone()));
        let outcome = run
            .await
            .unwrap_or_else(|_| Err("its supervisor is restarting".into()));
        outcome.map_err(NodeError::Startup)?;
        yield_login(node);
    }
    Ok(())
}

/// A login service of the operator's takes the place of ours, which stays reachable for it.
fn yield_login(node: &Node) {
    let registry = &node.directory.registry;
    let own = node.directory.router.server_id();
    let theirs = registry
        .list(PUBLIC)
        .iter()
        .any(|service| service.name == LOGIN && service.client != own);
    if theirs && registry.remove(PUBLIC, own, LOGIN).is_some() {
        tracing::info!("a startup function brings its own login service");
    }
}

/// A worker of the reference that is built in here.
fn note_built_in(node: &Node, text: &str, worker: &str) {
    let server = node.directory.router.server_id();
    let id = format!("{PUBLIC}/{server}:{worker}");
    let offered = node
        .apps
        .as_ref()
        .is_some_and(|apps| apps.workers.get(&id).is_some());
    if offered {
        tracing::info!("startup function {text}: served by the built-in worker {worker}");
    } else {
        tracing::warn!("startup function {text}: the built-in worker {worker} is switched off");
    }
}
