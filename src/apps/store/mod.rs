//! Installed apps in the store: versions, a stage, files by content.
//!
//! An app is an artifact of type `application`, a child of the collection `applications` of its
//! workspace (artifacts.md 1 and 2). Edits wait in its stage, an install that is being tried in a
//! slot of its own. All files of a version are written before the one batch that makes them
//! visible, so a crash leaves the old version or the new one. An install that was not committed is
//! forgotten at the next start.

mod commits;
mod edits;
mod error;
mod model;
mod read;
mod removal;
mod slots;
mod staging;

use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashSet;
use parking_lot::Mutex;

pub use edits::ManifestEdit;
pub use error::AppStoreError;
pub use model::{
    AppListing, AppVersion, COLLECTION, NewFiles, Slot, StageRequest, StoredFile, VersionInfo,
    VersionSelector,
};

use crate::apps::files::AppFile;
use crate::artifacts::Objects;
use crate::artifacts::store::Index;
use crate::store::{Store, Tree};
use crate::supervision::SharedClock;
use model::{Artifact, Object, Ops, key};

type Fields = serde_json::Map<String, serde_json::Value>;

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct AppStore {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    objects: Objects,
    clock: SharedClock,
    artifacts: Tree<Artifact>,
    index: Index,
    /// Manifests of committed versions.
    manifests: Tree<Fields>,
    files: Tree<Object>,
    ops: Tree<Ops>,
    /// Keys of the apps that are switched off; what `ops` says, for questions that cannot wait.
    disabled: DashSet<String>,
    /// Held while a record is read, changed and written.
    writing: Arc<Mutex<()>>,
}

