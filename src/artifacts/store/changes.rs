//! What all changes of records share, and the small ones. Each change is one batch (artifacts.md 3).

use serde_json::{Value as Json, json};

use super::{Artifact, ArtifactError, Fields, Inner, Place, Sight, check_parent, key};
use crate::artifacts::objects::{config_key, dir_key, file_key};
use crate::identity::Level;
use crate::store::Batch;

pub(super) fn invalid<T>(text: impl Into<String>) -> Result<T, ArtifactError> {
    Err(ArtifactError::Invalid(text.into()))
}

/// Gives somebody everything.
pub(super) fn own(config: &mut Fields, user: &str) {
    let empty = || Json::Object(Fields::new());
    let permissions = config.entry("permissions").or_insert_with(empty);
    if let Some(permissions) = permissions.as_object_mut() {
        permissions.insert(user.to_owned(), json!("*"));
    }
}

/// What is being installed belongs to the install until it is over.
pub(super) fn refuse_pending(artifact: &Artifact) -> Result<(), ArtifactError> {
    match artifact.pending {
        Some(_) => invalid("An app of this name is being installed."),
        None => Ok(()),
    }
}

impl Inner {
    pub(super) fn save(&self, batch: &mut Batch, artifact: &Artifact) -> Result<(), ArtifactError> {
        let at = key(&artifact.workspace, &artifact.alias);
        batch.put(&self.records, &at, artifact)?;
        Ok(())
    }

    /// Adds keeping a version's manifest and configuration to a batch, so that the version shows
    /// them when there are newer ones.
    pub(super) fn keep_version(
        &self,
        batch: &mut Batch,
        artifact: &Artifact,
    ) -> Result<(), ArtifactError> {
        if let (Some(manifest), Some(dir)) = (&artifact.manifest, artifact.latest_dir()) {
            batch.put(&self.manifests, &dir_key(&artifact.id, dir), manifest)?;
            let at = config_key(&artifact.id, dir);
            batch.put(&self.manifests, &at, &artifact.config)?;
        }
        Ok(())
    }

    /// How many files a directory has.
    pub(super) fn count_files(&self, id: &str, dir: u32) -> Result<u64, ArtifactError> {
        let keys = self.objects.files().keys(&file_key(id, dir, ""))?;
        Ok(keys.len() as u64)
    }

    pub(super) fn drop_dir(
        &self,
        batch: &mut Batch,
        id: &str,
        dir: u32,
    ) -> Result<(), ArtifactError> {
        self.objects.add_remove_dir(batch, id, dir)?;
        self.forget_version(batch, id, dir);
        Ok(())
    }

    /// Adds forgetting a version's manifest and configuration to a batch.
    pub(super) fn forget_version(&self, batch: &mut Batch, id: &str, dir: u32) {
        batch.remove(&self.manifests, &dir_key(id, dir));
        batch.remove(&self.manifests, &config_key(id, dir));
    }

    /// An artifact as it is after a change of it.
    pub(super) fn shown(&self, artifact: &Artifact) -> Result<Json, ArtifactError> {
        let sight = match artifact.staging {
            Some(_) => Sight::Stage,
            None => Sight::Committed(artifact.latest_dir()),
        };
        self.view(artifact, sight)
    }

    /// Adds noting to a batch that an artifact holds others.
    pub(super) fn mark_collection(
        &self,
        batch: &mut Batch,
        mut parent: Artifact,
    ) -> Result<(), ArtifactError> {
        let yes = json!(true);
        if parent.config.get("is_collection") != Some(&yes) {
            parent.config.insert("is_collection".to_owned(), yes);
            self.save(batch, &parent)?;
        }
        Ok(())
    }

    /// Changes a record that a user may change in this way.
    ///
    /// # Errors
    /// It is not allowed, or what `change` fails with.
    pub fn alter(
        &self,
        place: &Place,
        operation: &'static str,
        change: impl FnOnce(&mut Artifact) -> Result<(), ArtifactError>,
    ) -> Result<Json, ArtifactError> {
        let mut artifact = self.allowed(&place.workspace, &place.id, &place.user, operation)?;
        change(&mut artifact)?;
        let mut batch = Batch::new();
        self.save(&mut batch, &artifact)?;
        self.store.apply(batch)?;
        self.view(&artifact, Sight::Committed(artifact.latest_dir()))
    }

    /// Moves an artifact into another collection, or out of all.
    ///
    /// # Errors
    /// It would be inside itself or in another workspace, or it is not allowed.
    pub fn set_parent(&self, place: &Place, parent: Option<&str>) -> Result<Json, ArtifactError> {
        let artifact = self.allowed(&place.workspace, &place.id, &place.user, "read")?;
        let user = &place.user;
        if let Some(old) = self.parent(&artifact)? {
            check_parent(&old, user, "detach", Level::ReadWrite)?;
        } else if !user.allows(&artifact.workspace, Level::ReadWrite) {
            let (operation, on) = ("edit", "artifact");
            return Err(ArtifactError::Denied { operation, on });
        }
        let new = parent
            .map(|id| self.find(&place.workspace, id))
            .transpose()?;
        if let Some(new) = &new {
            if new.workspace != artifact.workspace {
                return invalid("The collection is in another workspace.");
            }
            if new.id == artifact.id {
                return invalid("An artifact cannot be its own parent.");
            }
            let mut above = Some(new.clone());
            while let Some(holder) = above {
                if holder.id == artifact.id {
                    return invalid("An artifact cannot be inside itself (circular dependency).");
                }
                above = self.parent(&holder)?;
            }
            check_parent(new, user, "attach", Level::ReadWrite)?;
        }
        let mut artifact = artifact;
        let mut batch = Batch::new();
        self.index.remove(&mut batch, &artifact);
        artifact.parent_id = new.as_ref().map(|new| new.id.clone());
        artifact.last_modified = self.now();
        self.index.add(&mut batch, &artifact)?;
        if let Some(new) = new {
            self.mark_collection(&mut batch, new)?;
        }
        self.save(&mut batch, &artifact)?;
        self.store.apply(batch)?;
        self.shown(&artifact)
    }
}
