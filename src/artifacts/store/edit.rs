//! Changing artifacts, and what waits to be committed.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::access::check_permissions;
use super::changes::{invalid, own};
use super::{Artifact, ArtifactError, Draft, Fields, Inner, Place, check, check_parent};
use crate::artifacts::objects::{Pin, file_key};
use crate::artifacts::schema;
use crate::identity::Level;
use crate::store::Batch;

/// What an edit changes; absent parts stay as they are.
pub struct Edit {
    pub manifest: Option<Fields>,
    pub kind: Option<String>,
    pub config: Option<Fields>,
    pub secrets: Option<Fields>,
    pub version: Option<String>,
    pub comment: Option<String>,
    pub stage: bool,
}

impl Inner {
    /// Changes an artifact, or what waits to be committed.
    ///
    /// # Errors
    /// It is not allowed, or the version is none that can be edited.
    pub fn edit(&self, pin: &Pin, place: &Place, mut edit: Edit) -> Result<Json, ArtifactError> {
        let artifact = self.allowed(&place.workspace, &place.id, &place.user, "edit")?;
        if let Some(config) = &edit.config {
            check_permissions(config)?;
            schema::check_schema(config)?;
        }
        if let Some(odd) = edit
            .version
            .as_deref()
            .filter(|v| !matches!(*v, "new" | "stage"))
        {
            return invalid(format!(
                "Invalid version '{odd}'. Only the latest version can be edited: give 'new', 'stage' or nothing."
            ));
        }
        if edit.stage {
            return self.edit_stage(pin, artifact, edit);
        }
        let parent = self.parent(&artifact)?;
        check(&artifact, parent.as_ref(), &place.user, "commit")?;
        if let Some(parent) = &parent {
            if !artifact.versions.is_empty() {
                check_parent(parent, &place.user, "mutate", Level::Admin)?;
            }
            let adds = edit.version.as_deref() == Some("new")
                || artifact.versions.is_empty()
                || artifact
                    .staging
                    .as_ref()
                    .is_some_and(|draft| draft.new_version);
            if adds {
                let first = artifact.versions.is_empty();
                let operation = if first { "attach" } else { "commit" };
                check_parent(parent, &place.user, operation, Level::ReadWrite)?;
            }
            if let Some(config) = &mut edit.config {
                own(config, &place.user.id);
            }
        }
        self.edit_now(pin, artifact, edit)
    }

    fn edit_stage(
        &self,
        pin: &Pin,
        mut artifact: Artifact,
        edit: Edit,
    ) -> Result<Json, ArtifactError> {
        let fresh = edit.version.as_deref() == Some("new");
        let mut batch = Batch::new();
        let mut draft = match artifact.staging.take() {
            Some(draft) => draft,
            None => {
                let manifest = artifact.manifest.clone().unwrap_or_default();
                let mut draft = Draft::of(manifest, artifact.next_dir);
                artifact.next_dir += 1;
                let latest = artifact.latest_dir();
                draft.new_version = fresh || latest.is_none();
                if let Some(from) = latest.filter(|_| !draft.new_version) {
                    let (from, to) = ((&*artifact.id, from), (&*artifact.id, draft.dir));
                    self.objects.add_copy_dir(&mut batch, pin, from, to)?;
                }
                draft
            }
        };
        if fresh && !draft.new_version {
            draft.new_version = true;
            let staged = self.objects.staged_files(&artifact.id, draft.dir)?;
            let (gone, kept): (Vec<_>, Vec<_>) = staged.into_iter().partition(|file| file.remove);
            for file in gone {
                let (id, dir) = (&artifact.id, draft.dir);
                self.objects.add_unstage(&mut batch, id, dir, &file.path);
            }
            let kept: HashSet<String> = kept.into_iter().map(|file| file.path).collect();
            let prefix = file_key(&artifact.id, draft.dir, "");
            for at in self.objects.files().keys(&prefix)? {
                if !kept.contains(&at[prefix.len()..]) {
                    batch.remove(self.objects.files(), &at);
                }
            }
        }
        draft.manifest = edit.manifest.unwrap_or(draft.manifest);
        draft.config = edit.config.or(draft.config);
        draft.secrets = edit.secrets.or(draft.secrets);
        draft.kind = edit.kind.or(draft.kind);
        artifact.staging = Some(draft);
        artifact.last_modified = self.now();
        self.save(&mut batch, &artifact)?;
        self.store.apply(batch)?;
        self.shown(&artifact)
    }

    /// Changes the last version at once; what was staged is applied first.
    fn edit_now(
        &self,
        pin: &Pin,
        mut artifact: Artifact,
        edit: Edit,
    ) -> Result<Json, ArtifactError> {
        let mut batch = Batch::new();
        let fresh = edit.version.as_deref() == Some("new");
        let mut manifest = artifact.manifest.clone().unwrap_or_default();
        match artifact.staging.take() {
            Some(mut draft) => {
                draft.new_version |= fresh;
                manifest = draft.manifest.clone();
                self.apply_draft(&mut batch, pin, &mut artifact, draft, None, edit.comment)?;
            }
            None if fresh || artifact.versions.is_empty() => {
                let dir = artifact.next_dir;
                artifact.next_dir += 1;
                let draft = Draft::of(manifest.clone(), dir);
                self.apply_draft(&mut batch, pin, &mut artifact, draft, None, edit.comment)?;
            }
            None => {
                if let (Some(last), Some(comment)) = (artifact.versions.last_mut(), edit.comment) {
                    last.comment = Some(comment);
                }
            }
        }
        artifact.manifest = Some(edit.manifest.unwrap_or(manifest));
        artifact.config = edit.config.unwrap_or(artifact.config);
        artifact.secrets = edit.secrets.unwrap_or(artifact.secrets);
        artifact.kind = edit.kind.unwrap_or(artifact.kind);
        artifact.last_modified = self.now();
        self.keep_version(&mut batch, &artifact)?;
        self.save(&mut batch, &artifact)?;
        self.store.apply(batch)?;
        self.shown(&artifact)
    }
}
