//! Looking things up.

use serde_json::{Value as Json, json};

use super::model::{
    AppListing, AppVersion, Artifact, KIND_COLLECTION, PENDING, STAGE, StoredFile, VersionInfo,
    VersionSelector, dir_key, file_key,
};
use super::{AppStoreError, Fields, Inner};
use crate::apps::manifest::Manifest;
use crate::artifacts::{BlobId, permissions};
use crate::identity::UserInfo;

impl Inner {
    /// The record of an app.
    pub(super) fn app(&self, at: &str, name: &str) -> Result<Artifact, AppStoreError> {
        let found = self.artifacts.get(at)?.filter(Artifact::is_app);
        found.ok_or_else(|| AppStoreError::NotFound(name.to_owned()))
    }

    fn select(
        &self,
        artifact: &Artifact,
        selector: &VersionSelector,
    ) -> Result<(String, u32), AppStoreError> {
        artifact.select(selector).ok_or_else(|| match selector {
            VersionSelector::Label(label) => AppStoreError::NoVersion {
                app: artifact.alias.clone(),
                version: label.clone(),
            },
            VersionSelector::Stage | VersionSelector::Pending => AppStoreError::NotStaged,
            VersionSelector::Current => {
                AppStoreError::NotFound(format!("{}/{}", artifact.workspace, artifact.alias))
            }
        })
    }

    fn manifest_of(
        &self,
        artifact: &Artifact,
        label: &str,
        dir: u32,
    ) -> Result<Fields, AppStoreError> {
        let draft = match label {
            STAGE => &artifact.staging,
            PENDING => &artifact.pending,
            _ => &None,
        };
        if let Some(draft) = draft {
            return Ok(draft.manifest.clone());
        }
        let stored = self.manifests.get(&dir_key(&artifact.id, dir))?;
        Ok(stored
            .or_else(|| artifact.manifest.clone())
            .unwrap_or_default())
    }

