//! Installing and removing apps (server-apps.md 1.1, 1.4).
//!
//! What is installed waits in a slot of its own for its trial start. Until the commit nothing that
//! is installed changes, and edits on the stage stay: a new version that does not start leaves the
//! app as it was.

use std::sync::Arc;

use dashmap::DashMap;
use serde_json::{Map as JsonMap, Value as Json, json};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::choosing::WorkerWish;
use super::files::{AppFile, FileError, normalise_files};
use super::host::Host;
use super::ids::AppId;
use super::manifest::{Manifest, ManifestError, given_manifest};
use super::progress::{Progress, Step};
use super::source::{Outcome, SourceError, resolve_source};
use super::source_hash::{SourceHashMismatch, source_hash, verified_source_hash};
use super::startup::StartupConfig;
use super::store::{AppStoreError, COLLECTION, NewFiles, Slot, StageRequest};
use super::trial::Trial;
use crate::identity::{Level, UserInfo};
use crate::peer::{CallContext, Callback, ErrorClass, ServiceError};
use crate::wire::Value;

/// Most installed apps of one workspace.
const MAX_APPS: usize = 1000;

type Fields = JsonMap<String, Json>;

/// One install, overwrite or removal of an app at a time.
#[derive(Default)]
pub(super) struct InstallLocks(DashMap<String, Arc<Mutex<()>>>);

impl InstallLocks {
    pub(super) async fn take(&self, workspace: &str, app: &str) -> OwnedMutexGuard<()> {
        let lock = self
            .0
            .entry(format!("{workspace}/{app}"))
            .or_default()
            .clone();
        lock.lock_owned().await
    }

    /// Drops the locks that nobody holds.
    pub(super) fn tidy(&self) {
        self.0.retain(|_, lock| Arc::strong_count(lock) > 1);
    }
}

/// The arguments of `install`; permission was checked.
pub struct InstallRequest {
    pub workspace: String,
    pub app: Option<String>,
    pub source: Option<String>,
    pub manifest: Option<Fields>,
    pub config: Option<Fields>,
    pub files: Value,
    pub startup: StartupConfig,
    pub overwrite: bool,
    pub stage: bool,
    pub version: Option<String>,
    pub worker_id: Option<String>,
    pub worker_mode: Option<String>,
    /// `workspace/alias` of an app to copy.
    pub artifact: Option<String>,
    pub progress: Callback,
}

macro_rules! classed {
    ($($error:ty),*) => {$(
        impl From<$error> for ServiceError {
            fn from(error: $error) -> Self {
                ServiceError::new(ErrorClass::Named(error.class()), error.to_string())
            }
        }
    )*};
}
classed!(FileError, ManifestError, SourceError, SourceHashMismatch);

/// An app that is ready to be put into a slot.
pub(super) struct Prepared {
    pub manifest: Manifest,
    pub files: NewFiles,
}

pub(super) fn tell(progress: &Callback, step: Step<'_>) {
    progress(vec![Progress::from(step).to_value()]);
}

impl Host {
    /// Installs an app; its committed manifest, or the whole record of a copy.
    ///
    /// # Errors
    /// The table of server-apps.md 1.1.
    pub async fn install(
        &self,
        request: InstallRequest,
        context: &CallContext,
    ) -> Result<Json, ServiceError> {
        let app = match &request.app {
            Some(given) => AppId::new(given)?,
            None => AppId::generate(),
        };
        let _one_at_a_time = self.installs.take(&request.workspace, app.as_str()).await;
        let installed = self.install_locked(&request, app.as_str(), context).await;
        self.installs.tidy();
        let manifest = installed?;
        match &request.artifact {
            None => Ok(manifest.into_fields().into()),
            Some(_) => self.copied(&request, app.as_str()).await,
        }
    }

