//! Looking things up.

use std::collections::HashSet;

use serde_json::{Value as Json, json};

use super::model::{AppListing, AppVersion, Artifact, STAGE, VersionSelector, dir_key, file_key};
use super::{AppStoreError, Fields, Inner};
use crate::apps::manifest::Manifest;
use crate::artifacts::BlobId;

impl Inner {
    fn artifact(&self, at: &str, name: &str) -> Result<Artifact, AppStoreError> {
        self.artifacts
            .get(at)?
            .ok_or_else(|| AppStoreError::NotFound(name.to_owned()))
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
            VersionSelector::Stage => AppStoreError::NotStaged,
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
        if label == STAGE
            && let Some(staging) = &artifact.staging
        {
            return Ok(staging.manifest.clone());
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
            if artifact.is_committed() {
                installed.push((artifact.workspace, artifact.alias));
            }
        }
        Ok(installed)
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<AppListing>, AppStoreError> {
        let found = self.artifacts.scan_prefix(prefix)?;
        Ok(found
            .into_iter()
            .filter(|(_, artifact)| artifact.is_committed())
            .map(|(_, artifact)| AppListing {
                manifest: Manifest::from(artifact.manifest.unwrap_or_default()),
                alias: artifact.alias,
            })
            .collect())
    }

    pub(super) fn exists(&self, at: &str) -> Result<bool, AppStoreError> {
        Ok(self
            .artifacts
            .get(at)?
            .is_some_and(|found| found.is_committed()))
    }

    pub(super) fn version(
        &self,
        at: &str,
        name: &str,
        selector: &VersionSelector,
    ) -> Result<AppVersion, AppStoreError> {
        let artifact = self.artifact(at, name)?;
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
        let artifact = self.artifact(at, name)?;
        let selector = VersionSelector::Label(label.to_owned());
        // A session of a trial goes on after its stage became a version.
        let (_, dir) = match self.select(&artifact, &selector) {
            Err(_) if label == STAGE => self.select(&artifact, &VersionSelector::Current)?,
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
        let artifact = self.artifact(at, name)?;
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
        let artifact = self.artifact(at, name)?;
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
        let workspace = &artifact.workspace;
        Ok(json!({
            "id": format!("{workspace}/{}", artifact.alias),
            "type": artifact.kind,
            "workspace": workspace,
            "parent_id": artifact.parent.as_ref().map(|parent| format!("{workspace}/{parent}")),
            "alias": artifact.alias,
            "manifest": manifest,
            "staging": artifact.staging.is_some().then(|| json!([{ "_intent": "new_version" }])),
            "download_count": artifact.download_count,
            "view_count": artifact.view_count,
            "file_count": artifact.file_count,
            "created_at": artifact.created_at,
            "created_by": artifact.created_by,
            "last_modified": artifact.last_modified,
            "versions": versions,
            "config": artifact.config,
            "_id": artifact.id,
            "_permissions": artifact.config.get("permissions"),
        }))
    }

    pub(super) fn used_blobs(&self) -> Result<HashSet<BlobId>, AppStoreError> {
        let mut used = HashSet::new();
        for entry in self.files.iter() {
            used.insert(entry?.1.blob);
        }
        Ok(used)
    }
}
