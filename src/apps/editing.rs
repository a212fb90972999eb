//! Changing installed apps: edits of the stage, switching off, going back (server-apps.md 1.2).

use bytes::Bytes;

use super::host::Host;
use super::store::{ManifestEdit, VersionSelector};
use crate::map;
use crate::peer::ServiceError;
use crate::wire::Value;

impl Host {
    /// Stages an edit of the manifest, and switches the app off or on at once.
    ///
    /// # Errors
    /// There is no such app, or the edit is not possible.
    pub async fn edit_app(
        &self,
        workspace: &str,
        app: &str,
        edit: ManifestEdit,
        disabled: Option<bool>,
    ) -> Result<(), ServiceError> {
        if !edit.is_empty() {
            let _one_at_a_time = self.installs.take(workspace, app).await;
            self.store.edit_manifest(workspace, app, edit).await?;
        }
        if let Some(disabled) = disabled {
            self.store.set_disabled(workspace, app, disabled).await?;
            if disabled {
                self.daemons.forget(workspace, app);
                self.end_sessions(workspace, app, None, "the app was disabled")
                    .await?;
            }
        }
        self.installs.tidy();
        Ok(())
    }

    /// Puts a file on the stage.
    ///
    /// # Errors
    /// There is no such app, or the store failed.
    pub async fn put_file(
        &self,
        workspace: &str,
        app: &str,
        path: String,
        content: Bytes,
    ) -> Result<(), ServiceError> {
        let _one_at_a_time = self.installs.take(workspace, app).await;
        Ok(self.store.put_file(workspace, app, path, content).await?)
    }

    /// Takes a file off the stage.
    ///
    /// # Errors
    /// There is no such app or file.
    pub async fn remove_file(
        &self,
        workspace: &str,
        app: &str,
        path: String,
    ) -> Result<(), ServiceError> {
        let _one_at_a_time = self.installs.take(workspace, app).await;
        Ok(self.store.remove_file(workspace, app, path).await?)
    }

    /// Makes another committed version the current one; its label. Sessions of the version that
    /// was current end, and daemons start again.
    ///
    /// # Errors
    /// There is no such app or version.
    pub async fn roll_back(
        &self,
        workspace: &str,
        app: &str,
        label: Option<String>,
    ) -> Result<String, ServiceError> {
        let _one_at_a_time = self.installs.take(workspace, app).await;
        let before = self
            .store
            .version(workspace, app, &VersionSelector::Current)
            .await?
            .label;
        let now = self.store.roll_back(workspace, app, label).await?;
        if now != before {
            self.announce_rollback(workspace, app, &before, &now, "by call");
            self.replace_sessions(workspace, app, "another version became current")
                .await?;
        }
        Ok(now)
    }

    /// Tells the workspace that another version is current.
    pub(super) fn announce_rollback(
        &self,
        workspace: &str,
        app: &str,
        from: &str,
        to: &str,
        cause: &str,
    ) {
        tracing::warn!(workspace, app, from, to, cause, "app rolled back");
        let data = map! {
            "app_id" => app,
            "workspace" => workspace,
            "from_version" => from,
            "to_version" => to,
            "cause" => cause,
        };
        let router = &self.directory.router;
        router.emit(workspace, "app_rolled_back", Value::Map(data));
    }
}
