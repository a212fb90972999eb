//! The record of an artifact (artifacts.md 2), as it lies in the tree `artifacts`.

use serde::{Deserialize, Serialize};

use super::Fields;

/// Separates the parts of a key; no name holds it.
pub const SEPARATOR: char = '\u{1}';

/// Key of an artifact; with an empty alias, what the keys of all in the workspace start with.
pub fn key(workspace: &str, alias: &str) -> String {
    format!("{workspace}{SEPARATOR}{alias}")
}

/// A committed version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    #[serde(default)]
    pub comment: Option<String>,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Stable number of the version's files; positions in the list shift, this does not.
    pub dir: u32,
    /// Why the server went back to an older version.
    #[serde(default)]
    pub failed: Option<String>,
    /// A session of it ran for long enough to trust it.
    #[serde(default)]
    pub proven: bool,
}

/// Content of a slot: a manifest and a directory with all files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Draft {
    pub manifest: Fields,
    /// Directory of its own, so that what is committed stays as it is until the commit.
    pub dir: u32,
    /// Replaces the configuration at the commit.
    #[serde(default)]
    pub config: Option<Fields>,
    /// Replaces the secrets at the commit.
    #[serde(default)]
    pub secrets: Option<Fields>,
    /// Replaces the type at the commit.
    #[serde(default)]
    pub kind: Option<String>,
    /// Whether the commit adds a version; otherwise it changes the last one.
    #[serde(default = "yes")]
    pub new_version: bool,
}

fn yes() -> bool {
    true
}

impl Draft {
    /// A new version with nothing but a manifest.
    pub fn of(manifest: Fields, dir: u32) -> Draft {
        Draft {
            manifest,
            dir,
            config: None,
            secrets: None,
            kind: None,
            new_version: true,
        }
    }
}

/// One artifact. Apps are artifacts of type `application`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Artifact {
    /// UUIDv7.
    pub id: String,
    pub workspace: String,
    pub alias: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// UUID of the collection it belongs to.
    #[serde(default)]
    pub parent_id: Option<String>,
    /// Of the current version; null before the first commit.
    pub manifest: Option<Fields>,
    #[serde(default)]
    pub staging: Option<Draft>,
    #[serde(default)]
    pub pending: Option<Draft>,
    /// Oldest first.
    pub versions: Vec<Version>,
    /// Directory of the version that is started when none is named.
    #[serde(default)]
    pub current: Option<u32>,
    pub next_dir: u32,
    /// Versions committed so far; labels count these.
    #[serde(default)]
    pub commits: u32,
    #[serde(default)]
    pub config: Fields,
    /// Never shown with the rest.
    #[serde(default)]
    pub secrets: Fields,
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
