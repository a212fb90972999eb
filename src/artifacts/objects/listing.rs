//! Listing files in the order of their names, folders folded.

use super::{Inner, Object, ObjectError, Objects, file_key, workspace_key};
use crate::store::Tree;

/// What is directly in a folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A file, by its name in the folder.
    File(String, Object),
    /// A folder, by its name without slash.
    Folder(String),
}

/// Which part of a listing is wanted. Entries come in the order of their names, as S3 has it: a
/// folder stands where its name with a slash would.
#[derive(Debug, Clone)]
pub struct Page {
    /// Entries that are left out first.
    pub offset: usize,
    /// The most that are returned.
    pub limit: usize,
}

impl Objects {
    /// What is in a folder of an artifact. `dir_path` is clean and has no slash at its end.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list_dir(
        &self,
        artifact: &str,
        dir: u32,
        dir_path: &str,
        page: Page,
    ) -> Result<Vec<Entry>, ObjectError> {
        let prefix = file_key(artifact, dir, &folder(dir_path));
        self.blocking(move |inner| folded(&inner.files, &prefix, &page))
            .await
    }

    /// What is in a folder of a workspace.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list_workspace(
        &self,
        workspace: &str,
        dir_path: &str,
        page: Page,
    ) -> Result<Vec<Entry>, ObjectError> {
        let prefix = workspace_key(workspace, &folder(dir_path));
        self.blocking(move |inner: &Inner| folded(&inner.workspace_files, &prefix, &page))
            .await
    }

    /// Paths and objects of all files of a directory of an artifact.
    ///
    /// # Errors
    /// The store failed.
    pub async fn all_files(
        &self,
        artifact: &str,
        dir: u32,
    ) -> Result<Vec<(String, Object)>, ObjectError> {
        let prefix = file_key(artifact, dir, "");
        self.blocking(move |inner| {
            let found = inner.files.scan_prefix(&prefix)?;
            let relative = |(key, object): (String, Object)| (key[prefix.len()..].into(), object);
            Ok(found.into_iter().map(relative).collect())
        })
        .await
    }
}

/// A folder as the start of the paths in it.
fn folder(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => String::new(),
        path => format!("{path}/"),
    }
}

fn folded(tree: &Tree<Object>, prefix: &str, page: &Page) -> Result<Vec<Entry>, ObjectError> {
    let mut entries = Vec::new();
    let mut skipped = 0;
    // Of a folder only its first file is read, then the rest of it is jumped over.
    let mut next = Some(prefix.to_owned());
    while let Some(from) = next.take() {
        for found in tree.range_from(&from, prefix) {
            let (key, object) = found?;
            let name = &key[prefix.len()..];
            let inner_folder = name.split_once('/').map(|(folder, _)| folder.to_owned());
            // A key that is the folder itself is no entry of it.
            if name.is_empty() {
                continue;
            }
            if let Some(folder) = &inner_folder {
                // `0` is the character after `/`.
                next = Some(format!("{prefix}{folder}0"));
            }
            if skipped < page.offset {
                skipped += 1;
            } else if entries.len() == page.limit {
                return Ok(entries);
            } else {
                entries.push(match inner_folder {
                    Some(folder) => Entry::Folder(folder),
                    None => Entry::File(name.to_owned(), object),
                });
            }
            if next.is_some() {
                break;
            }
        }
    }
    Ok(entries)
}