    async fn install_locked(
        &self,
        request: &InstallRequest,
        app: &str,
        context: &CallContext,
    ) -> Result<Manifest, ServiceError> {
        // Told before the work of compiling and starting.
        if !request.overwrite && self.store.is_taken(&request.workspace, app).await? {
            return Err(AppStoreError::Exists(app.to_owned()).into());
        }
        self.check_app_room(&request.workspace, app).await?;
        tell(&request.progress, Step::ParsingManifest);
        let prepared = match &request.artifact {
            Some(artifact) => self.prepare_copy(request, artifact, app, context).await?,
            None => self.prepare(request, app, context).await?,
        };
        tell(&request.progress, Step::CreatingArtifact);
        if let NewFiles::Contents(files) = &prepared.files {
            for file in files {
                tell(&request.progress, Step::UploadingFile { path: &file.path });
            }
        }
        let (manifest, slot) = (prepared.manifest, request.slot());
        self.store
            .fill(StageRequest {
                workspace: request.workspace.clone(),
                app: app.to_owned(),
                manifest: manifest.fields().clone(),
                files: prepared.files,
                created_by: context.user.effective_id().to_owned(),
                overwrite: request.overwrite,
                slot,
                collection: COLLECTION.to_owned(),
            })
            .await?;
        if request.stage {
            tell(&request.progress, Step::InstallComplete);
            return Ok(manifest);
        }
        let trial = Trial {
            workspace: &request.workspace,
            app,
            slot,
            version: request.version.clone(),
            worker_id: request.worker_id.clone(),
            worker_mode: request.worker_mode.clone(),
            progress: request.progress.clone(),
        };
        match self.try_and_commit(trial, manifest, context).await {
            Ok(manifest) => {
                tell(&request.progress, Step::InstallComplete);
                Ok(manifest)
            }
            Err(error) => {
                tell(&request.progress, Step::CleaningUp);
                self.store.discard(&request.workspace, app, slot).await?;
                Err(error)
            }
        }
    }

    /// Whether a workspace has room for an app, beside those it has.
    pub(super) async fn check_app_room(
        &self,
        workspace: &str,
        app: &str,
    ) -> Result<(), ServiceError> {
        let mut known = self.store.list(workspace).await?;
        known.extend(self.store.list_staged(workspace).await?);
        if known.len() >= MAX_APPS && !known.iter().any(|listed| listed.alias == app) {
            return Err(ServiceError::runtime(format!(
                "workspace {workspace} has {MAX_APPS} apps, which is the limit"
            )));
        }
        Ok(())
    }

    /// Resolves the source, has it compiled and completes the manifest.
    async fn prepare(
        &self,
        request: &InstallRequest,
        app: &str,
        context: &CallContext,
    ) -> Result<Prepared, ServiceError> {
        let mut given = given_manifest(request.manifest.clone(), request.config.clone())?;
        if let Some(fields) = &mut given {
            // Whose rights an app runs with is the server's to say.
            fields.remove("startup_context");
        }
        let files = normalise_files(&request.files)?;
        let hash = match request.source.as_deref() {
            Some(source) => {
                let claimed = given.as_ref().and_then(|fields| fields.get("source_hash"));
                Some(verified(source, claimed)?)
            }
            None => None,
        };
        let resolved = match resolve_source(request.source.as_deref(), given, files)? {
            Outcome::Ready(resolved) => resolved,
            Outcome::Download(download) => {
                tell(
                    &request.progress,
                    Step::Downloading {
                        url: download.url.as_str(),
                    },
                );
                let text = self.downloads.text(&download.url).await?;
                download.complete(&text)?
            }
        };
        let checked = Manifest::checked(resolved.manifest)?;
        let (fields, files) = self
            .compile(request, checked, resolved.files, app, context)
            .await?;
        let mut manifest = self.completed(request, Manifest::checked(fields)?, app, context)?;
        if let Some(hash) = hash {
            manifest.set("source_hash", hash);
        }
        let files = NewFiles::Contents(files);
        Ok(Prepared { manifest, files })
    }

