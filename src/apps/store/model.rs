//! The stored records (design: trees `artifacts`, `artifact_versions`, `files`, `apps_ops`).

use serde::{Deserialize, Serialize};

use super::{AppStoreError, Fields};
use crate::apps::files::AppFile;
use crate::apps::manifest::Manifest;
use crate::artifacts::BlobId;
pub(super) use crate::artifacts::objects::{Object, config_key, dir_key, file_key};
pub(super) use crate::artifacts::store::{Artifact, Draft, Version, key};

/// Committed versions that are kept; older ones go with the next commit.
pub(super) const KEPT_VERSIONS: usize = 20;
/// Longest label in bytes.
const MAX_LABEL: usize = 128;

/// Which version is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSelector {
    Current,
    Stage,
    /// What an install under way has stored and not committed yet.
    Pending,
    Label(String),
}

/// Where something waits to be committed. Edits and installs have one place each, so that an
/// overwriting install leaves staged edits alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Edits, until somebody commits or discards them.
    Stage,
    /// An install that is being tried; forgotten at the next start of the server.
    Pending,
}

/// One version of an app.
#[derive(Debug, Clone)]
pub struct AppVersion {
    pub label: String,
    pub manifest: Manifest,
}

/// A committed app in a listing.
#[derive(Debug, Clone)]
pub struct AppListing {
    pub alias: String,
    pub manifest: Manifest,
}

/// Files of an app to be stored.
pub enum NewFiles {
    Contents(Vec<AppFile>),
    /// Those of a version of another app. They are looked up while nothing can take them away.
    CopyOf {
        workspace: String,
        app: String,
        version: VersionSelector,
    },
}

/// A file whose content is in the store.
#[derive(Debug, Clone)]
pub struct StoredFile {
    pub path: String,
    pub blob: BlobId,
    /// Bytes.
    pub size: u64,
}

/// An app to be put into a slot.
pub struct StageRequest {
    pub workspace: String,
    pub app: String,
    pub manifest: Fields,
    pub files: NewFiles,
    pub created_by: String,
    /// Replace an app of this id.
    pub overwrite: bool,
    pub slot: Slot,
    /// Alias of the collection it goes into, in the same workspace.
    pub collection: String,
}

/// Collection that the apps of a workspace belong to.
pub const COLLECTION: &str = "applications";
/// Label by which the stage is addressed.
pub(super) const STAGE: &str = "stage";
/// Label by which an install under way is addressed.
pub(super) const PENDING: &str = "pending";
/// Kind of the records that are apps.
pub(super) const APPLICATION: &str = "application";
/// Kind of the records that hold others.
pub(super) const KIND_COLLECTION: &str = "collection";

/// A committed version, as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    pub label: String,
    pub comment: Option<String>,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Started when no version is named.
    pub current: bool,
    /// Why the server took it out of use.
    pub failed: Option<String>,
}

/// Operational switches, apart from the versioned manifest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Ops {
    #[serde(default)]
    pub disabled: bool,
}

impl Artifact {
    pub fn is_app(&self) -> bool {
        self.kind == APPLICATION
    }

    pub fn is_committed(&self) -> bool {
        !self.versions.is_empty()
    }

    /// An app that can be started and listed.
    pub fn is_installed(&self) -> bool {
        self.is_app() && self.is_committed()
    }

    pub fn slot(&mut self, slot: Slot) -> &mut Option<Draft> {
        match slot {
            Slot::Stage => &mut self.staging,
            Slot::Pending => &mut self.pending,
        }
    }

    /// The version that is started when none is named.
    pub fn current(&self) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| Some(version.dir) == self.current)
            .or_else(|| self.versions.last())
    }

    /// Label and directory that a selector means.
    pub fn select(&self, selector: &VersionSelector) -> Option<(String, u32)> {
        let slot =
            |draft: &Option<Draft>, label: &str| Some((label.to_owned(), draft.as_ref()?.dir));
        let version = |version: &Version| (version.version.clone(), version.dir);
        match selector {
            VersionSelector::Stage => slot(&self.staging, STAGE),
            VersionSelector::Pending => slot(&self.pending, PENDING),
            VersionSelector::Label(label) => match label.as_str() {
                STAGE => slot(&self.staging, STAGE),
                PENDING => slot(&self.pending, PENDING),
                label => self
                    .versions
                    .iter()
                    .find(|v| v.version == label)
                    .map(version),
            },
            VersionSelector::Current => self.current().map(version),
        }
    }

    /// The committed versions, oldest first.
    pub fn version_infos(&self) -> Vec<VersionInfo> {
        let current = self.current().map(|version| version.dir);
        self.versions
            .iter()
            .map(|version| VersionInfo {
                label: version.version.clone(),
                comment: version.comment.clone(),
                created_at: version.created_at,
                current: Some(version.dir) == current,
                failed: version.failed.clone(),
            })
            .collect()
    }
}

/// Labels that mean something else, or could not stand in an address.
pub(super) fn checked_label(label: String) -> Result<String, AppStoreError> {
    let reserved = [STAGE, PENDING, "latest", "new", ""];
    let odd = label.contains(['/', '@', '?', '#']) || label.contains(char::is_control);
    if reserved.contains(&label.as_str()) || odd || label.len() > MAX_LABEL {
        return Err(AppStoreError::BadLabel(label));
    }
    Ok(label)
}

/// The label of the next version: `v` and the number of commits before it, or the next number that
/// is free.
pub(super) fn next_label(versions: &[Version], commits: u32) -> String {
    let mut number = commits;
    loop {
        let label = format!("v{number}");
        if versions.iter().all(|version| version.version != label) {
            return label;
        }
        number = number.saturating_add(1);
    }
}

/// The version to go back to from `from`: the newest one before it that has not failed itself.
pub(super) fn fallback(versions: &[Version], from: u32) -> Option<&Version> {
    let at = versions.iter().position(|version| version.dir == from)?;
    versions[..at]
        .iter()
        .rev()
        .find(|version| version.failed.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(label: &str, dir: u32, failed: bool) -> Version {
        Version {
            version: label.to_owned(),
            comment: None,
            created_at: 0,
            dir,
            failed: failed.then(|| "crashed".to_owned()),
            proven: false,
        }
    }

    #[test]
    fn labels_count_commits_and_skip_what_is_taken() {
        assert_eq!(next_label(&[], 0), "v0");
        // Old versions went; numbers are not used again.
        assert_eq!(next_label(&[version("v19", 30, false)], 20), "v20");
        let own = [version("1.0", 0, false), version("v2", 1, false)];
        assert_eq!(next_label(&own, 2), "v3");
    }

    #[test]
    fn some_labels_are_refused() {
        for bad in [
            "", "stage", "pending", "latest", "new", "a/b", "a@b", "a\nb",
        ] {
            assert!(checked_label(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(checked_label("x".repeat(MAX_LABEL + 1)).is_err());
        assert_eq!(checked_label("1.0.0 beta".into()).unwrap(), "1.0.0 beta");
    }

    #[test]
    fn going_back_skips_versions_that_failed() {
        let versions = [
            version("v0", 0, false),
            version("v1", 1, true),
            version("v2", 2, false),
        ];
        let before = |dir| fallback(&versions, dir).map(|version| version.version.as_str());
        assert_eq!(before(2), Some("v0"));
        assert_eq!(before(1), Some("v0"));
        assert_eq!((before(0), before(9)), (None, None));
    }
}
