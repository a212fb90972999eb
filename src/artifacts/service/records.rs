//! Calls about records.

use serde_json::{Value as Json, json};

use super::arguments::{flag, object, text, version};
use super::{ArtifactService, not_implemented};
use crate::artifacts::objects::clean;
use crate::artifacts::store::{
    ArtifactError, Copying, Creation, Deletion, Edit, Inner, Place, Sight,
};
use crate::peer::{Arguments, CallContext, ServiceError};

impl ArtifactService {
    pub(super) async fn create(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Json, ServiceError> {
        let (alias, id) = (text(args, "alias")?, text(args, "artifact_id")?);
        if alias.is_some() && id.is_some() {
            return Err(ServiceError::value(
                "Give either alias or artifact_id, not both.",
            ));
        }
        let version = text(args, "version")?;
        let parent = text(args, "parent_id")?;
        let stage = flag(args, "stage")? || version.as_deref() == Some("stage");
        let manifest = object(args, "manifest")?;
        if id.as_ref().is_some_and(|id| !id.contains('/')) {
            return Err(ServiceError::value(
                "artifact_id must be in the format 'workspace/alias'.",
            ));
        }
        let (workspace, alias) = self.target(
            alias.or(id),
            text(args, "workspace")?,
            parent.as_deref(),
            context,
        )?;
        let kind = text(args, "type")?.unwrap_or_else(|| "generic".to_owned());
        let config = object(args, "config")?.unwrap_or_default();
        if kind == "vector-collection" {
            return Err(not_implemented("This server has no vector collections."));
        }
        if config
            .get("storage")
            .is_some_and(|storage| storage == "git")
        {
            return Err(not_implemented("This server has no git storage."));
        }
        let new = Creation {
            workspace,
            alias,
            user: context.user.clone(),
            parent,
            manifest: manifest.ok_or_else(|| ServiceError::value("Manifest must be provided."))?,
            kind,
            config,
            secrets: object(args, "secrets")?.unwrap_or_default(),
            version,
            comment: text(args, "comment")?,
            overwrite: flag(args, "overwrite")?,
            stage,
        };
        Ok(self.store.change(move |inner, _| inner.create(new)).await?)
    }

    /// The workspace and alias of something new.
    fn target(
        &self,
        alias: Option<String>,
        workspace: Option<String>,
        parent: Option<&str>,
        context: &CallContext,
    ) -> Result<(String, Option<String>), ServiceError> {
        let (own, alias) = match alias.as_deref().map(str::trim) {
            Some(alias) => match alias.split_once('/') {
                Some((workspace, alias)) => (Some(workspace.to_owned()), Some(alias.to_owned())),
                None => (None, Some(alias.to_owned())),
            },
            None => (None, None),
        };
        if alias.as_ref().is_some_and(|alias| alias.contains('/')) {
            return Err(ServiceError::value("An alias has no slash."));
        }
        if own.is_some() && workspace.is_some() && own != workspace {
            return Err(ServiceError::value("The alias names another workspace."));
        }
        let above = parent.and_then(|parent| Some(parent.split_once('/')?.0.to_owned()));
        let workspace = own.or(workspace).or(above);
        let workspace = workspace.unwrap_or_else(|| context.ws.clone());
        let info = self.directory.get(&workspace);
        if !info.is_some_and(|info| info.persistent) {
            return Err(ServiceError::permission(format!(
                "Cannot create artifact in a non-persistent workspace `{workspace}`."
            )));
        }
        Ok((workspace, alias))
    }

    pub(super) async fn duplicate(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Json, ServiceError> {
        let parent = text(args, "target_parent_id")?;
        let (workspace, alias) = self.target(
            text(args, "target_alias")?,
            text(args, "target_workspace")?,
            parent.as_deref(),
            context,
        )?;
        let to = Copying {
            workspace,
            alias,
            parent,
            overwrite: flag(args, "overwrite")?,
            stage: flag(args, "stage")?,
        };
        let place = Place {
            workspace: context.ws.clone(),
            id: text(args, "source_artifact_id")?.unwrap_or_default(),
            user: context.user.clone(),
        };
        let copied = self
            .store
            .change(move |inner, pin| inner.duplicate(pin, &place, to));
        Ok(copied.await?)
    }

    pub(super) async fn on_record(
        &self,
        method: &'static str,
        args: &Arguments,
        place: Place,
    ) -> Result<Json, ServiceError> {
        let store = &self.store;
        let done = match method {
            "read" => {
                let (version, silent) = (version(args)?, flag(args, "silent")?);
                let read = move |inner: &Inner| {
                    let mut found =
                        inner.allowed(&place.workspace, &place.id, &place.user, "read")?;
                    let sight = found.sight(version.as_deref())?;
                    if !silent {
                        inner.count(&found, 1.0, 0.0)?;
                        found.view_count += 1.0;
                    }
                    inner.view(&found, sight)
                };
                store.read(read).await
            }
            "edit" => {
                let edit = Edit {
                    manifest: object(args, "manifest")?,
                    kind: text(args, "type")?,
                    config: object(args, "config")?,
                    secrets: object(args, "secrets")?,
                    version: text(args, "version")?,
                    comment: text(args, "comment")?,
                    stage: flag(args, "stage")?,
                };
                store
                    .change(move |inner, pin| inner.edit(pin, &place, edit))
                    .await
            }
            "commit" => {
                let (version, comment) = (text(args, "version")?, text(args, "comment")?);
                store
                    .change(move |inner, pin| inner.commit(pin, &place, version, comment))
                    .await
            }
            "get_status" => {
                let read = move |inner: &Inner| {
                    let found =
                        inner.allowed(&place.workspace, &place.id, &place.user, "get_file")?;
                    let staged = found.staging.is_some();
                    let mut status = json!({ "staged": staged });
                    if staged {
                        status["files"] = inner.view(&found, Sight::Stage)?["staging"].take();
                    }
                    Ok(status)
                };
                store.read(read).await
            }
            "discard_changes" => {
                let discard = store.change(move |inner, _| {
                    let found = inner.allowed(&place.workspace, &place.id, &place.user, "edit")?;
                    if found.staging.is_none() {
                        return Ok(json!({ "status": "nothing_to_discard" }));
                    }
                    inner.discard(&place)?;
                    Ok(json!({ "status": "discarded", "branch": "all" }))
                });
                discard.await
            }
            "discard" => store.remove(move |inner, _| inner.discard(&place)).await,
            "delete" => {
                let deletion = Deletion {
                    version: text(args, "version")?,
                    recursive: flag(args, "recursive")?,
                    files: flag(args, "delete_files")?,
                };
                let delete = store.remove(move |inner, _| inner.delete(&place, &deletion));
                for (workspace, app) in delete.await? {
                    if let Some(apps) = &self.apps {
                        apps.artifact_deleted(&workspace, &app).await?;
                    }
                }
                Ok(Json::Null)
            }
            "reset_stats" => {
                let reset = store.change(move |inner, _| {
                    inner.alter(&place, "reset_stats", |artifact| {
                        artifact.view_count = 0.0;
                        artifact.download_count = 0.0;
                        Ok(())
                    })
                });
                reset.await.map(|_| Json::Null)
            }
            "get_secret" => {
                let wanted = text(args, "secret_key")?;
                let read = store.read(move |inner| {
                    inner.allowed(&place.workspace, &place.id, &place.user, "get_secret")
                });
                read.await.map(|found| match wanted {
                    Some(wanted) => found.secrets.get(&wanted).cloned().unwrap_or_default(),
                    None => Json::Object(found.secrets),
                })
            }
            "set_secret" => self.set_secret(args, place).await,
            "set_parent" => {
                let parent = text(args, "new_parent_id")?;
                let moved =
                    store.change(move |inner, _| inner.set_parent(&place, parent.as_deref()));
                moved.await
            }
            "set_download_weight" => {
                let path = clean(&text(args, "file_path")?.unwrap_or_default())?;
                let weight = args.opt_f64("download_weight")?.unwrap_or(0.0);
                if weight < 0.0 {
                    return Err(ServiceError::value(
                        "Download weight must be a non-negative number.",
                    ));
                }
                let set = store.change(move |inner, _| {
                    inner.alter(&place, "set_download_weight", |artifact| {
                        artifact.set_weight(&path, weight);
                        Ok(())
                    })
                });
                set.await.map(|_| Json::Null)
            }
            other => return Err(ServiceError::key(format!("Method not found: {other}"))),
        };
        Ok(done?)
    }

    async fn set_secret(&self, args: &Arguments, place: Place) -> Result<Json, ArtifactError> {
        let name = args
            .get("secret_key")
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let value = args.get("secret_value").to_json();
        let set = self.store.change(move |inner, _| {
            inner.alter(&place, "set_secret", |artifact| {
                match value {
                    Json::Null => artifact.secrets.remove(&name),
                    value => artifact.secrets.insert(name, value),
                };
                Ok(())
            })
        });
        set.await.map(|_| Json::Null)
    }
}
