//! What a stage changes: files that were announced to it, and those that go with its commit.
//!
//! Each is an entry of its own, so that an upload costs the same however many others wait.

use serde::{Deserialize, Serialize};

use super::{Objects, file_key};
use crate::store::{Batch, StoreError};

/// A file that a stage changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagedFile {
    /// Clean path.
    pub path: String,
    /// Counted for each download; none leaves it as it is.
    #[serde(default)]
    pub weight: Option<f64>,
    /// Whether it goes with the commit.
    #[serde(default)]
    pub remove: bool,
}

impl Objects {
    /// What a stage changes, in the order of the paths.
    ///
    /// # Errors
    /// The store failed.
    pub fn staged_files(&self, artifact: &str, dir: u32) -> Result<Vec<StagedFile>, StoreError> {
        let prefix = file_key(artifact, dir, "");
        let found = self.inner.staged.iter_prefix(&prefix);
        found.map(|entry| Ok(entry?.1)).collect()
    }

    /// Adds a change of a stage to a batch; an earlier one of the same file is forgotten.
    ///
    /// # Errors
    /// The entry cannot be written.
    pub fn add_staged(
        &self,
        batch: &mut Batch,
        artifact: &str,
        dir: u32,
        file: &StagedFile,
    ) -> Result<(), StoreError> {
        let at = file_key(artifact, dir, &file.path);
        batch.put(&self.inner.staged, &at, file)?;
        Ok(())
    }

    /// Adds forgetting a change of a stage to a batch.
    pub fn add_unstage(&self, batch: &mut Batch, artifact: &str, dir: u32, path: &str) {
        batch.remove(&self.inner.staged, &file_key(artifact, dir, path));
    }

    /// Adds forgetting all changes of a stage to a batch.
    ///
    /// # Errors
    /// The store failed.
    pub fn add_unstage_all(
        &self,
        batch: &mut Batch,
        artifact: &str,
        dir: u32,
    ) -> Result<(), StoreError> {
        for at in self.inner.staged.keys(&file_key(artifact, dir, ""))? {
            batch.remove(&self.inner.staged, &at);
        }
        Ok(())
    }
}
