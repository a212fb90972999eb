//! Starting apps: from a request to a session order (server-apps.md 1.5, 3.2, 3.6).

use std::sync::Arc;

use bytes::Bytes;

use super::app_actor::{Sharing, StartSession};
use super::autoscaler::ScalingConfig;
use super::host::Host;
use super::ids::SessionId;
use super::manifest::Manifest;
use super::session::{SessionOrder, Settled};
use super::startup::{StartupConfig, StartupError, WaitSetting};
use super::store::{AppVersion, VersionSelector};
use crate::identity::{Level, UserInfo};
use crate::peer::{CallContext, Callback, ErrorClass, ServiceError};
use crate::supervision::spawn_detached;
use crate::wire::Map;

/// What a caller may say about a start.
pub struct StartRequest {
    pub workspace: String,
    pub app: String,
    pub selector: VersionSelector,
    pub startup: StartupConfig,
    pub worker_id: Option<String>,
    pub worker_mode: Option<String>,
    pub progress: Callback,
    /// Before a commit: found by nobody, shared with nobody.
    pub trial: bool,
}

/// Why a session is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// Somebody asked for it.
    Asked,
    /// A service of the app was looked for: one start serves all who wait.
    Missed,
    /// An autoscaler adds it to those that run.
    Beside,
}

impl From<StartupError> for ServiceError {
    fn from(error: StartupError) -> Self {
        ServiceError::new(ErrorClass::Named(error.class()), error.to_string())
    }
}

/// A callback for starts that nobody follows.
pub fn no_progress() -> Callback {
    Arc::new(|_| {})
}

impl Host {
    /// Starts an app for a caller whose permission was checked; the session's record.
    ///
    /// # Errors
    /// Not found, disabled, or `Failed to start app '<id>', error: …`.
    pub async fn start(&self, request: StartRequest, caller: &CallContext) -> Settled {
        self.start_session(request, caller, Occasion::Asked).await
    }

    /// Starts one more session of an app that runs, in the name of whoever installed it.
    ///
    /// # Errors
    /// As for [`Host::start`], and nothing of the app runs any more.
    pub async fn start_beside(&self, workspace: &str, app: &str) -> Settled {
        let request = StartRequest {
            workspace: workspace.to_owned(),
            app: app.to_owned(),
            selector: VersionSelector::Current,
            startup: StartupConfig::default(),
            worker_id: None,
            worker_mode: None,
            progress: no_progress(),
            trial: false,
        };
        let nobody = Arc::new(UserInfo::http_anonymous());
        let address = self.directory.peer.address_in(workspace);
        let caller = CallContext::internal(workspace, address, nobody);
        self.start_session(request, &caller, Occasion::Beside).await
    }

    async fn start_session(
        &self,
        request: StartRequest,
        caller: &CallContext,
        occasion: Occasion,
    ) -> Settled {
        let found = self
            .store
            .version(&request.workspace, &request.app, &request.selector)
            .await?;
        if self.store.is_disabled(&request.workspace, &request.app) && !request.trial {
            return Err(ServiceError::runtime(format!(
                "App {} is disabled",
                request.app
            )));
        }
        self.check_room(&request.workspace)?;
        let (workspace, app) = (request.workspace.clone(), request.app.clone());
        let order = self.order(request, found, caller).await?;
        let sharing = sharing(&order, occasion);
        let (daemon, trial) = (order.manifest.daemon(), order.trial);
        let silent = order.manifest.services().is_empty();
        let version = order.version.clone();
        let slot = self.app(&workspace, &app).await?;
        let started = slot.send(StartSession {
            order: Box::new(order),
            sharing,
            beside: occasion == Occasion::Beside,
        });
        let record = started
            .await
            .unwrap_or_else(|_| Err(ServiceError::runtime("the app's supervisor is restarting")))?;
        if trial {
            return Ok(record);
        }
        if daemon {
            self.daemons.want(&workspace, &app);
        }
        if silent {
            self.note_services(&workspace, &app, &version, &record);
        }
        Ok(record)
    }

