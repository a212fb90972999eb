//! Artifacts: records, versions, what waits to be committed, and who may do what.
//!
//! Each version has a directory of files whose number never changes. A stage has a directory of its
//! own: empty for a new version, a copy of the names (no bytes) when the last version is edited. A
//! commit makes it the version's directory in one batch, so readers see the old version or the new
//! one, and a crash in between leaves the stage as it was.

mod access;
mod changes;
mod commit;
mod create;
mod delete;
mod edit;
mod error;
mod files;
mod index;
mod landing;
mod record;
mod versions;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

pub use access::{check, check_parent, granted};
pub use create::{Copying, Creation};
pub use delete::Deletion;
pub use edit::Edit;
pub use error::ArtifactError;
pub use files::{Place, Wish};
pub use index::Index;
pub use record::{Artifact, Draft, SEPARATOR, StagedFile, Version, key};
pub use view::Sight;

use crate::identity::UserInfo;
use crate::store::{Store, StoreError, Tree};

use super::objects::{Objects, Pin};

pub(crate) type Fields = serde_json::Map<String, serde_json::Value>;

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct ArtifactStore {
    inner: Arc<Inner>,
}

/// What the work on the trees needs.
pub struct Inner {
    store: Store,
    pub(super) objects: Objects,
    records: Tree<Artifact>,
    /// Manifests of committed versions, and under keys of their own their configurations.
    manifests: Tree<Fields>,
    index: Index,
    /// Held while a record is read, changed and written.
    writing: Arc<Mutex<()>>,
}

impl ArtifactStore {
    /// Opens the trees. The lock is shared with who else writes records.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open(
        store: Store,
        objects: Objects,
        writing: Arc<Mutex<()>>,
    ) -> Result<Self, StoreError> {
        let records = store.tree("artifacts")?;
        Ok(ArtifactStore {
            inner: Arc::new(Inner {
                index: Index::open(&store, &records)?,
                records,
                manifests: store.tree("artifact_versions")?,
                objects,
                writing,
                store,
            }),
        })
    }

    /// The files.
    pub fn objects(&self) -> &Objects {
        &self.inner.objects
    }

    /// The workspaces that have artifacts or files of their own.
    ///
    /// # Errors
    /// The store failed.
    pub fn workspaces(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut found: BTreeSet<String> =
            self.inner.records.heads(SEPARATOR)?.into_iter().collect();
        found.extend(self.inner.objects.workspace_files().heads('/')?);
        Ok(found)
    }

    /// Removes all artifacts and files of a workspace.
    ///
    /// # Errors
    /// The store failed.
    pub async fn forget_workspace(&self, workspace: &str) -> Result<(), ArtifactError> {
        let name = workspace.to_owned();
        self.remove(move |inner, _| inner.delete_all(&name)).await
    }

    /// As [`ArtifactStore::forget_workspace`], while nobody uses the store yet.
    ///
    /// # Errors
    /// The store failed.
    pub fn forget_workspace_now(&self, workspace: &str) -> Result<(), ArtifactError> {
        self.inner.delete_all(workspace)
    }

    /// Whether a directory has a file.
    ///
    /// # Errors
    /// The store failed.
    pub async fn has_file(&self, id: &str, dir: u32, path: &str) -> Result<bool, ArtifactError> {
        let at = super::objects::file_key(id, dir, path);
        self.read(move |inner| Ok(inner.objects.files().contains(&at)?))
            .await
    }

    /// Runs work that reads away from the caller's thread.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<R, ArtifactError> + Send + 'static,
    ) -> Result<R, ArtifactError> {
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.map_err(|error| super::objects::ObjectError::Interrupted(error.to_string()))?
    }

    /// Runs work that changes records; nobody else changes them meanwhile, and what it wrote is
    /// durable when it returns.
    ///
    /// # Errors
    /// Those of the work, or the disk is full.
    pub async fn change<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &Pin) -> Result<R, ArtifactError> + Send + 'static,
    ) -> Result<R, ArtifactError> {
        self.read(|inner| Ok(inner.store.check_room()?)).await?;
        self.remove(work).await
    }

    /// As [`ArtifactStore::change`], also when the disk is full: for work that makes room.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn remove<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &Pin) -> Result<R, ArtifactError> + Send + 'static,
    ) -> Result<R, ArtifactError> {
        let pin = self.inner.objects.pin().await;
        let result = self
            .read(move |inner| {
                let _writing = inner.writing.lock();
                work(inner, &pin)
            })
            .await?;
        self.inner.objects.durable().await?;
        Ok(result)
    }
}

