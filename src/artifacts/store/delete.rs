//! Deleting artifacts and versions.

use serde_json::Value as Json;

use super::changes::{invalid, refuse_pending};
use super::{Artifact, ArtifactError, Inner, Place, Sight, check, check_parent, key};
use crate::artifacts::objects::dir_key;
use crate::identity::{Level, UserInfo};
use crate::store::Batch;

/// What is to be deleted.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// Only this version.
    pub version: Option<String>,
    /// What is in a collection, too.
    pub recursive: bool,
    /// Whether the files go at once. Otherwise they stay as long as an address may work.
    pub files: bool,
}

impl Inner {
    /// Deletes an artifact or one of its versions; the names of the apps that are gone, as
    /// workspace and alias.
    ///
    /// # Errors
    /// There is no such version, or it is not allowed.
    pub fn delete(
        &self,
        place: &Place,
        deletion: &Deletion,
    ) -> Result<Vec<(String, String)>, ArtifactError> {
        let artifact = self.find(&place.workspace, &place.id)?;
        let parent = self.parent(&artifact)?;
        let user = &place.user;
        let own = deletion.version.is_none()
            && !deletion.recursive
            && parent
                .as_ref()
                .is_some_and(|parent| is_recipient(parent, &artifact, user));
        if !own {
            check(&artifact, parent.as_ref(), user, "delete")?;
        }
        if let Some(version) = &deletion.version {
            self.delete_version(artifact, version, deletion.files)?;
            return Ok(Vec::new());
        }
        if let Some(parent) = parent.filter(|_| !deletion.recursive && !own) {
            check_parent(&parent, user, "detach", Level::Admin)?;
        }
        let mut batch = Batch::new();
        let mut apps = Vec::new();
        let mut doomed = vec![artifact];
        while let Some(artifact) = doomed.pop() {
            refuse_pending(&artifact)?;
            if deletion.recursive {
                for child in self.children(&artifact)? {
                    check(&child, Some(&artifact), user, "delete")?;
                    check_parent(&artifact, user, "detach", Level::Admin)?;
                    doomed.push(child);
                }
            }
            // Those that go, too, are removed after this.
            self.index
                .detach_children(&mut batch, &self.records, &artifact.id)?;
            self.add_delete(&mut batch, &artifact, deletion.files)?;
            if artifact.is_app() {
                apps.push((artifact.workspace, artifact.alias));
            }
        }
        self.store.apply(batch)?;
        Ok(apps)
    }

    /// Adds removing a record and what belongs to it to a batch.
    pub(super) fn add_delete(
        &self,
        batch: &mut Batch,
        artifact: &Artifact,
        files: bool,
    ) -> Result<(), ArtifactError> {
        for dir in artifact.dirs() {
            self.remove_dir(batch, &artifact.id, dir, files)?;
        }
        batch.remove(&self.records, &key(&artifact.workspace, &artifact.alias));
        self.index.remove(batch, artifact);
        Ok(())
    }

    fn remove_dir(
        &self,
        batch: &mut Batch,
        id: &str,
        dir: u32,
        files: bool,
    ) -> Result<(), ArtifactError> {
        if files {
            return self.drop_dir(batch, id, dir);
        }
        self.forget_version(batch, id, dir);
        Ok(self.objects.add_leave_dir(batch, id, dir)?)
    }

    fn delete_version(
        &self,
        mut artifact: Artifact,
        version: &str,
        files: bool,
    ) -> Result<(), ArtifactError> {
        if version == "stage" {
            return invalid(match artifact.staging {
                Some(_) => {
                    "Cannot delete staged version. The artifact is in staging mode. Please use \
                     the 'discard' function instead to remove staged changes."
                }
                None => "Cannot delete staged version. The artifact is not in staging mode.",
            });
        }
        let names: Vec<&str> = artifact.versions.iter().map(|v| &*v.version).collect();
        let named = names.contains(&version) || version == "latest";
        let index = version.parse::<i64>().ok();
        match index {
            _ if named => {}
            Some(at) if (0..names.len() as i64).contains(&at) => {}
            Some(at) => {
                let last = names.len().saturating_sub(1);
                return invalid(format!(
                    "Version index {at} is out of range. Available indices: 0-{last}"
                ));
            }
            None => {
                let names = names.join("', '");
                return invalid(format!(
                    "Version '{version}' does not exist. Available versions: ['{names}']"
                ));
            }
        }
        let Sight::Committed(Some(dir)) = artifact.sight(Some(version))? else {
            return invalid(format!("Version '{version}' does not exist."));
        };
        let mut batch = Batch::new();
        artifact.versions.retain(|v| v.dir != dir);
        self.remove_dir(&mut batch, &artifact.id, dir, files)?;
        if artifact.current == Some(dir) {
            artifact.current = artifact.versions.last().map(|v| v.dir);
            if let Some(last) = artifact.current {
                let stored = self.manifests.get(&dir_key(&artifact.id, last))?;
                artifact.manifest = stored.or(artifact.manifest);
            }
            let latest = artifact.latest_dir();
            artifact.file_count = match latest {
                Some(dir) => self.count_files(&artifact.id, dir)?,
                None => 0,
            };
        }
        self.save(&mut batch, &artifact)?;
        Ok(self.store.apply(batch)?)
    }

    /// Removes all artifacts and files of a workspace.
    ///
    /// # Errors
    /// The store failed.
    pub fn delete_all(&self, workspace: &str) -> Result<(), ArtifactError> {
        let mut batch = Batch::new();
        for entry in self.records.iter_prefix(&key(workspace, "")) {
            self.add_delete(&mut batch, &entry?.1, true)?;
        }
        self.objects.add_remove_workspace(&mut batch, workspace)?;
        Ok(self.store.apply(batch)?)
    }
}

/// Whether an artifact is addressed to somebody in a collection that lets people delete what is
/// addressed to them.
fn is_recipient(parent: &Artifact, artifact: &Artifact, user: &UserInfo) -> bool {
    let field = parent.config.get("recipient_field").and_then(Json::as_str);
    let allows = parent.config.get("recipient_can_delete") == Some(&Json::Bool(true));
    let manifest = artifact.manifest.as_ref();
    let named = field.and_then(|field| manifest?.get(field)?.as_str());
    allows && named.is_some_and(|named| !named.is_empty() && user.email.as_deref() == Some(named))
}
