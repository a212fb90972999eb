//! Taking away contents that no name refers to.

use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

use super::{Inner, ObjectError, Objects};
use crate::artifacts::BlobId;

/// Seconds for which an unreferenced blob is left alone: its name may be on the way.
const YOUNG_S: f64 = 3600.0;
/// Blobs that are taken away in one go; copies wait meanwhile.
const AT_ONCE: usize = 128;

impl Objects {
    /// Removes the blobs that nothing refers to; how many. Young ones stay.
    ///
    /// # Errors
    /// The store or the storage failed. What is referred to stays in any case.
    pub async fn collect_garbage(&self) -> Result<usize, ObjectError> {
        let ids = self.inner.blobs.ids().await?;
        let used = self.blocking(Inner::used_blobs).await?;
        let unused: Vec<BlobId> = ids.into_iter().filter(|id| !used.contains(id)).collect();
        let oldest = (self.now() - YOUNG_S).max(0.0);
        let before = UNIX_EPOCH + Duration::from_secs_f64(oldest);
        let mut removed = 0;
        for some in unused.chunks(AT_ONCE) {
            // Asked again, now that no reference can be copied.
            let _alone = self.inner.references.write().await;
            let used = self.blocking(Inner::used_blobs).await?;
            for id in some.iter().filter(|id| !used.contains(id)) {
                removed += usize::from(self.inner.blobs.remove_older(id, before).await?);
            }
        }
        Ok(removed)
    }
}

impl Inner {
    /// Every blob that a file of an artifact (apps are among them) or of a workspace refers to, or
    /// an upload in parts that is under way.
    fn used_blobs(&self) -> Result<HashSet<BlobId>, ObjectError> {
        let mut used = HashSet::new();
        for entry in self.files.iter().chain(self.workspace_files.iter()) {
            used.insert(entry?.1.blob);
        }
        for entry in self.uploads.iter() {
            used.extend(entry?.1.parts.values().map(|part| part.blob));
        }
        Ok(used)
    }
}
