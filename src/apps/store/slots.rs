//! What waits to be committed: filling the slots, editing the stage, emptying them.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::edits::StageEdit;
use super::model::{
    APPLICATION, Artifact, COLLECTION, Draft, KIND_COLLECTION, NewFiles, Object, Ops, Slot,
    StageRequest, StoredFile, Version, config_key, dir_key, file_key, key,
};
use super::{AppStoreError, Fields, Inner};
use crate::store::Batch;
use crate::workspace::PUBLIC;

impl Inner {
    pub(super) fn now(&self) -> f64 {
        self.clock.unix()
    }

    /// Adds the removal of a version's files to a batch.
    pub(super) fn drop_dir(
        &self,
        batch: &mut Batch,
        id: &str,
        dir: u32,
    ) -> Result<(), AppStoreError> {
        let prefix = file_key(id, dir, "");
        for key in self.files.keys(&prefix)? {
            batch.remove(&self.files, &key);
        }
        batch.remove(&self.manifests, &dir_key(id, dir));
        batch.remove(&self.manifests, &config_key(id, dir));
        Ok(())
    }

    fn blank(&self, workspace: &str, alias: &str, kind: &str, created_by: &str) -> Artifact {
        let now = self.now() as i64;
        Artifact {
            id: Uuid::now_v7().to_string(),
            workspace: workspace.to_owned(),
            alias: alias.to_owned(),
            kind: kind.to_owned(),
            parent_id: None,
            manifest: None,
            staging: None,
            pending: None,
            versions: Vec::new(),
            current: None,
            next_dir: 0,
            commits: 0,
            config: object(json!({ "permissions": { created_by: "*" } })),
            secrets: Fields::new(),
            download_count: 0.0,
            view_count: 0.0,
            file_count: 0,
            created_at: now,
            last_modified: now,
            created_by: created_by.to_owned(),
        }
    }

    /// The UUID of a collection. The one of all apps is made when it is first needed.
    fn collection(
        &self,
        batch: &mut Batch,
        request: &StageRequest,
    ) -> Result<String, AppStoreError> {
        let (workspace, alias) = (&request.workspace, &request.collection);
        let at = key(workspace, alias);
        match self.artifacts.get(&at)? {
            Some(known) if known.kind == KIND_COLLECTION => return Ok(known.id),
            None if alias == COLLECTION => {}
            _ => return Err(AppStoreError::NoCollection(format!("{workspace}/{alias}"))),
        }
        let made = self.applications(workspace, &request.created_by);
        batch.put(&self.artifacts, &at, &made)?;
        self.index.add(batch, &made)?;
        Ok(made.id)
    }

    /// The collection of a workspace's apps. Everybody may look into the public one.
    fn applications(&self, workspace: &str, created_by: &str) -> Artifact {
        let mut made = self.blank(workspace, COLLECTION, KIND_COLLECTION, created_by);
        let description = if workspace == PUBLIC {
            if let Some(permissions) = made.config["permissions"].as_object_mut() {
                permissions.insert("*".into(), "r".into());
            }
            "Public marketplace of applications".to_owned()
        } else {
            format!("Applications of the workspace {workspace}")
        };
        made.manifest = Some(object(json!({
            "id": COLLECTION,
            "name": "Applications",
            "description": description,
        })));
        made.versions.push(Version {
            version: "v0".into(),
            comment: None,
            created_at: made.created_at,
            dir: 0,
            failed: None,
            proven: false,
        });
        (made.next_dir, made.commits, made.current) = (1, 1, Some(0));
        made
    }

