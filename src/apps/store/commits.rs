//! Versions: committing what is in a slot, and choosing which version is the current one.

use super::model::{
    Artifact, KEPT_VERSIONS, Slot, Version, checked_label, dir_key, fallback, file_key, next_label,
};
use super::{AppStoreError, Fields, Inner};
use crate::store::Batch;

impl Inner {
    /// Makes a slot's content the newest and current version; its label.
    pub(super) fn commit(
        &self,
        at: &str,
        slot: Slot,
        manifest: Fields,
        label: Option<String>,
    ) -> Result<String, AppStoreError> {
        let _writing = self.writing.lock();
        let mut artifact = self.artifacts.get(at)?.ok_or(AppStoreError::NotStaged)?;
        let draft = artifact.slot(slot).take().ok_or(AppStoreError::NotStaged)?;
        let mut batch = Batch::new();
        let (id, dir) = (&artifact.id, draft.dir);
        self.objects.add_unstage_all(&mut batch, id, dir)?;
        let label = match label {
            Some(label) => checked_label(label)?,
            None => next_label(&artifact.versions, artifact.commits),
        };
        // A label that is used again takes the place of its old version.
        let same = artifact.versions.iter().position(|v| v.version == label);
        if same.is_none() {
            artifact.commits += 1;
        }
        let surplus = artifact.versions.len() >= KEPT_VERSIONS;
        if let Some(at) = same.or(surplus.then_some(0)) {
            let old = artifact.versions.remove(at);
            self.drop_dir(&mut batch, &artifact.id, old.dir)?;
        }
        artifact.versions.push(Version {
            version: label.clone(),
            comment: None,
            created_at: self.now() as i64,
            dir: draft.dir,
            failed: None,
            proven: false,
        });
        let key = dir_key(&artifact.id, draft.dir);
        batch.put(&self.manifests, &key, &manifest)?;
        self.point_to(&mut artifact, draft.dir, manifest)?;
        batch.put(&self.artifacts, at, &artifact)?;
        self.store.apply(batch)?;
        Ok(label)
    }

    fn point_to(
        &self,
        artifact: &mut Artifact,
        dir: u32,
        manifest: Fields,
    ) -> Result<(), AppStoreError> {
        artifact.current = Some(dir);
        artifact.manifest = Some(manifest);
        artifact.last_modified = self.now() as i64;
        artifact.file_count = self.files.keys(&file_key(&artifact.id, dir, ""))?.len() as u64;
        Ok(())
    }

    /// Makes an older version the current one; by default the one before.
    pub(super) fn roll_back(
        &self,
        at: &str,
        name: &str,
        label: Option<String>,
    ) -> Result<String, AppStoreError> {
        let _writing = self.writing.lock();
        let mut artifact = self.app(at, name)?;
        let no_version = |version: &str| AppStoreError::NoVersion {
            app: artifact.alias.clone(),
            version: version.to_owned(),
        };
        let (label, dir) = match &label {
            Some(label) => artifact
                .versions
                .iter()
                .find(|version| version.version == *label)
                .map(|version| (version.version.clone(), version.dir))
                .ok_or_else(|| no_version(label))?,
            None => artifact
                .current()
                .and_then(|current| fallback(&artifact.versions, current.dir))
                .map(|version| (version.version.clone(), version.dir))
                .ok_or_else(|| AppStoreError::NothingBefore(artifact.alias.clone()))?,
        };
        // Whoever chooses a version that failed gives it another chance.
        for version in artifact.versions.iter_mut().filter(|v| v.dir == dir) {
            version.failed = None;
        }
        self.switch(at, &mut artifact, dir)?;
        Ok(label)
    }

    /// Takes the current version out of use after `cause`; the label of the one that is current
    /// now. None when `label` is not current any more, or there is nothing to go back to.
    pub(super) fn retire(
        &self,
        at: &str,
        name: &str,
        label: &str,
        cause: &str,
    ) -> Result<Option<String>, AppStoreError> {
        let _writing = self.writing.lock();
        let mut artifact = self.app(at, name)?;
        let Some(failing) = artifact.current().filter(|v| v.version == label) else {
            return Ok(None);
        };
        let failing = failing.dir;
        let Some(before) = fallback(&artifact.versions, failing) else {
            return Ok(None);
        };
        let (before, dir) = (before.version.clone(), before.dir);
        for version in artifact.versions.iter_mut().filter(|v| v.dir == failing) {
            version.failed = Some(cause.to_owned());
        }
        self.switch(at, &mut artifact, dir)?;
        Ok(Some(before))
    }

    fn switch(&self, at: &str, artifact: &mut Artifact, dir: u32) -> Result<(), AppStoreError> {
        let stored = self.manifests.get(&dir_key(&artifact.id, dir))?;
        let manifest = stored
            .or_else(|| artifact.manifest.clone())
            .unwrap_or_default();
        self.point_to(artifact, dir, manifest)?;
        Ok(self.artifacts.put(at, artifact)?)
    }

    /// Notes that a version has run well for a while.
    pub(super) fn prove(&self, at: &str, label: &str) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        let Some(mut artifact) = self.artifacts.get(at)? else {
            return Ok(());
        };
        let mut changed = false;
        for version in artifact.versions.iter_mut() {
            changed |= version.version == label && !std::mem::replace(&mut version.proven, true);
        }
        if changed {
            self.artifacts.put(at, &artifact)?;
        }
        Ok(())
    }

    /// Writes the services that were found at a start into a committed version.
    pub(super) fn note_services(
        &self,
        at: &str,
        label: &str,
        note: impl FnOnce(&mut Fields) -> bool,
    ) -> Result<bool, AppStoreError> {
        let _writing = self.writing.lock();
        let Some(mut artifact) = self.artifacts.get(at)? else {
            return Ok(false);
        };
        let Some(version) = artifact.versions.iter().find(|v| v.version == label) else {
            return Ok(false);
        };
        let (dir, key) = (version.dir, dir_key(&artifact.id, version.dir));
        let mut manifest = self.manifests.get(&key)?.unwrap_or_default();
        if !note(&mut manifest) {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.put(&self.manifests, &key, &manifest)?;
        if artifact.current().is_some_and(|current| current.dir == dir) {
            artifact.manifest = Some(manifest);
            batch.put(&self.artifacts, at, &artifact)?;
        }
        self.store.apply(batch)?;
        Ok(true)
    }
}