impl Artifact {
    /// `workspace/alias`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.workspace, self.alias)
    }
}

impl Inner {
    pub(super) fn now(&self) -> i64 {
        self.objects.now() as i64
    }

    /// The artifact that a UUID, `workspace/alias`, or an alias in a workspace names.
    ///
    /// # Errors
    /// There is none, or the store failed.
    pub fn find(&self, workspace: &str, id: &str) -> Result<Artifact, ArtifactError> {
        if let Ok(uuid) = uuid::Uuid::try_parse(id) {
            let found = self.by_uuid(&uuid.to_string())?;
            return found
                .filter(Artifact::is_visible)
                .ok_or_else(|| ArtifactError::NotFound(id.to_owned()));
        }
        let (workspace, alias) = id.split_once('/').unwrap_or((workspace, id));
        let found = self.records.get(&key(workspace, alias))?;
        let missing = match id.contains('/') {
            true => ArtifactError::NotFound,
            false => ArtifactError::NotHere,
        };
        found
            .filter(Artifact::is_visible)
            .ok_or_else(|| missing(format!("{workspace}/{alias}")))
    }

    /// The artifact of a UUID.
    ///
    /// # Errors
    /// The store failed.
    pub fn by_uuid(&self, id: &str) -> Result<Option<Artifact>, ArtifactError> {
        match self.index.at(id)? {
            Some(at) => Ok(self.records.get(&at)?.filter(|found| found.id == id)),
            None => Ok(None),
        }
    }

    /// The collection that an artifact is in; none when that is gone.
    ///
    /// # Errors
    /// The store failed.
    pub fn parent(&self, artifact: &Artifact) -> Result<Option<Artifact>, ArtifactError> {
        match &artifact.parent_id {
            Some(id) => self.by_uuid(id),
            None => Ok(None),
        }
    }

    /// What is in a collection.
    ///
    /// # Errors
    /// The store failed.
    pub fn children(&self, parent: &Artifact) -> Result<Vec<Artifact>, ArtifactError> {
        let mut found = Vec::new();
        for at in self.index.children(&parent.id)? {
            found.extend(self.records.get(&at)?.filter(Artifact::is_visible));
        }
        Ok(found)
    }

    /// All artifacts of a workspace.
    ///
    /// # Errors
    /// The store failed.
    pub fn all_in(&self, workspace: &str) -> Result<Vec<Artifact>, ArtifactError> {
        let found = self.records.scan_prefix(&key(workspace, ""))?;
        let found = found.into_iter().map(|(_, artifact)| artifact);
        Ok(found.filter(Artifact::is_visible).collect())
    }

    /// An artifact that a user may work on.
    ///
    /// # Errors
    /// There is none, or it is not allowed.
    pub fn allowed(
        &self,
        workspace: &str,
        id: &str,
        user: &UserInfo,
        operation: &'static str,
    ) -> Result<Artifact, ArtifactError> {
        let artifact = self.find(workspace, id)?;
        let parent = self.parent(&artifact)?;
        check(&artifact, parent.as_ref(), user, operation)?;
        Ok(artifact)
    }
}

impl Artifact {
    /// All directories with its files.
    pub fn dirs(&self) -> impl Iterator<Item = u32> {
        let drafts = self.staging.iter().chain(&self.pending);
        let versions = self.versions.iter().map(|version| version.dir);
        versions.chain(drafts.map(|draft| draft.dir))
    }

    /// Whether it is more than an install that is being tried.
    fn is_visible(&self) -> bool {
        self.manifest.is_some()
            || self.staging.is_some()
            || !self.versions.is_empty()
            || self.pending.is_none()
    }
}
