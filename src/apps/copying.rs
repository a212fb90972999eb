//! Copies of apps: installing from an artifact, and publishing (server-apps.md 1.1, 1.16).

use serde_json::Value as Json;

use super::host::Host;
use super::ids::{AppId, AppRef};
use super::install::{InstallRequest, Prepared, tell};
use super::manifest::Manifest;
use super::progress::Step;
use super::store::{NewFiles, Slot, StageRequest, VersionSelector};
use crate::identity::Level;
use crate::peer::{CallContext, ServiceError};

/// The arguments of `publish`.
pub struct PublishRequest {
    pub workspace: String,
    pub app: String,
    /// `workspace/alias` of the collection that takes the copy.
    pub collection: AppRef,
    pub new_app: Option<String>,
    pub overwrite: bool,
    pub remove_secrets: bool,
    pub stage: bool,
}

impl Host {
    /// What `install` goes on with when it copies an installed app.
    pub(super) async fn prepare_copy(
        &self,
        request: &InstallRequest,
        artifact: &str,
        app: &str,
        context: &CallContext,
    ) -> Result<Prepared, ServiceError> {
        tell(&request.progress, Step::CopyingArtifact { id: artifact });
        let source = AppRef::parse(artifact)?;
        let workspace = source.workspace_or(&context.ws);
        self.require_operation(workspace, &source.alias, "read", Level::Read, context)
            .await?;
        let (manifest, files) = self.copy_of(workspace, &source.alias).await?;
        let manifest = self.completed(request, manifest, app, context)?;
        Ok(Prepared { manifest, files })
    }

    /// Manifest and files of an app's current version, without what belongs to its workspace.
    async fn copy_of(
        &self,
        workspace: &str,
        app: &str,
    ) -> Result<(Manifest, NewFiles), ServiceError> {
        let current = VersionSelector::Current;
        let version = self.store.version(workspace, app, &current).await?;
        // Read by its label: the two must be of one version.
        let selector = VersionSelector::Label(version.label);
        let files = NewFiles::CopyOf {
            workspace: workspace.to_owned(),
            app: app.to_owned(),
            version: selector,
        };
        let mut fields = version.manifest.without_secrets().into_fields();
        // The services have the workspace in their ids; a trial start finds them anew.
        fields.remove("services");
        fields.remove("service_ids");
        Ok((Manifest::checked(fields)?, files))
    }

    /// The record of a copy that was installed.
    pub(super) async fn copied(
        &self,
        request: &InstallRequest,
        app: &str,
    ) -> Result<Json, ServiceError> {
        let selector = if request.stage {
            VersionSelector::Stage
        } else {
            VersionSelector::Current
        };
        let record = self.store.record(&request.workspace, app, &selector);
        Ok(record.await?)
    }

    /// Checks a right on an app: one in its workspace, or one that its collection grants.
    async fn require_operation(
        &self,
        workspace: &str,
        app: &str,
        operation: &'static str,
        level: Level,
        context: &CallContext,
    ) -> Result<(), ServiceError> {
        if context.user.allows(workspace, level)
            || self
                .store
                .grants(workspace, app, &context.user, operation)
                .await?
        {
            return Ok(());
        }
        Err(ServiceError::permission(format!(
            "User {} does not have permission to perform the operation '{operation}' on the \
             artifact {workspace}/{app}.",
            context.user.id
        )))
    }

    /// Copies an app into a collection; the record of the copy.
    ///
    /// # Errors
    /// Not allowed, no such app or collection, or the id is taken.
    pub async fn publish(
        &self,
        request: PublishRequest,
        context: &CallContext,
    ) -> Result<Json, ServiceError> {
        let target = request.collection.workspace_or(&context.ws).to_owned();
        let app = AppId::new(request.new_app.as_deref().unwrap_or(&request.app))?;
        let app = app.as_str();
        let operation = if request.stage { "draft" } else { "attach" };
        self.require_operation(
            &target,
            &request.collection.alias,
            operation,
            Level::ReadWrite,
            context,
        )
        .await?;
        let replaces = request.overwrite && self.store.is_taken(&target, app).await?;
        if replaces && !context.user.allows(&target, Level::ReadWrite) {
            return Err(ServiceError::permission(format!(
                "User {} does not have permission to overwrite the artifact {target}/{app}.",
                context.user.id
            )));
        }
        let _one_at_a_time = self.installs.take(&target, app).await;
        let published = self.publish_as(&request, &target, app, context).await;
        self.installs.tidy();
        published
    }

    async fn publish_as(
        &self,
        request: &PublishRequest,
        target: &str,
        app: &str,
        context: &CallContext,
    ) -> Result<Json, ServiceError> {
        self.check_app_room(target, app).await?;
        let current = VersionSelector::Current;
        let version = self
            .store
            .version(&request.workspace, &request.app, &current)
            .await?;
        let selector = VersionSelector::Label(version.label);
        let mut manifest = version.manifest;
        if request.remove_secrets {
            manifest = manifest.without_secrets();
        }
        manifest.set("id", app);
        // The installer's rights stay at home: a copy runs with those of whoever starts it.
        manifest.set("startup_context", Json::Null);
        rename_services(&mut manifest, target);
        let slot = if request.stage {
            Slot::Stage
        } else {
            Slot::Pending
        };
        let fields = manifest.into_fields();
        self.store
            .fill(StageRequest {
                workspace: target.to_owned(),
                app: app.to_owned(),
                manifest: fields.clone(),
                files: NewFiles::CopyOf {
                    workspace: request.workspace.clone(),
                    app: request.app.clone(),
                    version: selector,
                },
                created_by: context.user.effective_id().to_owned(),
                overwrite: request.overwrite,
                slot,
                collection: request.collection.alias.clone(),
            })
            .await?;
        if request.stage {
            return Ok(self
                .store
                .record(target, app, &VersionSelector::Stage)
                .await?);
        }
        if let Err(error) = self.store.commit(target, app, slot, fields, None).await {
            self.store.discard(target, app, slot).await?;
            return Err(error.into());
        }
        self.replace_sessions(target, app, "a new version was published")
            .await?;
        Ok(self.store.record(target, app, &current).await?)
    }
}

/// The services of a copy are those of its own workspace.
fn rename_services(manifest: &mut Manifest, workspace: &str) {
    let renamed = manifest
        .services()
        .iter()
        .cloned()
        .map(|mut service| {
            let name = service["id"]
                .as_str()
                .and_then(|id| id.rsplit(':').next())
                .unwrap_or_default();
            service["id"] = format!("{workspace}/*:{name}").into();
            if service["config"].is_object() {
                service["config"]["workspace"] = workspace.into();
            }
            service
        })
        .collect();
    manifest.set_services(renamed);
}
