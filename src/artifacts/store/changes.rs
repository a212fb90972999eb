//! Changes of records: each is one batch (artifacts.md 3).

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::access::check_permissions;
use super::{
    Artifact, ArtifactError, Draft, Fields, Inner, Place, Sight, Version, check_parent, granted,
    key,
};
use crate::artifacts::objects::{Pin, dir_key, file_key};
use crate::identity::Level;
use crate::store::Batch;

/// Longest alias in characters.
const MAX_ALIAS: usize = 64;
/// Aliases that mean something in addresses.
const RESERVED: &[&str] = &["-", "~", "_"];

/// A new artifact.
pub struct Creation {
    /// In which workspace; its id is the alias.
    pub place: Place,
    pub parent: Option<String>,
    pub manifest: Fields,
    pub kind: String,
    pub config: Fields,
    pub secrets: Fields,
    pub version: Option<String>,
    pub comment: Option<String>,
    pub overwrite: bool,
    pub stage: bool,
}

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

fn invalid<T>(text: impl Into<String>) -> Result<T, ArtifactError> {
    Err(ArtifactError::Invalid(text.into()))
}

fn check_alias(alias: &str) -> Result<(), ArtifactError> {
    if alias.is_empty() || alias.chars().count() > MAX_ALIAS {
        return invalid(format!("Alias must have 1 to {MAX_ALIAS} characters."));
    }
    if RESERVED.contains(&alias) {
        return invalid(format!("Alias '{alias}' is reserved."));
    }
    if Uuid::try_parse(alias).is_ok() {
        return invalid("Alias cannot be a UUID.");
    }
    if alias.contains('/') || alias.chars().any(char::is_control) {
        return invalid(format!("Alias '{}' is not possible.", alias.escape_debug()));
    }
    Ok(())
}

/// Gives somebody everything.
fn own(config: &mut Fields, user: &str) {
    let empty = || Json::Object(Fields::new());
    let permissions = config.entry("permissions").or_insert_with(empty);
    if let Some(permissions) = permissions.as_object_mut() {
        permissions.insert(user.to_owned(), json!("*"));
    }
}

impl Inner {
    fn save(&self, batch: &mut Batch, artifact: &Artifact) -> Result<(), ArtifactError> {
        batch.put(
            &self.records,
            &key(&artifact.workspace, &artifact.alias),
            artifact,
        )?;
        Ok(())
    }

    fn drop_dir(&self, batch: &mut Batch, id: &str, dir: u32) -> Result<(), ArtifactError> {
        self.objects.add_remove_dir(batch, id, dir)?;
        batch.remove(&self.manifests, &dir_key(id, dir));
        Ok(())
    }

    /// Makes an artifact.
    ///
    /// # Errors
    /// The alias is taken or impossible, or it is not allowed.
    pub fn create(&self, new: Creation) -> Result<Json, ArtifactError> {
        let (workspace, alias, user) = (&new.place.workspace, &new.place.id, &new.place.user);
        check_alias(alias)?;
        check_permissions(&new.config)?;
        let mut batch = Batch::new();
        let parent = match &new.parent {
            Some(id) => Some(self.find(workspace, id)?),
            None => None,
        };
        match &parent {
            Some(parent) => {
                if parent.workspace != *workspace {
                    return invalid("The collection is in another workspace.");
                }
                let operation = if new.stage { "draft" } else { "attach" };
                check_parent(parent, user, operation, Level::ReadWrite)?;
                if parent.config.get("is_collection") != Some(&json!(true)) {
                    let mut parent = parent.clone();
                    parent
                        .config
                        .insert("is_collection".to_owned(), json!(true));
                    self.save(&mut batch, &parent)?;
                }
            }
            None if user.allows(workspace, Level::ReadWrite) => {}
            None => {
                let (operation, on) = ("create", "workspace");
                return Err(ArtifactError::Denied { operation, on });
            }
        }
        let old = self.records.get(&key(workspace, alias))?;
        if let Some(old) = &old {
            if !new.overwrite {
                return Err(ArtifactError::Exists(alias.clone()));
            }
            // Whoever may only add children may not take away what somebody else made.
            let may = user.allows(workspace, Level::ReadWrite) || granted(old, user, "edit");
            if !may {
                let (operation, on) = ("edit", "artifact");
                return Err(ArtifactError::Denied { operation, on });
            }
            if !self.children(old)?.is_empty() {
                return invalid("A collection that has children cannot be overwritten.");
            }
            if old.pending.is_some() {
                return invalid("An app of this name is being installed.");
            }
        }
        let (artifact, manifest) = self.fresh(&mut batch, new, parent, old)?;
        if let (Some(manifest), Some(dir)) = (manifest, artifact.current) {
            batch.put(&self.manifests, &dir_key(&artifact.id, dir), &manifest)?;
        }
        self.save(&mut batch, &artifact)?;
        self.store.apply(batch)?;
        self.shown(&artifact)
    }