    pub(super) fn fill(
        &self,
        request: StageRequest,
        files: Vec<StoredFile>,
    ) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        let files = match &request.files {
            NewFiles::Contents(_) => files,
            NewFiles::CopyOf {
                workspace,
                app,
                version,
            } => {
                let name = format!("{workspace}/{app}");
                self.stored_files(&key(workspace, app), &name, version)?
            }
        };
        let at = key(&request.workspace, &request.app);
        let mut batch = Batch::new();
        let parent = self.collection(&mut batch, &request)?;
        let mut artifact = match self.artifacts.get(&at)? {
            Some(known) if !request.overwrite || !known.is_app() => {
                return Err(AppStoreError::Exists(request.app));
            }
            Some(known) => known,
            None => self.blank(
                &request.workspace,
                &request.app,
                APPLICATION,
                &request.created_by,
            ),
        };
        self.index.remove(&mut batch, &artifact);
        artifact.parent_id = Some(parent);
        self.index.add(&mut batch, &artifact)?;
        if let Some(old) = artifact.slot(request.slot).take() {
            self.drop_dir(&mut batch, &artifact.id, old.dir)?;
        }
        let dir = artifact.next_dir;
        artifact.next_dir += 1;
        for file in &files {
            self.put_entry(&mut batch, &artifact.id, dir, file)?;
        }
        *artifact.slot(request.slot) = Some(Draft::of(request.manifest, dir));
        batch.put(&self.artifacts, &at, &artifact)?;
        Ok(self.store.apply(batch)?)
    }

    fn put_entry(
        &self,
        batch: &mut Batch,
        id: &str,
        dir: u32,
        file: &StoredFile,
    ) -> Result<(), AppStoreError> {
        let entry = Object {
            blob: file.blob,
            size: file.size,
            at: self.now(),
            etag: None,
            content_type: None,
        };
        batch.put(&self.files, &file_key(id, dir, &file.path), &entry)?;
        Ok(())
    }

    /// Changes the stage; without one, a copy of the current version becomes it.
    pub(super) fn edit(&self, at: &str, name: &str, edit: StageEdit) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        let mut artifact = self.app(at, name)?;
        let mut batch = Batch::new();
        let staged = artifact.staging.as_ref().map(|stage| stage.dir);
        let stored_in = staged.or_else(|| artifact.current().map(|version| version.dir));
        let (mut manifest, dir) = match artifact.staging.take() {
            Some(stage) => (stage.manifest, stage.dir),
            None => self.copy_current(&mut batch, &mut artifact)?,
        };
        match edit {
            StageEdit::Manifest(edit) => edit.apply(&mut manifest)?,
            StageEdit::Put(file) => self.put_entry(&mut batch, &artifact.id, dir, &file)?,
            StageEdit::Remove(path) => {
                let there = match stored_in {
                    Some(dir) => self.files.contains(&file_key(&artifact.id, dir, &path))?,
                    None => false,
                };
                if !there {
                    return Err(AppStoreError::NoFile(path));
                }
                batch.remove(&self.files, &file_key(&artifact.id, dir, &path));
            }
        }
        artifact.staging = Some(Draft::of(manifest, dir));
        batch.put(&self.artifacts, at, &artifact)?;
        Ok(self.store.apply(batch)?)
    }

    fn copy_current(
        &self,
        batch: &mut Batch,
        artifact: &mut Artifact,
    ) -> Result<(Fields, u32), AppStoreError> {
        let from = artifact.current().map(|version| version.dir);
        let dir = artifact.next_dir;
        artifact.next_dir += 1;
        if let Some(from) = from {
            let prefix = file_key(&artifact.id, from, "");
            for (key, entry) in self.files.scan_prefix(&prefix)? {
                let copy = file_key(&artifact.id, dir, &key[prefix.len()..]);
                batch.put(&self.files, &copy, &entry)?;
            }
        }
        Ok((artifact.manifest.clone().unwrap_or_default(), dir))
    }

    pub(super) fn set_disabled(
        &self,
        at: &str,
        name: &str,
        disabled: bool,
    ) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        self.app(at, name)?;
        self.ops.put(at, &Ops { disabled })?;
        if disabled {
            self.disabled.insert(at.to_owned());
        } else {
            self.disabled.remove(at);
        }
        Ok(())
    }

    pub(super) fn discard(&self, at: &str, slot: Slot) -> Result<(), AppStoreError> {
        let _writing = self.writing.lock();
        let Some(artifact) = self.artifacts.get(at)? else {
            return Ok(());
        };
        let mut batch = Batch::new();
        self.empty(&mut batch, at, artifact, slot)?;
        Ok(self.store.apply(batch)?)
    }

    /// Empties a slot. A record with nothing left in it goes.
    pub(super) fn empty(
        &self,
        batch: &mut Batch,
        at: &str,
        mut artifact: Artifact,
        slot: Slot,
    ) -> Result<(), AppStoreError> {
        if let Some(draft) = artifact.slot(slot).take() {
            self.drop_dir(batch, &artifact.id, draft.dir)?;
        }
        let kept =
            artifact.is_committed() || artifact.staging.is_some() || artifact.pending.is_some();
        if kept {
            batch.put(&self.artifacts, at, &artifact)?;
        } else {
            batch.remove(&self.artifacts, at);
            self.index.remove(batch, &artifact);
        }
        Ok(())
    }
}

fn object(value: Json) -> Fields {
    match value {
        Json::Object(fields) => fields,
        _ => Fields::new(),
    }
}
