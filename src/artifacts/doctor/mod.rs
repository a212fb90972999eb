//! Proves that what is known of artifacts and the contents of their files agree: a look at a data
//! folder that no server uses. Nothing is changed.
//!
//! An error is what no crash may leave behind. A note is what a crash may leave, or a deletion, and
//! the server clears away by itself.

mod contents;
mod files;
mod records;
mod report;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use report::{Counts, Finding, Report};

use super::blobs::{BlobError, BlobStore};
use super::objects::Object;
use super::objects::uploads::Upload;
use super::store::{Artifact, Fields};
use crate::store::{Store, StoreError, Tree};

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The records cannot be read at all.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The contents cannot be looked at.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// What is looked at.
struct Doctor {
    blobs: Arc<dyn BlobStore>,
    records: Tree<Artifact>,
    manifests: Tree<Fields>,
    ids: Tree<String>,
    children: Tree<String>,
    files: Tree<Object>,
    workspace_files: Tree<Object>,
    expiries: Tree<f64>,
    leftovers: Tree<f64>,
    uploads: Tree<Upload>,
    switches: Tree<serde_json::Value>,
    workspaces: Tree<serde_json::Value>,
    /// Names of the artifacts, by UUID.
    names: HashMap<String, String>,
    /// Names of all directories that records have, by UUID and number.
    dirs: HashMap<(String, u32), String>,
    /// Directories that wait to be removed, by UUID and number.
    doomed: HashSet<(String, u32)>,
    report: Report,
}

/// Looks at everything. `deep` reads all contents and compares their hashes.
///
/// # Errors
/// Something cannot be read at all. What can be read and is wrong stands in the report.
pub async fn examine(
    store: &Store,
    blobs: Arc<dyn BlobStore>,
    deep: bool,
) -> Result<Report, DoctorError> {
    let mut doctor = Doctor {
        blobs,
        records: store.tree("artifacts")?,
        manifests: store.tree("artifact_versions")?,
        ids: store.tree("artifact_ids")?,
        children: store.tree("artifact_children")?,
        files: store.tree("files")?,
        workspace_files: store.tree("objects")?,
        expiries: store.tree("object_expiries")?,
        leftovers: store.tree("file_leftovers")?,
        uploads: store.tree("uploads")?,
        switches: store.tree("apps_ops")?,
        workspaces: store.tree("workspaces")?,
        names: HashMap::new(),
        dirs: HashMap::new(),
        doomed: HashSet::new(),
        report: Report::default(),
    };
    let records = doctor.look_at_records()?;
    doctor.look_at_index(&records)?;
    doctor.look_at_manifests()?;
    doctor.look_at_leftovers()?;
    doctor.look_at_files(&records)?;
    doctor.look_at_workspace_files()?;
    doctor.look_at_uploads()?;
    doctor.look_at_contents(deep).await?;
    Ok(doctor.report)
}

impl Doctor {
    /// The entries of a tree; those that cannot be read are reported and left out.
    fn readable<T: serde::de::DeserializeOwned>(
        report: &mut Report,
        tree: &Tree<T>,
        mut each: impl FnMut(&mut Report, String, T) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for entry in tree.iter() {
            match entry {
                Ok((key, value)) => each(report, key, value)?,
                Err(StoreError::Corrupt { key, reason, .. }) => {
                    let subject = format!("{}: {}", tree.name(), shown(&key));
                    report.error("unreadable", subject, reason);
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Whether a workspace is there, or is made by every server.
    fn has_workspace(&self, workspace: &str) -> Result<bool, StoreError> {
        Ok(crate::workspace::is_system(workspace) || self.workspaces.contains(workspace)?)
    }
}

/// A key as people can read it.
fn shown(key: &str) -> String {
    key.replace(super::store::SEPARATOR, " ")
}

#[cfg(test)]
mod tests;