    pub(super) fn installed(&self) -> Result<Vec<(String, String)>, AppStoreError> {
        let mut installed = Vec::new();
        for entry in self.artifacts.iter() {
            let (_, artifact) = entry?;
            if artifact.is_installed() {
                installed.push((artifact.workspace, artifact.alias));
            }
        }
        Ok(installed)
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<AppListing>, AppStoreError> {
        let found = self.artifacts.scan_prefix(prefix)?;
        Ok(found
            .into_iter()
            .filter(|(_, artifact)| artifact.is_installed())
            .map(|(_, artifact)| AppListing {
                manifest: Manifest::from(artifact.manifest.unwrap_or_default()),
                alias: artifact.alias,
            })
            .collect())
    }

    /// The apps that are staged and were never committed.
    pub(super) fn list_staged(&self, prefix: &str) -> Result<Vec<AppListing>, AppStoreError> {
        let found = self.artifacts.scan_prefix(prefix)?;
        Ok(found
            .into_iter()
            .filter(|(_, artifact)| artifact.is_app() && !artifact.is_committed())
            .filter_map(|(_, artifact)| {
                Some(AppListing {
                    manifest: Manifest::from(artifact.staging?.manifest),
                    alias: artifact.alias,
                })
            })
            .collect())
    }

    pub(super) fn exists(&self, at: &str) -> Result<bool, AppStoreError> {
        Ok(self
            .artifacts
            .get(at)?
            .is_some_and(|found| found.is_installed()))
    }

    /// Whether anything holds this id: an app, its stage, or a collection.
    pub(super) fn is_taken(&self, at: &str) -> Result<bool, AppStoreError> {
        let slots = |found: Artifact| found.is_committed() || found.staging.is_some();
        Ok(self.artifacts.get(at)?.is_some_and(slots))
    }

    pub(super) fn versions(&self, at: &str, name: &str) -> Result<Vec<VersionInfo>, AppStoreError> {
        Ok(self.app(at, name)?.version_infos())
    }

    /// Whether a version has run well for a while; unknown ones have.
    pub(super) fn is_proven(&self, at: &str, label: &str) -> Result<bool, AppStoreError> {
        let found = self.artifacts.get(at)?;
        let version = found
            .iter()
            .flat_map(|artifact| &artifact.versions)
            .find(|version| version.version == label);
        Ok(version.is_none_or(|version| version.proven))
    }

    /// Whether the permissions of an app, and of the collection it is in, let somebody carry out an
    /// operation. Both must: a grant on a child does not open a closed collection.
    pub(super) fn grants(
        &self,
        at: &str,
        user: &UserInfo,
        operation: &str,
    ) -> Result<bool, AppStoreError> {
        let Some(artifact) = self.artifacts.get(at)? else {
            return Ok(false);
        };
        if artifact.kind == KIND_COLLECTION {
            return Ok(allows(&artifact, user, operation));
        }
        let parent = self.parent(&artifact)?;
        Ok(parent.is_some_and(|parent| allows(&parent, user, operation)))
    }

    fn parent(&self, artifact: &Artifact) -> Result<Option<Artifact>, AppStoreError> {
        let Some(id) = &artifact.parent_id else {
            return Ok(None);
        };
        let found = match self.index.at(id)? {
            Some(at) => self.artifacts.get(&at)?,
            None => None,
        };
        Ok(found.filter(|other| other.kind == KIND_COLLECTION && other.id == *id))
    }

    /// The files of one version, for a copy.
    pub(super) fn stored_files(
        &self,
        at: &str,
        name: &str,
        selector: &VersionSelector,
    ) -> Result<Vec<StoredFile>, AppStoreError> {
        let artifact = self.app(at, name)?;
        let (_, dir) = self.select(&artifact, selector)?;
        let prefix = file_key(&artifact.id, dir, "");
        let found = self.files.scan_prefix(&prefix)?;
        Ok(found
            .into_iter()
            .map(|(key, entry)| StoredFile {
                path: key[prefix.len()..].to_owned(),
                blob: entry.blob,
                size: entry.size,
            })
            .collect())
    }

    pub(super) fn version(
        &self,
        at: &str,
        name: &str,
        selector: &VersionSelector,
    ) -> Result<AppVersion, AppStoreError> {
        let artifact = self.app(at, name)?;
        let (label, dir) = self.select(&artifact, selector)?;
        let manifest = Manifest::from(self.manifest_of(&artifact, &label, dir)?);
        Ok(AppVersion { label, manifest })
    }

    pub(super) fn blob_of(
        &self,
        at: &str,
        name: &str,
        label: &str,
        path: &str,
    ) -> Result<BlobId, AppStoreError> {
        let artifact = self.app(at, name)?;
        let selector = VersionSelector::Label(label.to_owned());
        // A session of a draft goes on after the draft became a version.
        let (_, dir) = match self.select(&artifact, &selector) {
            Err(_) if matches!(label, STAGE | PENDING) => {
                self.select(&artifact, &VersionSelector::Current)?
            }
            found => found?,
        };
        let entry = self.files.get(&file_key(&artifact.id, dir, path))?;
        entry
            .map(|entry| entry.blob)
            .ok_or_else(|| AppStoreError::NoFile(path.to_owned()))
    }

    pub(super) fn files(
        &self,
        at: &str,
        name: &str,
        selector: &VersionSelector,
    ) -> Result<Vec<(String, u64, f64)>, AppStoreError> {
        let artifact = self.app(at, name)?;
        let (_, dir) = self.select(&artifact, selector)?;
        let prefix = file_key(&artifact.id, dir, "");
        let found = self.files.scan_prefix(&prefix)?;
        Ok(found
            .into_iter()
            .map(|(key, entry)| (key[prefix.len()..].to_owned(), entry.size, entry.at))
            .collect())
    }

    pub(super) fn record(
        &self,
        at: &str,
        name: &str,
        selector: &VersionSelector,
    ) -> Result<Json, AppStoreError> {
        let artifact = self.app(at, name)?;
        let (label, dir) = self.select(&artifact, selector)?;
        let manifest = self.manifest_of(&artifact, &label, dir)?;
        let versions: Vec<Json> = artifact
            .versions
            .iter()
            .map(|version| {
                json!({
                    "version": version.version,
                    "comment": version.comment,
                    "created_at": version.created_at,
                })
            })
            .collect();
        let staging = match label.as_str() {
            STAGE => Some(self.staged_entries(&artifact, dir)?),
            _ => None,
        };
        let workspace = &artifact.workspace;
        let parent = self.parent(&artifact)?;
        let granted = artifact.config.get("permissions").and_then(Json::as_object);
        let mut record = json!({
            "id": format!("{workspace}/{}", artifact.alias),
            "type": artifact.kind,
            "workspace": workspace,
            "parent_id": parent.map(|parent| format!("{workspace}/{}", parent.alias)),
            "alias": artifact.alias,
            "staging": staging,
            "download_count": artifact.download_count,
            "view_count": artifact.view_count,
            "file_count": artifact.file_count,
            "created_at": artifact.created_at,
            "created_by": artifact.created_by,
            "last_modified": artifact.last_modified,
            "versions": versions,
            "config": artifact.config,
            "_id": artifact.id,
            "_permissions": granted.map(permissions::expanded),
            // Beyond the reference: which version this is, and which is started.
            "version": label,
            "current_version": artifact.current().map(|version| &version.version),
        });
        for field in ["name", "description", "entry_point", "services"] {
            record[field] = manifest.get(field).cloned().unwrap_or_default();
        }
        record["manifest"] = Json::Object(manifest);
        Ok(record)
    }

    /// The stage as clients see it: its files, and what a commit will do (artifacts.md 3).
    fn staged_entries(&self, artifact: &Artifact, dir: u32) -> Result<Vec<Json>, AppStoreError> {
        let prefix = file_key(&artifact.id, dir, "");
        let mut entries: Vec<Json> = self
            .files
            .keys(&prefix)?
            .iter()
            .map(|key| json!({ "path": key[prefix.len()..] }))
            .collect();
        entries.push(json!({ "_intent": "new_version" }));
        Ok(entries)
    }
}

fn allows(artifact: &Artifact, user: &UserInfo, operation: &str) -> bool {
    let granted = artifact.config.get("permissions").and_then(Json::as_object);
    granted.is_some_and(|granted| permissions::grants(granted, user, operation))
}