    /// Writes the services of a start into a manifest that has none, so that they are found when
    /// the app does not run; in the background.
    fn note_services(&self, workspace: &str, app: &str, version: &str, record: &Map) {
        let services = manifest_services(record);
        let Ok(host) = self.shared() else {
            return;
        };
        if services.is_empty() {
            return;
        }
        let (workspace, app) = (workspace.to_owned(), app.to_owned());
        let version = version.to_owned();
        spawn_detached("note services", async move {
            let note = move |fields: &mut serde_json::Map<String, serde_json::Value>| {
                let mut manifest = Manifest::from(std::mem::take(fields));
                let changed = manifest.services().is_empty() && manifest.set_services(services);
                *fields = manifest.into_fields();
                changed
            };
            let noted = host.store.note_services(&workspace, &app, &version, note);
            if let Err(error) = noted.await {
                tracing::error!(workspace, app, %error, "the services of an app are not noted");
            }
        });
    }

    /// Sessions are clients of the workspace sooner or later, so they have the same limit.
    fn check_room(&self, workspace: &str) -> Result<(), ServiceError> {
        let limit = self.directory.limits.clients_per_workspace;
        if self.sessions.in_workspace(workspace).len() >= limit {
            return Err(ServiceError::runtime(format!(
                "workspace {workspace} has {limit} app sessions, which is the limit"
            )));
        }
        Ok(())
    }

    async fn order(
        &self,
        request: StartRequest,
        found: AppVersion,
        caller: &CallContext,
    ) -> Result<SessionOrder, ServiceError> {
        let manifest = found.manifest;
        let plan = manifest
            .startup_config()?
            .overridden_by(request.startup)
            .plan(&manifest)?;
        ScalingConfig::of(&manifest).map_err(|error| ServiceError::value(error.to_string()))?;
        let plain_page = self
            .is_plain_page(&request.workspace, &request.app, &found.label, &manifest)
            .await;
        Ok(SessionOrder {
            id: SessionId::generate(&request.workspace),
            runner: runner(&request.workspace, &manifest, caller),
            staged: request.selector == VersionSelector::Stage,
            asked_version: match request.selector {
                VersionSelector::Label(label) => Some(label),
                _ => None,
            },
            app: request.app,
            version: found.label,
            plan,
            manifest,
            progress: request.progress,
            worker_id: request.worker_id,
            worker_mode: request.worker_mode,
            trial: request.trial,
            plain_page,
        })
    }

    /// Whether the page that a browser would open is not one of our templates.
    async fn is_plain_page(
        &self,
        workspace: &str,
        app: &str,
        label: &str,
        manifest: &Manifest,
    ) -> bool {
        if manifest.app_type() == Some("web-app") {
            return true;
        }
        let page = self.page(workspace, app, label, manifest).await;
        page.is_some_and(|page| !contains(&page, crate::workers::browser::TEMPLATE_MARK))
    }

    /// The page that a browser would open, where it is one of the app's files.
    pub(in crate::apps) async fn page(
        &self,
        workspace: &str,
        app: &str,
        label: &str,
        manifest: &Manifest,
    ) -> Option<Bytes> {
        let is_page = |entry: &&str| entry.ends_with(".html");
        let entry = manifest.entry_point().filter(is_page)?;
        self.store.file(workspace, app, label, entry).await.ok()
    }

