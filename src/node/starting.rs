//! The part of the start that waits for the operator's own functions.

use std::time::Duration;

use super::{Node, NodeError};
use crate::startup::{RunFunction, Runner};

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
    }
    Ok(())
}

/// A worker of the reference that is built in here.
fn note_built_in(node: &Node, text: &str, worker: &str) {
    let server = node.directory.router.server_id();
    let id = format!("{}/{server}:{worker}", crate::workspace::PUBLIC);
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
