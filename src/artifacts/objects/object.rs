//! What is known of a named file, and the keys of the trees they lie in.

use serde::{Deserialize, Serialize};

use crate::artifacts::blobs::{BlobId, Put};

/// Separates the parts of a key; no name holds it.
const SEPARATOR: char = '\u{1}';

/// A named file: which blob it is, and what its readers are told. Copying one copies no bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its content.
    pub blob: BlobId,
    /// Bytes.
    pub size: u64,
    /// When it was put, in seconds since 1970.
    pub at: f64,
    /// MD5 of the content in hexadecimal digits, or `<md5 of the parts' md5>-<parts>`. Files that
    /// were not uploaded have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The media type that it was uploaded with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

impl Object {
    /// The object that a blob just put becomes.
    pub fn of(put: Put, content_type: Option<String>, at: f64) -> Object {
        Object {
            blob: put.id,
            size: put.size,
            at,
            etag: Some(put.md5),
            content_type,
        }
    }

    /// What changes whenever the content does, without quotes.
    pub fn etag(&self) -> String {
        match &self.etag {
            Some(etag) => etag.clone(),
            None => self.blob.to_string()[..32].to_owned(),
        }
    }

    /// The media type it was uploaded with, or what its name tells.
    pub fn media_type(&self, path: &str) -> String {
        let given = self.content_type.clone();
        given.unwrap_or_else(|| {
            mime_guess::from_path(path)
                .first_or_octet_stream()
                .to_string()
        })
    }
}

/// Key of a version of an artifact, or the start of the keys of its files.
pub fn dir_key(artifact: &str, dir: u32) -> String {
    format!("{artifact}{SEPARATOR}{dir:08}")
}

/// Key of the configuration that a version of an artifact was committed with.
pub fn config_key(artifact: &str, dir: u32) -> String {
    format!("{}{SEPARATOR}config", dir_key(artifact, dir))
}

/// Key of a file of an artifact; with an empty path, what the keys of all files there start with.
pub fn file_key(artifact: &str, dir: u32, path: &str) -> String {
    format!("{}{SEPARATOR}{path}", dir_key(artifact, dir))
}

/// Key of a file of a workspace; with an empty path, what the keys of all its files start with.
pub fn workspace_key(workspace: &str, path: &str) -> String {
    format!("{workspace}/{path}")
}
