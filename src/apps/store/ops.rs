//! The changes, each one batch.

use uuid::Uuid;

use super::model::{
    Artifact, FileEntry, KEPT_VERSIONS, STAGE, StageRequest, Staging, Version, dir_key, file_key,
    key,
};
use super::{AppStoreError, Fields, Inner};
use crate::artifacts::BlobId;
use crate::store::Batch;

/// Collection that all apps of a workspace belong to.
const COLLECTION: &str = "applications";

impl Inner {
    fn now(&self) -> f64 {
        self.clock.unix()
    }

    /// Adds the removal of a version's files to a batch.
    fn drop_dir(&self, batch: &mut Batch, id: &str, dir: u32) -> Result<(), AppStoreError> {
        let prefix = dir_key(id, dir);
        for key in self.files.keys(&prefix)? {
            batch.remove(&self.files, &key);
        }
        batch.remove(&self.manifests, &prefix);
        Ok(())
    }

    fn fresh(&self, request: &StageRequest) -> Artifact {
        let now = self.now() as i64;
        let mut permissions = Fields::new();
        permissions.insert(request.created_by.clone(), "*".into());
        let mut config = Fields::new();
        config.insert("permissions".into(), permissions.into());
        Artifact {
            id: Uuid::now_v7().to_string(),
            workspace: request.workspace.clone(),
            alias: request.app.clone(),
            kind: "application".into(),
            parent: Some(COLLECTION.into()),
            manifest: None,
            staging: None,
            versions: Vec::new(),
            next_dir: 0,
            config,
            download_count: 0.0,
            view_count: 0.0,
            file_count: 0,
            created_at: now,
            last_modified: now,
            created_by: request.created_by.clone(),
        }
    }

    pub(super) fn stage(
        &self,
        request: StageRequest,
        files: Vec<(String, BlobId, u64)>,
    ) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        let at = key(&request.workspace, &request.app);
        let mut artifact = match self.artifacts.get(&at)? {
            Some(_) if !request.overwrite => return Err(AppStoreError::Exists(request.app)),
            Some(known) => known,
            None => self.fresh(&request),
        };
        let mut batch = Batch::new();
        if let Some(old) = &artifact.staging {
            self.drop_dir(&mut batch, &artifact.id, old.dir)?;
        }
        let (dir, now) = (artifact.next_dir, self.now());
        artifact.next_dir += 1;
        for (path, blob, size) in files {
            let entry = FileEntry {
                blob,
                size,
                at: now,
            };
            batch.put(&self.files, &file_key(&artifact.id, dir, &path), &entry)?;
        }
        artifact.staging = Some(Staging {
            manifest: request.manifest,
            dir,
            trial: request.trial,
        });
        batch.put(&self.artifacts, &at, &artifact)?;
        Ok(self.store.apply(batch)?)
    }

    pub(super) fn commit(
        &self,
        at: &str,
        manifest: Fields,
        label: Option<String>,
    ) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        let mut artifact = self.artifacts.get(at)?.ok_or(AppStoreError::NotStaged)?;
        let staging = artifact.staging.take().ok_or(AppStoreError::NotStaged)?;
        let mut batch = Batch::new();
        let label = label
            .filter(|label| label != STAGE)
            .unwrap_or_else(|| artifact.free_label());
        // A label that is used again takes the place of its old version.
        let same = artifact.versions.iter().position(|v| v.version == label);
        let surplus = artifact.versions.len() >= KEPT_VERSIONS;
        if let Some(at) = same.or(surplus.then_some(0)) {
            let old = artifact.versions.remove(at);
            self.drop_dir(&mut batch, &artifact.id, old.dir)?;
        }
        artifact.versions.push(Version {
            version: label,
            comment: None,
            created_at: self.now() as i64,
            dir: staging.dir,
        });
        artifact.last_modified = self.now() as i64;
        artifact.file_count = self.files.keys(&dir_key(&artifact.id, staging.dir))?.len() as u64;
        batch.put(
            &self.manifests,
            &dir_key(&artifact.id, staging.dir),
            &manifest,
        )?;
        artifact.manifest = Some(manifest);
        batch.put(&self.artifacts, at, &artifact)?;
        Ok(self.store.apply(batch)?)
    }

    pub(super) fn abandon(&self, at: &str) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        let Some(artifact) = self.artifacts.get(at)? else {
            return Ok(());
        };
        let mut batch = Batch::new();
        self.unstage(&mut batch, at, artifact)?;
        Ok(self.store.apply(batch)?)
    }

    fn unstage(
        &self,
        batch: &mut Batch,
        at: &str,
        mut artifact: Artifact,
    ) -> Result<(), AppStoreError> {
        if let Some(staging) = artifact.staging.take() {
            self.drop_dir(batch, &artifact.id, staging.dir)?;
        }
        if artifact.is_committed() {
            batch.put(&self.artifacts, at, &artifact)?;
        } else {
            batch.remove(&self.artifacts, at);
        }
        Ok(())
    }

    fn delete(
        &self,
        batch: &mut Batch,
        at: &str,
        artifact: &Artifact,
    ) -> Result<(), AppStoreError> {
        let staged = artifact.staging.iter().map(|staging| staging.dir);
        let dirs = artifact.versions.iter().map(|version| version.dir);
        for dir in dirs.chain(staged) {
            self.drop_dir(batch, &artifact.id, dir)?;
        }
        batch.remove(&self.artifacts, at);
        batch.remove(&self.ops, at);
        Ok(())
    }

    pub(super) fn uninstall(&self, at: &str, name: &str) -> Result<bool, AppStoreError> {
        let _writing = self.writing.lock();
        let artifact = self
            .artifacts
            .get(at)?
            .ok_or_else(|| AppStoreError::NotFound(name.to_owned()))?;
        let mut batch = Batch::new();
        let only_stage = artifact.staging.is_some() && artifact.is_committed();
        if only_stage {
            self.unstage(&mut batch, at, artifact)?;
        } else {
            self.delete(&mut batch, at, &artifact)?;
        }
        self.store.apply(batch)?;
        Ok(!only_stage)
    }

    pub(super) fn remove_all(&self, prefix: &str) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        let mut batch = Batch::new();
        for (at, artifact) in self.artifacts.scan_prefix(prefix)? {
            self.delete(&mut batch, &at, &artifact)?;
        }
        Ok(self.store.apply(batch)?)
    }

    pub(super) fn forget_trials(&self) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        let mut trials = Vec::new();
        for entry in self.artifacts.iter() {
            let (at, artifact) = entry?;
            if artifact
                .staging
                .as_ref()
                .is_some_and(|staging| staging.trial)
            {
                trials.push((at, artifact));
            }
        }
        for (at, artifact) in trials {
            tracing::info!(
                app = artifact.alias,
                "dropping an install that was not finished"
            );
            let mut batch = Batch::new();
            self.unstage(&mut batch, &at, artifact)?;
            self.store.apply(batch)?;
        }
        Ok(())
    }
}