    async fn compile(
        &self,
        request: &InstallRequest,
        manifest: Manifest,
        files: Vec<AppFile>,
        app: &str,
        context: &CallContext,
    ) -> Result<(Fields, Vec<AppFile>), ServiceError> {
        let app_type = manifest.app_type().unwrap_or_default().to_owned();
        let worker = self
            .choose_worker(
                &WorkerWish {
                    workspace: &request.workspace,
                    app,
                    app_type: &app_type,
                    worker_id: request.worker_id.as_deref(),
                    mode: request.worker_mode.as_deref(),
                },
                &context.user,
            )
            .await
            .map_err(|error| for_app_type(error, &app_type))?;
        let id = worker.info().id.clone();
        tell(&request.progress, Step::Compiling { worker: &id });
        worker
            .compile(manifest.into_fields(), files)
            .await
            .map_err(|error| {
                ServiceError::plain(format!("Worker compilation failed: {}", error.message))
            })
    }

    /// Puts in what the server and the call have to say.
    pub(super) fn completed(
        &self,
        request: &InstallRequest,
        mut manifest: Manifest,
        app: &str,
        context: &CallContext,
    ) -> Result<Manifest, ServiceError> {
        let startup = manifest
            .startup_config()?
            .overridden_by(request.startup.clone());
        // Contradictions are told now, not at the first start.
        startup.plan(&manifest)?;
        manifest.set("id", app);
        manifest.set("startup_config", startup.to_json());
        manifest.set(
            "startup_context",
            startup_context(&request.workspace, context),
        );
        Ok(manifest)
    }

    /// Removes an app, or its stage when it has one beside a committed version.
    ///
    /// # Errors
    /// There is no such app.
    pub async fn uninstall(&self, workspace: &str, app: &str) -> Result<(), ServiceError> {
        let _one_at_a_time = self.installs.take(workspace, app).await;
        if self.store.uninstall(workspace, app).await? {
            self.remove_app(workspace, app).await?;
        }
        Ok(())
    }

    /// The committed manifests of a workspace's apps.
    ///
    /// # Errors
    /// The user may not read the workspace, or the store failed.
    pub async fn list_apps(
        &self,
        workspace: &str,
        user: &UserInfo,
    ) -> Result<Vec<Json>, ServiceError> {
        self.directory.require(user, workspace, Level::Read)?;
        let apps = self.store.list(workspace).await?;
        Ok(apps
            .into_iter()
            .map(|app| {
                let disabled = self.store.is_disabled(workspace, &app.alias);
                let mut manifest = app.manifest;
                manifest.set("id", app.alias);
                manifest.set("disabled", disabled);
                Json::Object(manifest.into_fields())
            })
            .collect())
    }
}

impl InstallRequest {
    /// Where the app waits: an install that is staged on purpose is an edit.
    fn slot(&self) -> Slot {
        if self.stage {
            Slot::Stage
        } else {
            Slot::Pending
        }
    }
}

fn verified(source: &str, claimed: Option<&Json>) -> Result<String, ServiceError> {
    match claimed.and_then(Json::as_str) {
        Some(claimed) if !claimed.is_empty() => Ok(verified_source_hash(source, Some(claimed))?),
        _ => Ok(source_hash(source)),
    }
}

/// Installs name the type as the reference's install does.
fn for_app_type(error: ServiceError, app_type: &str) -> ServiceError {
    if error.message.starts_with("No server app worker found") {
        let message = format!("No server app worker found for app type: {app_type}");
        return ServiceError::new(error.class, message);
    }
    error
}

/// Whose rights lazy starts and daemons get.
pub(super) fn startup_context(workspace: &str, context: &CallContext) -> Json {
    let mut user = (*context.user).clone();
    user.scope.client_id = None;
    json!({ "ws": workspace, "user": user.to_value().to_json() })
}