    /// Starts the app behind `service@app` for a caller who misses it, and finds the session.
    ///
    /// # Errors
    /// The texts of workspace.md 3.7.
    pub async fn start_for_service(
        &self,
        workspace: &str,
        app: &str,
        service: &str,
        caller: &CallContext,
    ) -> Result<String, ServiceError> {
        if matches!(service, "*" | "built-in") {
            return Err(ServiceError::value(format!(
                "Invalid service id: {service}@{app}"
            )));
        }
        let missing = || {
            ServiceError::key(format!(
                "Application id `{app}` not found in workspace {workspace}"
            ))
        };
        let found = self
            .store
            .version(workspace, app, &VersionSelector::Current)
            .await
            .map_err(|_| missing())?;
        if found.manifest.services().is_empty() {
            return Err(ServiceError::plain(format!(
                "No services found in application {app}, please make sure it's properly installed."
            )));
        }
        let offered = found.manifest.service(service).ok_or_else(|| {
            ServiceError::key(format!(
                "Service id `{service}` not found in application {app}"
            ))
        })?;
        // The installer's rights run the app, so the caller's right to use it comes first (S11).
        let open = matches!(
            offered["config"]["visibility"].as_str(),
            Some("public" | "unlisted")
        );
        if !open && !caller.user.allows(workspace, Level::Read) {
            return Err(ServiceError::permission(format!(
                "Permission denied for non-public service in workspace {workspace}"
            )));
        }
        let request = StartRequest {
            workspace: workspace.to_owned(),
            app: app.to_owned(),
            selector: VersionSelector::Current,
            startup: StartupConfig {
                wait_for_service: Some(WaitSetting::Name(service.to_owned())),
                ..StartupConfig::default()
            },
            worker_id: None,
            worker_mode: None,
            progress: no_progress(),
            trial: false,
        };
        if !self.lazy_limit.allows(workspace, app, self.clock.now()) {
            return Err(ServiceError::new(
                ErrorClass::Busy,
                format!("App {app} failed to start again and again, try later"),
            ));
        }
        let started = self.start_session(request, caller, Occasion::Missed).await;
        if started
            .as_ref()
            .is_err_and(|error| error.class != ErrorClass::Busy)
        {
            self.lazy_limit.failed(workspace, app, self.clock.now());
        }
        started?
            .get_str("id")
            .map(str::to_owned)
            .ok_or_else(|| ServiceError::runtime("the session has no id"))
    }
}

/// Which session a start may share (server-apps.md 3.2 step 4).
fn sharing(order: &SessionOrder, occasion: Occasion) -> Sharing {
    let manifest = &order.manifest;
    if order.trial || occasion == Occasion::Beside {
        Sharing::Nothing
    } else if manifest.singleton() {
        Sharing::AnyVersion
    } else if order.staged {
        Sharing::Nothing
    } else if occasion == Occasion::Missed {
        // Whoever misses a service is content with any session that offers it.
        Sharing::SameVersion
    } else if manifest.daemon() || manifest.autoscaling_enabled() {
        Sharing::Nothing
    } else {
        Sharing::SameVersion
    }
}

/// Whose rights a session gets: the starter's where they may write, else the installer's.
fn runner(workspace: &str, manifest: &Manifest, caller: &CallContext) -> Arc<UserInfo> {
    if caller.user.allows(workspace, Level::ReadWrite) {
        return caller.user.clone();
    }
    let installer = manifest
        .startup_context()
        .and_then(|context| context.get("user").cloned())
        .map(crate::wire::Value::from_json)
        .and_then(|user| UserInfo::from_value(&user).ok());
    installer.map_or_else(|| caller.user.clone(), Arc::new)
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

/// The services of a session as its manifest lists them: the client's id replaced by `*`.
pub fn manifest_services(record: &Map) -> Vec<serde_json::Value> {
    let listed = record
        .get("services")
        .and_then(crate::wire::Value::as_array);
    listed
        .into_iter()
        .flatten()
        .map(|service| {
            let mut json = service.to_json();
            if let Some(id) = json["id"].as_str() {
                let workspace = id.split_once('/').map_or("", |(workspace, _)| workspace);
                let name = id.rsplit_once(':').map_or(id, |(_, name)| name);
                json["id"] = format!("{workspace}/*:{name}").into();
            }
            json
        })
        .collect()
}