    /// The record of a creation. Files of the first version of what it replaces stay.
    fn fresh(
        &self,
        batch: &mut Batch,
        new: Creation,
        parent: Option<Artifact>,
        old: Option<Artifact>,
    ) -> Result<(Artifact, Option<Fields>), ArtifactError> {
        let now = self.now();
        let mut config = new.config;
        own(&mut config, &new.place.user.id);
        if new.kind == "collection" {
            config.insert("is_collection".to_owned(), json!(true));
        }
        let (mut id, mut dir, mut next_dir) = (Uuid::now_v7().to_string(), 0, 1);
        if let Some(old) = old {
            let staged = old.staging.iter().map(|draft| draft.dir);
            let mut dirs = old.versions.iter().map(|v| v.dir).chain(staged);
            let kept = dirs.next();
            for other in dirs.filter(|other| Some(*other) != kept) {
                self.drop_dir(batch, &old.id, other)?;
            }
            dir = kept.unwrap_or(old.next_dir);
            next_dir = old.next_dir.max(dir + 1);
            id = old.id;
        }
        let mut artifact = Artifact {
            id,
            workspace: new.place.workspace,
            alias: new.place.id,
            kind: new.kind,
            parent_id: parent.map(|parent| parent.id),
            manifest: Some(new.manifest.clone()),
            staging: None,
            pending: None,
            versions: Vec::new(),
            current: None,
            next_dir,
            commits: 0,
            config,
            secrets: new.secrets,
            download_count: 0.0,
            view_count: 0.0,
            file_count: 0,
            created_at: now,
            last_modified: now,
            created_by: new.place.user.effective_id().to_owned(),
        };
        if new.stage {
            artifact.staging = Some(Draft::of(new.manifest, dir));
            return Ok((artifact, None));
        }
        let named = new
            .version
            .filter(|name| !matches!(name.as_str(), "new" | "stage"));
        artifact.versions.push(Version {
            version: named.unwrap_or_else(|| "v0".to_owned()),
            comment: new.comment.or_else(|| Some("Initial version".to_owned())),
            created_at: now,
            dir,
            failed: None,
            proven: false,
        });
        artifact.commits = 1;
        artifact.current = Some(dir);
        artifact.file_count = self
            .objects
            .files()
            .keys(&file_key(&artifact.id, dir, ""))?
            .len() as u64;
        Ok((artifact, Some(new.manifest)))
    }

    /// An artifact as it is after a change of it.
    fn shown(&self, artifact: &Artifact) -> Result<Json, ArtifactError> {
        let sight = match artifact.staging {
            Some(_) => Sight::Stage,
            None => Sight::Committed(artifact.latest_dir()),
        };
        self.view(artifact, sight)
    }

