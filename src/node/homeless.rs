//! Artifacts and files whose workspace is gone: they go with it, also when a crash comes between.

use std::sync::Arc;
use std::time::Duration;

use crate::artifacts::ArtifactStore;
use crate::artifacts::store::ArtifactError;
use crate::supervision::spawn_detached;
use crate::workspace::Directory;

/// How the names of workspaces begin that exist while their anonymous user is connected.
const ANONYMOUS: &str = "ws-user-anonymouz-";
/// How long after a start an anonymous user may take to come back.
const RETURN: Duration = Duration::from_secs(300);

/// Removes what deleted workspaces have: of those that are deleted from now on, and of those that a
/// crash left half deleted. These are done when it returns, so that nobody who makes a workspace of
/// the same name finds them.
///
/// # Errors
/// The store failed.
pub(super) fn watch(
    artifacts: &ArtifactStore,
    directory: &Arc<Directory>,
) -> Result<(), ArtifactError> {
    let store = artifacts.clone();
    directory.when_gone(Box::new(move |workspace| {
        spawn_detached("forget artifacts", forget(store.clone(), workspace.into()));
    }));
    let mut waiting = Vec::new();
    for workspace in artifacts.workspaces().map_err(ArtifactError::from)? {
        if directory.exists(&workspace) {
            continue;
        }
        match workspace.starts_with(ANONYMOUS) {
            true => waiting.push(workspace),
            false => artifacts.forget_workspace_now(&workspace)?,
        }
    }
    if waiting.is_empty() {
        return Ok(());
    }
    let (store, directory) = (artifacts.clone(), directory.clone());
    spawn_detached("forget artifacts of anonymous users", async move {
        directory.clock.sleep(RETURN).await;
        for workspace in waiting {
            if !directory.exists(&workspace) {
                forget(store.clone(), workspace).await;
            }
        }
    });
    Ok(())
}

async fn forget(store: ArtifactStore, workspace: String) {
    if let Err(error) = store.forget_workspace(&workspace).await {
        tracing::error!(workspace, %error, "files of a deleted workspace stay");
    }
}
