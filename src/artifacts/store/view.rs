//! Artifacts as clients see them (artifacts.md 2).

use serde_json::{Value as Json, json};

use super::{Artifact, ArtifactError, Draft, Fields, Inner};
use crate::artifacts::objects::{StagedFile, config_key, dir_key};
use crate::artifacts::permissions;

/// What a reader looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// What waits to be committed.
    Stage,
    /// The directory of a committed version; none before the first commit.
    Committed(Option<u32>),
}

impl Inner {
    /// Manifest and configuration of what a reader looks at.
    fn content(
        &self,
        artifact: &Artifact,
        draft: Option<&Draft>,
        sight: Sight,
    ) -> Result<(Option<Fields>, Fields), ArtifactError> {
        let (manifest, config) = (&artifact.manifest, &artifact.config);
        if let Some(draft) = draft {
            let config = draft.config.as_ref().unwrap_or(config);
            return Ok((Some(draft.manifest.clone()), config.clone()));
        }
        match sight {
            Sight::Committed(Some(dir)) if artifact.latest_dir() != Some(dir) => {
                let old = self.manifests.get(&dir_key(&artifact.id, dir))?;
                let config_then = self.manifests.get(&config_key(&artifact.id, dir))?;
                let config = config_then.unwrap_or_else(|| config.clone());
                Ok((old.or_else(|| manifest.clone()), config))
            }
            _ => Ok((manifest.clone(), config.clone())),
        }
    }

    /// The object that calls return.
    ///
    /// # Errors
    /// The store failed.
    pub fn view(&self, artifact: &Artifact, sight: Sight) -> Result<Json, ArtifactError> {
        let draft = artifact.staging.as_ref().filter(|_| sight == Sight::Stage);
        let (manifest, mut config) = self.content(artifact, draft, sight)?;
        // Who may do what is not a matter of versions.
        let granted = artifact.config.get("permissions").and_then(Json::as_object);
        let permissions = granted.map(permissions::expanded).unwrap_or_default();
        let holds_others = config.get("is_collection") == Some(&json!(true));
        if artifact.kind == "collection" || holds_others {
            config.insert("is_collection".to_owned(), json!(true));
            let count = self.index.children(&artifact.id)?.len();
            config.insert("child_count".to_owned(), json!(count));
        }
        let parent = self.parent(artifact)?;
        let staged = draft.map(|draft| self.objects.staged_files(&artifact.id, draft.dir));
        let staged = staged.transpose()?.unwrap_or_default();
        let kind = draft.and_then(|draft| draft.kind.as_ref());
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
        Ok(json!({
            "id": artifact.name(),
            "_id": artifact.id,
            "workspace": artifact.workspace,
            "alias": artifact.alias,
            "type": kind.unwrap_or(&artifact.kind),
            "parent_id": parent.map(|parent| parent.name()),
            "manifest": manifest,
            "staging": draft.map(|draft| staged_list(draft, &staged)),
            "versions": versions,
            "config": config,
            "_permissions": permissions,
            "download_count": artifact.download_count,
            "view_count": artifact.view_count,
            "file_count": artifact.file_count,
            "created_at": artifact.created_at,
            "created_by": artifact.created_by,
            "last_modified": artifact.last_modified,
        }))
    }
}

fn staged_list(draft: &Draft, files: &[StagedFile]) -> Vec<Json> {
    let mut list: Vec<Json> = files
        .iter()
        .map(|file| {
            let mut shown = Fields::new();
            shown.insert("path".to_owned(), json!(file.path));
            if let Some(weight) = file.weight {
                shown.insert("download_weight".to_owned(), json!(weight));
            }
            if file.remove {
                shown.insert("_remove".to_owned(), json!(true));
            }
            Json::Object(shown)
        })
        .collect();
    let intent = match draft.new_version {
        true => "new_version",
        false => "edit_version",
    };
    list.push(json!({ "_intent": intent }));
    list
}
