//! Changing installed apps: edits, commits, versions, publishing.

use serde_json::{Value as Json, json};

use super::{Controller, named, opt_text, startup_of};
use crate::apps::autoscaler::ScalingConfig;
use crate::apps::copying::PublishRequest;
use crate::apps::files::safe_path;
use crate::apps::ids::AppRef;
use crate::apps::startup::StartupConfig;
use crate::apps::store::{ManifestEdit, VersionInfo};
use crate::apps::trial::CommitRequest;
use crate::identity::Level;
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::{Map, Value};

impl Controller {
    pub(super) async fn edit_app(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_for(args, context, Level::ReadWrite)?;
        let failed = |error: ServiceError| {
            ServiceError::new(
                error.class,
                format!("Failed to edit app '{app}': {}", error.message),
            )
        };
        let edit = manifest_edit(args).map_err(failed)?;
        // The old name stands in the manifest in some clients.
        let disabled = match args.opt_bool("disabled")? {
            Some(disabled) => Some(disabled),
            None => edit
                .fields
                .as_ref()
                .and_then(|fields| fields.get("disabled"))
                .and_then(Json::as_bool),
        };
        self.host
            .edit_app(&workspace, &app, edit, disabled)
            .await
            .map_err(failed)?;
        Ok(Value::Nil.into())
    }

    pub(super) async fn commit_app(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_for(args, context, Level::ReadWrite)?;
        let request = CommitRequest {
            workspace,
            app,
            startup: startup_of(args)?,
            version: opt_text(args, "version")?,
            worker_id: opt_text(args, "worker_id")?,
            progress: self.progress(args, context),
        };
        let manifest = self.host.commit_app(request, context).await?;
        Ok(Value::from_json(manifest.into_fields().into()).into())
    }

    pub(super) async fn edit_file(
        &self,
        args: &mut Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_for(args, context, Level::ReadWrite)?;
        let path = args.str("file_path")?.to_owned();
        let format = opt_text(args, "format")?;
        let content = args.take("file_content");
        let file = crate::apps::files::edited_file(&path, format.as_deref(), &content)?;
        self.host
            .put_file(&workspace, &app, file.path, file.content)
            .await
            .map_err(|error| {
                let message = format!("Failed to upload {path} to {app}: {}", error.message);
                ServiceError::new(error.class, message)
            })?;
        Ok(Value::Nil.into())
    }

    pub(super) async fn remove_file(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_for(args, context, Level::ReadWrite)?;
        let path = safe_path(args.str("file_path")?)?;
        self.host.remove_file(&workspace, &app, path).await?;
        Ok(Value::Nil.into())
    }

    pub(super) async fn list_versions(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_for(args, context, Level::Read)?;
        let versions = self.host.store.versions(&workspace, &app).await?;
        Ok(versions.iter().map(version_map).collect::<Vec<_>>().into())
    }

    pub(super) async fn rollback(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_for(args, context, Level::ReadWrite)?;
        let label = opt_text(args, "version")?;
        let now = self.host.roll_back(&workspace, &app, label).await?;
        Ok(now.into())
    }

    pub(super) async fn publish(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        if context.user.is_anonymous {
            return Err(ServiceError::assertion(
                "Anonymous users cannot publish apps",
            ));
        }
        let (workspace, app) = self.app_for(args, context, Level::Read)?;
        let request = PublishRequest {
            workspace,
            app,
            collection: AppRef::parse(args.str("collection_id")?)?,
            new_app: opt_text(args, "new_app_id")?,
            overwrite: args.bool("overwrite")?,
            remove_secrets: args.bool("remove_secrets")?,
            stage: args.bool("stage")?,
        };
        let record = self.host.publish(request, context).await?;
        Ok(Value::from_json(record).into())
    }
}

/// Reads the parts of `edit_app` that change the manifest.
fn manifest_edit(args: &Arguments) -> Result<ManifestEdit, ServiceError> {
    let object = |name: &str| named(args, name);
    let autoscaling = object("autoscaling_manifest")?.or(object("autoscaling_config")?);
    let autoscaling = match autoscaling {
        Some(fields) if fields.is_empty() => Some(Json::Null),
        Some(fields) => Some(
            ScalingConfig::filled(&fields)
                .map_err(|error| ServiceError::value(error.to_string()))?,
        ),
        None => None,
    };
    let startup_config = match object("startup_config")? {
        Some(fields) if fields.is_empty() => Some(Json::Null),
        Some(fields) => Some(json!(StartupConfig::read(&fields)?.to_json())),
        None => None,
    };
    Ok(ManifestEdit {
        fields: object("manifest")?,
        autoscaling,
        startup_config,
    })
}

fn version_map(version: &VersionInfo) -> Value {
    let map: Map = map! {
        "version" => version.label.as_str(),
        "comment" => version.comment.clone(),
        "created_at" => version.created_at,
        "current" => version.current,
        "failed" => version.failed.clone(),
    };
    Value::Map(map)
}
