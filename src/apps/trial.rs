//! The trial start before a commit: what does not start does not become a version.

use serde_json::Value as Json;

use super::host::Host;
use super::install::startup_context;
use super::manifest::Manifest;
use super::progress::Step;
use super::start::StartRequest;
use super::startup::StartupConfig;
use super::store::{AppStoreError, Slot, VersionSelector};
use crate::peer::{CallContext, Callback, ServiceError};

/// What is to be tried and committed.
pub(super) struct Trial<'a> {
    pub workspace: &'a str,
    pub app: &'a str,
    pub slot: Slot,
    /// Label of the version to be.
    pub version: Option<String>,
    pub worker_id: Option<String>,
    pub worker_mode: Option<String>,
    pub progress: Callback,
}

/// The arguments of `commit_app`; permission was checked.
pub struct CommitRequest {
    pub workspace: String,
    pub app: String,
    pub startup: StartupConfig,
    pub version: Option<String>,
    pub worker_id: Option<String>,
    pub progress: Callback,
}

impl Host {
    /// Starts what is in a slot for a trial, notes its services, and commits it.
    pub(super) async fn try_and_commit(
        &self,
        trial: Trial<'_>,
        mut manifest: Manifest,
        context: &CallContext,
    ) -> Result<Manifest, ServiceError> {
        (trial.progress)(vec![
            super::progress::Progress::from(Step::Committing).to_value(),
        ]);
        let (workspace, app, slot) = (trial.workspace, trial.app, trial.slot);
        let services = self
            .try_out(&trial, &manifest, context)
            .await
            .map_err(|error| {
                let message = format!("Failed to install app '{app}': {}", error.message);
                ServiceError::new(error.class, message)
            })?;
        manifest.set_services(services);
        let committed = manifest.committed();
        let fields = committed.fields().clone();
        let label = self
            .store
            .commit(workspace, app, slot, fields, trial.version)
            .await?;
        tracing::info!(workspace, app, version = label, "app committed");
        // Sessions of the version that was replaced would go on answering.
        self.replace_sessions(workspace, app, "a new version was installed")
            .await?;
        Ok(committed)
    }

    /// The services that a trial start shows.
    async fn try_out(
        &self,
        trial: &Trial<'_>,
        manifest: &Manifest,
        context: &CallContext,
    ) -> Result<Vec<Json>, ServiceError> {
        let request = StartRequest {
            workspace: trial.workspace.to_owned(),
            app: trial.app.to_owned(),
            selector: match trial.slot {
                Slot::Stage => VersionSelector::Stage,
                Slot::Pending => VersionSelector::Pending,
            },
            startup: manifest.startup_config()?,
            worker_id: trial.worker_id.clone(),
            worker_mode: trial.worker_mode.clone(),
            progress: trial.progress.clone(),
            trial: true,
        };
        let record = self.start(request, context).await?;
        let session = record.get_str("id").map(str::to_owned);
        let services = self.services_of(trial.workspace, &record).await;
        self.end_sessions(trial.workspace, trial.app, session, "trial start done")
            .await?;
        Ok(services)
    }

    /// Tries what is staged and makes it the current version (server-apps.md 1.3). The stage stays
    /// when it does not start, to be mended. Without a stage the current manifest is the answer.
    ///
    /// # Errors
    /// There is no such app, or `Failed to install app '<id>': …`.
    pub async fn commit_app(
        &self,
        request: CommitRequest,
        context: &CallContext,
    ) -> Result<Manifest, ServiceError> {
        let (workspace, app) = (request.workspace.as_str(), request.app.as_str());
        let _one_at_a_time = self.installs.take(workspace, app).await;
        let staged = self
            .store
            .version(workspace, app, &VersionSelector::Stage)
            .await;
        let mut manifest = match staged {
            Ok(staged) => staged.manifest,
            Err(AppStoreError::NotStaged) if request.version.is_none() => {
                let current = VersionSelector::Current;
                return Ok(self.store.version(workspace, app, &current).await?.manifest);
            }
            Err(error) => return Err(error.into()),
        };
        let startup = manifest.startup_config()?.overridden_by(request.startup);
        startup.plan(&manifest)?;
        manifest.set("id", app);
        manifest.set("startup_config", startup.to_json());
        // Whoever commits answers for what runs.
        manifest.set("startup_context", startup_context(workspace, context));
        let trial = Trial {
            workspace,
            app,
            slot: Slot::Stage,
            version: request.version,
            worker_id: request.worker_id,
            worker_mode: None,
            progress: request.progress,
        };
        let committed = self.try_and_commit(trial, manifest, context).await;
        self.installs.tidy();
        committed
    }
}
