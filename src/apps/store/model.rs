//! The stored records (design: trees `artifacts`, `artifact_versions`, `files`, `apps_ops`).

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Fields;
use crate::apps::files::AppFile;
use crate::apps::manifest::Manifest;
use crate::artifacts::BlobId;

/// Committed versions that are kept; older ones go with the next commit.
pub(super) const KEPT_VERSIONS: usize = 20;
/// Seconds for which an unreferenced file is left alone.
pub(super) const YOUNG_S: f64 = 3600.0;
/// Separates the parts of a key; no name holds it.
const SEPARATOR: char = '\u{1}';

/// Key of an app.
pub(super) fn key(workspace: &str, app: &str) -> String {
    format!("{workspace}{SEPARATOR}{app}")
}

/// Key of a version, or the prefix of its files.
pub(super) fn dir_key(id: &str, dir: u32) -> String {
    format!("{id}{SEPARATOR}{dir:08}")
}

/// Key of a file.
pub(super) fn file_key(id: &str, dir: u32, path: &str) -> String {
    format!("{}{SEPARATOR}{path}", dir_key(id, dir))
}

pub(super) fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// Which version is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSelector {
    Current,
    Stage,
    Label(String),
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

/// An app to be staged.
pub struct StageRequest {
    pub workspace: String,
    pub app: String,
    pub manifest: Fields,
    pub files: Vec<AppFile>,
    pub created_by: String,
    /// Replace an app of this id.
    pub overwrite: bool,
    /// Forgotten at the next start unless it is committed.
    pub trial: bool,
}

/// Label by which the stage is addressed.
pub(super) const STAGE: &str = "stage";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    pub version: String,
    #[serde(default)]
    pub comment: Option<String>,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Stable number of the version's files; positions in the list shift, this does not.
    pub dir: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Staging {
    pub manifest: Fields,
    pub dir: u32,
    #[serde(default)]
    pub trial: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Artifact {
    /// UUIDv7.
    pub id: String,
    pub workspace: String,
    pub alias: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Alias of the collection in the same workspace.
    pub parent: Option<String>,
    /// Of the current version; null before the first commit.
    pub manifest: Option<Fields>,
    pub staging: Option<Staging>,
    pub versions: Vec<Version>,
    pub next_dir: u32,
    #[serde(default)]
    pub config: Fields,
    #[serde(default)]
    pub download_count: f64,
    #[serde(default)]
    pub view_count: f64,
    #[serde(default)]
    pub file_count: u64,
    pub created_at: i64,
    pub last_modified: i64,
    pub created_by: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub blob: BlobId,
    pub size: u64,
    /// Seconds since 1970.
    pub at: f64,
}

/// Operational switches, apart from the versioned manifest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Ops {
    #[serde(default)]
    pub disabled: bool,
}

impl Artifact {
    pub fn is_committed(&self) -> bool {
        !self.versions.is_empty()
    }

    /// The directory and manifest that a selector means.
    pub fn select(&self, selector: &VersionSelector) -> Option<(String, u32)> {
        match selector {
            VersionSelector::Label(label) if label == STAGE => self.staged(),
            VersionSelector::Stage => self.staged(),
            VersionSelector::Label(label) => self
                .versions
                .iter()
                .find(|version| version.version == *label)
                .map(|version| (version.version.clone(), version.dir)),
            VersionSelector::Current => self
                .versions
                .last()
                .map(|version| (version.version.clone(), version.dir)),
        }
    }

    fn staged(&self) -> Option<(String, u32)> {
        let staging = self.staging.as_ref()?;
        Some((STAGE.to_owned(), staging.dir))
    }

    /// A label that no version has: `v` and its position, or the next free number.
    pub fn free_label(&self) -> String {
        let taken = |label: &str| self.versions.iter().any(|v| v.version == label);
        (self.next_dir.saturating_sub(1)..)
            .map(|number| format!("v{number}"))
            .find(|label| !taken(label))
            .unwrap_or_default()
    }
}
