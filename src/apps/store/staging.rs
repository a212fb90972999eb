//! Edits, versions and copies, as the rest of the server asks for them.

use bytes::Bytes;

use super::edits::{ManifestEdit, StageEdit};
use super::model::{AppListing, StoredFile, VersionInfo, key};
use super::{AppStore, AppStoreError, Fields};
use crate::identity::UserInfo;

impl AppStore {
    /// Whether anything holds this id: an app, its stage, or a collection.
    ///
    /// # Errors
    /// The store failed.
    pub async fn is_taken(&self, workspace: &str, app: &str) -> Result<bool, AppStoreError> {
        let key = key(workspace, app);
        self.blocking(move |inner| inner.is_taken(&key)).await
    }

    /// The apps of a workspace that are staged and were never committed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list_staged(&self, workspace: &str) -> Result<Vec<AppListing>, AppStoreError> {
        let prefix = key(workspace, "");
        self.blocking(move |inner| inner.list_staged(&prefix)).await
    }

    /// Changes the manifest on the stage; durable when it returns.
    ///
    /// # Errors
    /// There is no such app, the edit is not possible, or the store failed.
    pub async fn edit_manifest(
        &self,
        workspace: &str,
        app: &str,
        edit: ManifestEdit,
    ) -> Result<(), AppStoreError> {
        self.edit(workspace, app, StageEdit::Manifest(Box::new(edit)))
            .await
    }

    /// Puts a file on the stage; durable when it returns.
    ///
    /// # Errors
    /// There is no such app, or the store failed.
    pub async fn put_file(
        &self,
        workspace: &str,
        app: &str,
        path: String,
        content: Bytes,
    ) -> Result<(), AppStoreError> {
        let size = content.len() as u64;
        let blob = self.inner.objects.blobs().put(content).await?;
        let file = StoredFile { path, blob, size };
        self.edit(workspace, app, StageEdit::Put(file)).await
    }

    /// Takes a file off the stage; durable when it returns.
    ///
    /// # Errors
    /// There is no such app or file, or the store failed.
    pub async fn remove_file(
        &self,
        workspace: &str,
        app: &str,
        path: String,
    ) -> Result<(), AppStoreError> {
        self.edit(workspace, app, StageEdit::Remove(path)).await
    }

    async fn edit(&self, workspace: &str, app: &str, edit: StageEdit) -> Result<(), AppStoreError> {
        let (key, name) = (key(workspace, app), format!("{workspace}/{app}"));
        self.pinned(move |inner| inner.edit(&key, &name, edit))
            .await?;
        self.durable().await
    }

    /// The committed versions of an app, oldest first.
    ///
    /// # Errors
    /// There is no such app, or the store failed.
    pub async fn versions(
        &self,
        workspace: &str,
        app: &str,
    ) -> Result<Vec<VersionInfo>, AppStoreError> {
        let (key, name) = (key(workspace, app), format!("{workspace}/{app}"));
        self.blocking(move |inner| inner.versions(&key, &name))
            .await
    }

    /// Makes another committed version the current one, by default the one before; its label.
    ///
    /// # Errors
    /// There is no such app or version, or the store failed.
    pub async fn roll_back(
        &self,
        workspace: &str,
        app: &str,
        label: Option<String>,
    ) -> Result<String, AppStoreError> {
        let (key, name) = (key(workspace, app), format!("{workspace}/{app}"));
        let label = self
            .blocking(move |inner| inner.roll_back(&key, &name, label))
            .await?;
        self.durable().await?;
        Ok(label)
    }

    /// Goes back from a version that keeps crashing; the label of the version that is current now.
    /// None when it was not the current one, or there is nothing to go back to.
    ///
    /// # Errors
    /// There is no such app, or the store failed.
    pub async fn retire(
        &self,
        workspace: &str,
        app: &str,
        label: &str,
        cause: &str,
    ) -> Result<Option<String>, AppStoreError> {
        let (key, name) = (key(workspace, app), format!("{workspace}/{app}"));
        let (label, cause) = (label.to_owned(), cause.to_owned());
        let now = self
            .blocking(move |inner| inner.retire(&key, &name, &label, &cause))
            .await?;
        self.durable().await?;
        Ok(now)
    }

    /// Notes that a version has run well for a while.
    ///
    /// # Errors
    /// The store failed.
    pub async fn prove(
        &self,
        workspace: &str,
        app: &str,
        label: &str,
    ) -> Result<(), AppStoreError> {
        let (key, label) = (key(workspace, app), label.to_owned());
        self.blocking(move |inner| inner.prove(&key, &label)).await
    }

    /// Whether a version has run well for a while; unknown versions count as if they had.
    ///
    /// # Errors
    /// The store failed.
    pub async fn is_proven(
        &self,
        workspace: &str,
        app: &str,
        label: &str,
    ) -> Result<bool, AppStoreError> {
        let (key, label) = (key(workspace, app), label.to_owned());
        self.blocking(move |inner| inner.is_proven(&key, &label))
            .await
    }

    /// Changes the manifest of a committed version when `note` says that there is something to
    /// change; for the services that a start has shown.
    ///
    /// # Errors
    /// The store failed.
    pub async fn note_services(
        &self,
        workspace: &str,
        app: &str,
        label: &str,
        note: impl FnOnce(&mut Fields) -> bool + Send + 'static,
    ) -> Result<bool, AppStoreError> {
        let (key, label) = (key(workspace, app), label.to_owned());
        self.blocking(move |inner| inner.note_services(&key, &label, note))
            .await
    }

    /// Whether the collection an app is in, or the named collection itself, lets somebody carry out
    /// an operation (artifacts.md 5). Rights in the workspace are checked elsewhere.
    ///
    /// # Errors
    /// The store failed.
    pub async fn grants(
        &self,
        workspace: &str,
        alias: &str,
        user: &UserInfo,
        operation: &'static str,
    ) -> Result<bool, AppStoreError> {
        let (key, user) = (key(workspace, alias), user.clone());
        self.blocking(move |inner| inner.grants(&key, &user, operation))
            .await
    }
}