    /// Changes an artifact, or what waits to be committed.
    ///
    /// # Errors
    /// It is not allowed, or the version is none that can be edited.
    pub fn edit(&self, pin: &Pin, place: &Place, mut edit: Edit) -> Result<Json, ArtifactError> {
        let artifact = self.allowed(&place.workspace, &place.id, &place.user, "edit")?;
        if let Some(config) = &edit.config {
            check_permissions(config)?;
        }
        let version = edit.version.as_deref();
        let known = matches!(version, None | Some("new" | "stage" | "latest"));
        let newest = artifact.versions.last();
        if !known && newest.is_none_or(|newest| Some(newest.version.as_str()) != version) {
            return invalid(
                "Only the latest version can be edited; give 'new', 'stage' or nothing.",
            );
        }
        if edit.stage || version == Some("stage") {
            return self.edit_stage(pin, artifact, edit);
        }
        let parent = self.parent(&artifact)?;
        if let Some(parent) = parent.as_ref().filter(|_| !artifact.versions.is_empty()) {
            check_parent(parent, &place.user, "mutate", Level::Admin)?;
        }
        if let Some(config) = &mut edit.config {
            let above = parent.and_then(|parent| parent.config.get("permissions").cloned());
            let empty = || Json::Object(Fields::new());
            let permissions = config.entry("permissions").or_insert_with(empty);
            if let (Some(mine), Some(Json::Object(above))) = (permissions.as_object_mut(), above) {
                mine.extend(above);
            }
            own(config, &place.user.id);
        }
        self.edit_now(artifact, edit)
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
            draft.files.retain(|file| !file.remove);
            let prefix = file_key(&artifact.id, draft.dir, "");
            for at in self.objects.files().keys(&prefix)? {
                if draft
                    .files
                    .iter()
                    .all(|file| file.path != at[prefix.len()..])
                {
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
    fn edit_now(&self, mut artifact: Artifact, edit: Edit) -> Result<Json, ArtifactError> {
        let mut batch = Batch::new();
        let fresh = edit.version.as_deref() == Some("new");
        let mut manifest = artifact.manifest.clone().unwrap_or_default();
        match artifact.staging.take() {
            Some(mut draft) => {
                draft.new_version |= fresh;
                manifest = draft.manifest.clone();
                self.apply_draft(&mut batch, &mut artifact, draft, None, edit.comment)?;
            }
            None if fresh || artifact.versions.is_empty() => {
                let dir = artifact.next_dir;
                artifact.next_dir += 1;
                let draft = Draft::of(manifest.clone(), dir);
                self.apply_draft(&mut batch, &mut artifact, draft, None, edit.comment)?;
            }
            None => {
                if let (Some(last), Some(comment)) = (artifact.versions.last_mut(), edit.comment) {
                    last.comment = Some(comment);
                }
            }
        }
        let manifest = edit.manifest.unwrap_or(manifest);
        if let Some(dir) = artifact.latest_dir() {
            batch.put(&self.manifests, &dir_key(&artifact.id, dir), &manifest)?;
        }
        artifact.manifest = Some(manifest);
        artifact.config = edit.config.unwrap_or(artifact.config);
        artifact.secrets = edit.secrets.unwrap_or(artifact.secrets);
        artifact.kind = edit.kind.unwrap_or(artifact.kind);
        artifact.last_modified = self.now();
        self.save(&mut batch, &artifact)?;
        self.store.apply(batch)?;
        self.shown(&artifact)
    }

    /// Makes what is staged the last version of a record that is saved afterwards.
    fn apply_draft(
        &self,
        batch: &mut Batch,
        artifact: &mut Artifact,
        draft: Draft,
        label: Option<String>,
        comment: Option<String>,
    ) -> Result<(), ArtifactError> {
        let prefix = file_key(&artifact.id, draft.dir, "");
        for file in draft.files.iter().filter(|file| !file.remove) {
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
        for file in &draft.files {
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
                let old = std::mem::replace(&mut last.dir, draft.dir);
                last.comment = comment.or(last.comment.take());
                self.drop_dir(batch, &artifact.id, old)?;
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
            }
        }
        artifact.current = Some(draft.dir);
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
        place: &Place,
        version: Option<String>,
        comment: Option<String>,
    ) -> Result<Json, ArtifactError> {
        let mut artifact = self.allowed(&place.workspace, &place.id, &place.user, "commit")?;
        let draft = artifact.staging.take().ok_or(ArtifactError::NotStaged)?;
        let version =
            version.filter(|name| !matches!(name.as_str(), "new" | "stage" | "latest" | ""));
        if let Some(parent) = self
            .parent(&artifact)?
            .filter(|_| artifact.versions.is_empty())
        {
            check_parent(&parent, &place.user, "attach", Level::ReadWrite)?;
        }
        let mut batch = Batch::new();
        let at = dir_key(&artifact.id, draft.dir);
        batch.put(&self.manifests, &at, &draft.manifest)?;
        self.apply_draft(&mut batch, &mut artifact, draft, version, comment)?;
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

    /// Deletes an artifact or one of its versions.
    ///
    /// # Errors
    /// There is no such version, or it is not allowed.
    pub fn delete(
        &self,
        place: &Place,
        recursive: bool,
        version: Option<&str>,
    ) -> Result<(), ArtifactError> {
        let mut artifact = self.allowed(&place.workspace, &place.id, &place.user, "delete")?;
        let mut batch = Batch::new();
        if let Some(version) = version {
            if version == "stage" {
                return invalid("A stage cannot be deleted as a version; discard it.");
            }
            let Sight::Committed(Some(dir)) = artifact.sight(Some(version))? else {
                return invalid(format!("Version '{version}' does not exist."));
            };
            artifact.versions.retain(|v| v.dir != dir);
            self.drop_dir(&mut batch, &artifact.id, dir)?;
            if artifact.current == Some(dir) {
                artifact.current = artifact.versions.last().map(|v| v.dir);
                if let Some(last) = artifact.current {
                    let stored = self.manifests.get(&dir_key(&artifact.id, last))?;
                    artifact.manifest = stored.or(artifact.manifest);
                }
            }
            self.save(&mut batch, &artifact)?;
            return Ok(self.store.apply(batch)?);
        }
        if let Some(parent) = self.parent(&artifact)?.filter(|_| !recursive) {
            check_parent(&parent, &place.user, "detach", Level::Admin)?;
        }
        let mut doomed = vec![artifact];
        while let Some(artifact) = doomed.pop() {
            if recursive {
                doomed.extend(self.children(&artifact)?);
            }
            let drafts = artifact.staging.iter().chain(&artifact.pending);
            let versions = artifact.versions.iter().map(|v| v.dir);
            for dir in versions.chain(drafts.map(|draft| draft.dir)) {
                self.drop_dir(&mut batch, &artifact.id, dir)?;
            }
            batch.remove(&self.records, &key(&artifact.workspace, &artifact.alias));
            self.known.remove(&artifact.id);
        }
        Ok(self.store.apply(batch)?)
    }

    /// Copies the last version of an artifact; secrets are never copied.
    ///
    /// # Errors
    /// It has no version, the target exists, or it is not allowed.
    pub fn duplicate(
        &self,
        pin: &Pin,
        place: &Place,
        to: Place,
        parent: Option<String>,
        overwrite: bool,
        stage: bool,
    ) -> Result<Json, ArtifactError> {
        let source = self.allowed(&place.workspace, &place.id, &place.user, "read")?;
        let Some(from) = source.latest_dir() else {
            return invalid("An artifact that was never committed cannot be duplicated.");
        };
        let at = key(&to.workspace, &to.id);
        self.create(Creation {
            place: to,
            parent,
            manifest: source.manifest.clone().unwrap_or_default(),
            kind: source.kind.clone(),
            config: source.config.clone(),
            secrets: Fields::new(),
            version: None,
            comment: Some(format!("Duplicated from {}", source.name())),
            overwrite,
            stage,
        })?;
        let Some(mut copy) = self.records.get(&at)? else {
            return Err(ArtifactError::NotFound(at));
        };
        let mut batch = Batch::new();
        let draft = copy.staging.as_ref().map(|draft| draft.dir);
        let dir = draft.or(copy.current).unwrap_or_default();
        self.objects.add_remove_dir(&mut batch, &copy.id, dir)?;
        let count =
            self.objects
                .add_copy_dir(&mut batch, pin, (&source.id, from), (&copy.id, dir))?;
        if draft.is_none() {
            copy.file_count = count as u64;
        }
        self.save(&mut batch, &copy)?;
        self.store.apply(batch)?;
        self.shown(&copy)
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
            let mut above = Some(new.clone());
            while let Some(holder) = above {
                if holder.id == artifact.id {
                    return invalid("An artifact cannot be inside itself.");
                }
                above = self.parent(&holder)?;
            }
            check_parent(new, user, "attach", Level::ReadWrite)?;
        }
        let id = new.map(|new| new.id);
        self.alter(place, "read", |artifact| {
            artifact.parent_id = id;
            Ok(())
        })
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
