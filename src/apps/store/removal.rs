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
        for dir in artifact.dirs() {
            self.drop_dir(batch, &artifact.id, dir)?;
        }
        self.index
            .detach_children(batch, &self.artifacts, &artifact.id)?;
        batch.remove(&self.artifacts, at);
        self.index.remove(batch, artifact);
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

    /// Forgets the switches of an app, unless there is one of this name again.
    pub(super) fn forget(&self, at: &str) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        if !self.artifacts.contains(at)? {
            self.ops.discard(at)?;
            self.disabled.remove(at);
        }
        Ok(())
    }

    pub(super) fn forget_all_switches(&self, prefix: &str) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        for at in self.ops.keys(prefix)? {
            self.ops.discard(&at)?;
            self.disabled.remove(&at);
        }
        Ok(())
    }

    /// Forgets the switches of apps that are gone: a crash came between the two.
    pub(super) fn forget_switches(&self) -> Result<(), AppStoreError> {
        for at in self.ops.keys("")? {
            self.forget(&at)?;
        }
        Ok(())
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
