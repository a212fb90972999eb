//! Removing apps, and what a crash left of installs.

use super::model::{Artifact, Slot};
use super::{AppStoreError, Inner};
use crate::store::Batch;

impl Inner {
    fn delete(
        &self,
        batch: &mut Batch,
        at: &str,
        artifact: &Artifact,
    ) -> Result<(), AppStoreError> {
        let drafts = artifact.staging.iter().chain(&artifact.pending);
        let versions = artifact.versions.iter().map(|version| version.dir);
        for dir in versions.chain(drafts.map(|draft| draft.dir)) {
            self.drop_dir(batch, &artifact.id, dir)?;
        }
        batch.remove(&self.artifacts, at);
        batch.remove(&self.ops, at);
        self.disabled.remove(at);
        Ok(())
    }

    pub(super) fn uninstall(&self, at: &str, name: &str) -> Result<bool, AppStoreError> {
        let _writing = self.writing.lock();
        let artifact = self.app(at, name)?;
        let mut batch = Batch::new();
        let only_stage = artifact.staging.is_some() && artifact.is_committed();
        if only_stage {
            self.empty(&mut batch, at, artifact, Slot::Stage)?;
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

    pub(super) fn forget_pending(&self) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        let mut unfinished = Vec::new();
        for entry in self.artifacts.iter() {
            let (at, artifact) = entry?;
            if artifact.pending.is_some() {
                unfinished.push((at, artifact));
            }
        }
        for (at, artifact) in unfinished {
            tracing::info!(
                workspace = artifact.workspace,
                app = artifact.alias,
                "dropping an install that was not finished"
            );
            let mut batch = Batch::new();
            self.empty(&mut batch, &at, artifact, Slot::Pending)?;
            self.store.apply(batch)?;
        }
        Ok(())
    }
}
