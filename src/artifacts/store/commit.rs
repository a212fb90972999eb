//! Committing what is staged, and dropping it.

use serde_json::Value as Json;

use super::changes::invalid;
use super::{Artifact, ArtifactError, Draft, Inner, Place, Version, check_parent};
use crate::artifacts::objects::{Pin, file_key};
use crate::artifacts::schema;
use crate::identity::Level;
use crate::store::Batch;

impl Inner {
    /// Makes what is staged the last version of a record that is saved afterwards.
    pub(super) fn apply_draft(
        &self,
        batch: &mut Batch,
        pin: &Pin,
        artifact: &mut Artifact,
        draft: Draft,
        label: Option<String>,
        comment: Option<String>,
    ) -> Result<(), ArtifactError> {
        let prefix = file_key(&artifact.id, draft.dir, "");
        let staged = self.objects.staged_files(&artifact.id, draft.dir)?;
        for file in staged.iter().filter(|file| !file.remove) {
            if !self
                .objects
                .files()
                .contains(&format!("{prefix}{}", file.path))?
            {
                return Err(ArtifactError::NoFile(file.path.clone()));
            }
        }
        artifact.manifest = Some(draft.manifest);
        artifact.config = draft
            .config
            .unwrap_or_else(|| std::mem::take(&mut artifact.config));
        artifact.secrets = draft
            .secrets
            .unwrap_or_else(|| std::mem::take(&mut artifact.secrets));
        artifact.kind = draft
            .kind
            .unwrap_or_else(|| std::mem::take(&mut artifact.kind));
        for file in &staged {
            match file.weight {
                Some(weight) => artifact.set_weight(&file.path, weight),
                None if file.remove && artifact.weight(&file.path) > 0.0 => {
                    artifact.set_weight(&file.path, 0.0);
                }
                None => {}
            }
        }
        let latest = artifact.latest_dir();
        match artifact.versions.iter_mut().find(|v| Some(v.dir) == latest) {
            Some(last) if !draft.new_version => {
                // The files move into the version's own directory, so that addresses that were
                // given out go on working.
                last.comment = comment.or(last.comment.take());
                let (id, dir) = (&*artifact.id, last.dir);
                self.objects.add_remove_dir(batch, id, dir)?;
                self.objects
                    .add_copy_dir(batch, pin, (id, draft.dir), (id, dir))?;
                self.objects.add_remove_dir(batch, id, draft.dir)?;
                artifact.current = Some(dir);
            }
            _ => {
                let label = label.unwrap_or_else(|| artifact.free_label());
                if artifact.versions.iter().any(|v| v.version == label) {
                    return invalid(format!("Version '{label}' already exists."));
                }
                artifact.commits += 1;
                artifact.versions.push(Version {
                    version: label,
                    comment,
                    created_at: self.now(),
                    dir: draft.dir,
                    failed: None,
                    proven: false,
                });
                artifact.current = Some(draft.dir);
                self.objects
                    .add_unstage_all(batch, &artifact.id, draft.dir)?;
            }
        }
        artifact.file_count = self.objects.files().keys(&prefix)?.len() as u64;
        artifact.last_modified = self.now();
        Ok(())
    }

    /// Commits what is staged.
    ///
    /// # Errors
    /// It is not staged or not allowed, a file is missing, or the version exists.
    pub fn commit(
        &self,
        pin: &Pin,
        place: &Place,
        version: Option<String>,
        comment: Option<String>,
    ) -> Result<Json, ArtifactError> {
        let mut artifact = self.allowed(&place.workspace, &place.id, &place.user, "commit")?;
        let draft = artifact.staging.take().ok_or(ArtifactError::NotStaged)?;
        let version =
            version.filter(|name| !matches!(name.as_str(), "new" | "stage" | "latest" | ""));
        if let Some(parent) = self.parent(&artifact)? {
            if artifact.versions.is_empty() {
                check_parent(&parent, &place.user, "attach", Level::ReadWrite)?;
            }
            schema::check_child(&parent.config, &draft.manifest)?;
        }
        let mut batch = Batch::new();
        self.apply_draft(&mut batch, pin, &mut artifact, draft, version, comment)?;
        self.keep_version(&mut batch, &artifact)?;
        self.save(&mut batch, &artifact)?;
        self.store.apply(batch)?;
        self.shown(&artifact)
    }

    /// Drops what is staged.
    ///
    /// # Errors
    /// It is not staged or not allowed.
    pub fn discard(&self, place: &Place) -> Result<Json, ArtifactError> {
        let mut artifact = self.allowed(&place.workspace, &place.id, &place.user, "edit")?;
        let Some(draft) = artifact.staging.take() else {
            return invalid("No staged changes to discard: the artifact is not in staging mode.");
        };
        let mut batch = Batch::new();
        self.drop_dir(&mut batch, &artifact.id, draft.dir)?;
        self.save(&mut batch, &artifact)?;
        self.store.apply(batch)?;
        self.shown(&artifact)
    }
}

impl Artifact {
    /// `v` and how many versions there are, or the next number that is free.
    fn free_label(&self) -> String {
        let mut number = self.versions.len();
        loop {
            let label = format!("v{number}");
            if self.versions.iter().all(|v| v.version != label) {
                return label;
            }
            number += 1;
        }
    }
}
