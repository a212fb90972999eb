//! Uploads that arrive: they land in the stage they were announced for, and in no other.

use async_trait::async_trait;

use super::{Artifact, ArtifactError, ArtifactStore, Inner};
use crate::artifacts::objects::{Object, Target};
use crate::artifacts::transfer::{LandError, Landing};
use crate::store::Batch;

#[async_trait]
impl Landing for ArtifactStore {
    async fn may_put(&self, target: &Target) -> Result<(), LandError> {
        let target = target.clone();
        let open = self.read(move |inner| inner.is_open(&target)).await;
        answer(open)
    }

    async fn put(&self, target: &Target, object: Object) -> Result<(), LandError> {
        let target = target.clone();
        let put = self.change(move |inner, _| {
            let open = inner.is_open(&target)?;
            if let (Some(true), Target::Artifact { id, dir, path, .. }) = (open, &target) {
                let mut batch = Batch::new();
                inner.objects.add_put(&mut batch, id, *dir, path, &object)?;
                inner.store.apply(batch)?;
            }
            Ok(open)
        });
        answer(put.await)
    }
}

fn answer(open: Result<Option<bool>, ArtifactError>) -> Result<(), LandError> {
    match open {
        Ok(Some(true)) => Ok(()),
        Ok(Some(false)) => Err(LandError::Closed),
        Ok(None) => Err(LandError::Gone),
        Err(ArtifactError::Files(error)) => Err(LandError::Failed(error)),
        Err(_) => Err(LandError::Gone),
    }
}

impl Inner {
    /// Whether a directory takes files; none when there is no such artifact.
    fn is_open(&self, target: &Target) -> Result<Option<bool>, ArtifactError> {
        let Target::Artifact { id, dir, .. } = target else {
            return Ok(None);
        };
        let staged = |artifact: Artifact| artifact.staging.is_some_and(|draft| draft.dir == *dir);
        Ok(self.by_uuid(id)?.map(staged))
    }
}
