//! The working folder of a session: the files of its app.

use std::path::{Path, PathBuf};

use crate::apps::store::{AppStore, VersionSelector};
use crate::peer::ServiceError;
use crate::workers::StartOrder;

/// Folder of all working folders, in the data folder.
const WORK: &str = "work";

/// A folder that goes with its last owner.
pub struct Folder(PathBuf);

impl Folder {
    /// Writes the files of the version that `order` names into a fresh folder.
    ///
    /// # Errors
    /// The store or the disk fails.
    pub async fn fill(
        data_dir: &Path,
        store: &AppStore,
        order: &StartOrder,
    ) -> Result<Self, ServiceError> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let path =
            std::path::absolute(data_dir.join(WORK).join(name)).map_err(|error| failed(&error))?;
        tokio::fs::create_dir_all(&path)
            .await
            .map_err(|error| failed(&error))?;
        let folder = Folder(path);
        let selector = VersionSelector::Label(order.version.clone());
        let (workspace, app) = (&order.workspace, &order.app_id);
        // A session of a trial goes on after its stage became a version.
        let files = match store.files(workspace, app, &selector).await {
            Ok(files) => files,
            Err(_) => {
                let current = VersionSelector::Current;
                store.files(workspace, app, &current).await?
            }
        };
        for (file, ..) in files {
            let content = store.file(workspace, app, &order.version, &file).await?;
            folder.write(&file, &content).await?;
        }
        Ok(folder)
    }

    /// Paths of apps are relative and stay inside; that was checked when they were installed.
    async fn write(&self, file: &str, content: &[u8]) -> Result<(), ServiceError> {
        let target = self.0.join(file);
        if let Some(parent) = target.parent() {
            tokio::fs::create_dir_all(parent)
                .await
                .map_err(|error| failed(&error))?;
        }
        tokio::fs::write(&target, content)
            .await
            .map_err(|error| failed(&error))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes what earlier servers left.
    pub fn sweep(data_dir: &Path) {
        let work = data_dir.join(WORK);
        if work.exists()
            && let Err(error) = std::fs::remove_dir_all(&work)
        {
            tracing::warn!(%error, "old working folders stay");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A few files at most, and nobody waits for it.
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, folder = %self.0.display(), "a working folder stays");
        }
    }
}

fn failed(error: &std::io::Error) -> ServiceError {
    ServiceError::runtime(format!("the working folder cannot be made: {error}"))
}