impl AppStore {
    /// Opens the trees and forgets installs that a crash interrupted. The lock is shared with who
    /// else writes records.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn open(
        store: Store,
        objects: Objects,
        clock: SharedClock,
        writing: Arc<Mutex<()>>,
    ) -> Result<Self, AppStoreError> {
        let ops: Tree<Ops> = store.tree("apps_ops")?;
        let disabled = DashSet::new();
        for entry in ops.iter() {
            let (key, switches) = entry?;
            if switches.disabled {
                disabled.insert(key);
            }
        }
        let artifacts = store.tree("artifacts")?;
        let opened = AppStore {
            inner: Arc::new(Inner {
                index: Index::open(&store, &artifacts)?,
                artifacts,
                manifests: store.tree("artifact_versions")?,
                files: objects.files().clone(),
                ops,
                disabled,
                writing,
                store,
                objects,
                clock,
            }),
        };
        opened.inner.forget_pending()?;
        opened.inner.forget_switches()?;
        Ok(opened)
    }

    /// Runs blocking work on the store away from the caller's thread.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<R, AppStoreError> + Send + 'static,
    ) -> Result<R, AppStoreError> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|error| AppStoreError::Failed(error.to_string()))?
    }

    async fn durable(&self) -> Result<(), AppStoreError> {
        Ok(self.inner.store.durable().await?)
    }

    /// Puts an app into a slot: its files are stored, and nothing that is committed changes.
    ///
    /// # Errors
    /// The id is taken, or the store failed.
    pub async fn fill(&self, request: StageRequest) -> Result<(), AppStoreError> {
        let mut request = request;
        let stored = match &mut request.files {
            NewFiles::Contents(files) => self.keep(std::mem::take(files)).await?,
            NewFiles::CopyOf { .. } => Vec::new(),
        };
        self.pinned(move |inner| inner.fill(request, stored))
            .await?;
        self.durable().await
    }

    /// As [`AppStore::blocking`], for work that copies entries of files: no content is taken away
    /// meanwhile.
    async fn pinned<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<R, AppStoreError> + Send + 'static,
    ) -> Result<R, AppStoreError> {
        let pin = self.inner.objects.pin().await;
        self.blocking(move |inner| {
            let done = work(inner);
            drop(pin);
            done
        })
        .await
    }

    async fn keep(&self, files: Vec<AppFile>) -> Result<Vec<StoredFile>, AppStoreError> {
        let mut stored = Vec::with_capacity(files.len());
        for file in files {
            let size = file.content.len() as u64;
            let blob = self.inner.objects.blobs().put(file.content).await?;
            stored.push(StoredFile {
                path: file.path,
                blob,
                size,
            });
        }
        Ok(stored)
    }

    /// Makes what is in a slot the newest and current version; its label, durable when it returns.
    ///
    /// # Errors
    /// Nothing is in the slot, the label is not possible, or the store failed.
    pub async fn commit(
        &self,
        workspace: &str,
        app: &str,
        slot: Slot,
        manifest: Fields,
        label: Option<String>,
    ) -> Result<String, AppStoreError> {
        let key = key(workspace, app);
        let label = self
            .blocking(move |inner| inner.commit(&key, slot, manifest, label))
            .await?;
        self.durable().await?;
        Ok(label)
    }

    /// Drops what is in a slot. An app that was never committed goes with it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn discard(
        &self,
        workspace: &str,
        app: &str,
        slot: Slot,
    ) -> Result<(), AppStoreError> {
        let key = key(workspace, app);
        self.blocking(move |inner| inner.discard(&key, slot))
            .await?;
        self.durable().await
    }

    /// Removes an app, or only its stage when it has both (server-apps.md 1.4). True when the app
    /// is gone.
    ///
    /// # Errors
    /// There is no such app, or the store failed.
    pub async fn uninstall(&self, workspace: &str, app: &str) -> Result<bool, AppStoreError> {
        let key = key(workspace, app);
        let name = format!("{workspace}/{app}");
        let gone = self
            .blocking(move |inner| inner.uninstall(&key, &name))
            .await?;
        self.durable().await?;
        Ok(gone)
    }

    /// Forgets the switches of all apps of a workspace. Their artifacts go with all others of it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_workspace(&self, workspace: &str) -> Result<(), AppStoreError> {
        let prefix = key(workspace, "");
        self.blocking(move |inner| inner.forget_all_switches(&prefix))
            .await?;
        self.durable().await
    }

    /// Forgets the switches of an app whose artifact is gone.
    ///
    /// # Errors
    /// The store failed.
    pub async fn forget(&self, workspace: &str, app: &str) -> Result<(), AppStoreError> {
        let key = key(workspace, app);
        self.blocking(move |inner| inner.forget(&key)).await?;
        self.durable().await
    }

    /// Workspace and id of every committed app.
    ///
    /// # Errors
    /// The store failed.
    pub async fn installed(&self) -> Result<Vec<(String, String)>, AppStoreError> {
        self.blocking(Inner::installed).await
    }

    /// The committed apps of a workspace.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list(&self, workspace: &str) -> Result<Vec<AppListing>, AppStoreError> {
        let prefix = key(workspace, "");
        self.blocking(move |inner| inner.list(&prefix)).await
    }

    /// Whether an app of this id was committed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn exists(&self, workspace: &str, app: &str) -> Result<bool, AppStoreError> {
        let key = key(workspace, app);
        self.blocking(move |inner| inner.exists(&key)).await
    }

    /// One version of an app.
    ///
    /// # Errors
    /// There is no such app or version.
    pub async fn version(
        &self,
        workspace: &str,
        app: &str,
        selector: &VersionSelector,
    ) -> Result<AppVersion, AppStoreError> {
        let (key, name) = (key(workspace, app), format!("{workspace}/{app}"));
        let selector = selector.clone();
        self.blocking(move |inner| inner.version(&key, &name, &selector))
            .await
    }

    /// The artifact record of an app, as `get_app_info` returns it.
    ///
    /// # Errors
    /// There is no such app or version.
    pub async fn record(
        &self,
        workspace: &str,
        app: &str,
        selector: &VersionSelector,
    ) -> Result<serde_json::Value, AppStoreError> {
        let (key, name) = (key(workspace, app), format!("{workspace}/{app}"));
        let selector = selector.clone();
        self.blocking(move |inner| inner.record(&key, &name, &selector))
            .await
    }

    /// A file of one version.
    ///
    /// # Errors
    /// There is no such app, version or file.
    pub async fn file(
        &self,
        workspace: &str,
        app: &str,
        label: &str,
        path: &str,
    ) -> Result<Bytes, AppStoreError> {
        let (key, name) = (key(workspace, app), format!("{workspace}/{app}"));
        let (label, path) = (label.to_owned(), path.to_owned());
        let blob = self
            .blocking(move |inner| inner.blob_of(&key, &name, &label, &path))
            .await?;
        Ok(self.inner.objects.blobs().get(&blob).await?)
    }

    /// Path, size and time (seconds since 1970) of the files of one version.
    ///
    /// # Errors
    /// There is no such app or version.
    pub async fn files(
        &self,
        workspace: &str,
        app: &str,
        selector: &VersionSelector,
    ) -> Result<Vec<(String, u64, f64)>, AppStoreError> {
        let (key, name) = (key(workspace, app), format!("{workspace}/{app}"));
        let selector = selector.clone();
        self.blocking(move |inner| inner.files(&key, &name, &selector))
            .await
    }

    /// Whether an app is switched off.
    pub fn is_disabled(&self, workspace: &str, app: &str) -> bool {
        self.inner.disabled.contains(&key(workspace, app))
    }

    /// Switches an app off or on; durable when it returns.
    ///
    /// # Errors
    /// There is no such app, or the store failed.
    pub async fn set_disabled(
        &self,
        workspace: &str,
        app: &str,
        disabled: bool,
    ) -> Result<(), AppStoreError> {
        let (key, name) = (key(workspace, app), format!("{workspace}/{app}"));
        self.blocking(move |inner| inner.set_disabled(&key, &name, disabled))
            .await?;
        self.durable().await
    }
}

#[cfg(test)]
mod tests;
