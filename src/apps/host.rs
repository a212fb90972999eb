//! What the actors of the apps room share, and the way into them from the rest of the server.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::app_actor::{AppActor, EndSessions};
use super::autoscaler::ScalingTable;
use super::choosing::Offering;
use super::daemons::Daemons;
use super::deploy::FailedStarts;
use super::download::Downloader;
use super::handed::Handed;
use super::ids::is_session_client;
use super::lazy_limit::LazyLimit;
use super::pages::PageGrants;
use super::selection::WorkerError;
use super::session::{
    ClientBack, ClientGone, SeeService, SessionJournal, SessionTable, WorkerGone,
};
use super::store::AppStore;
use super::workspace_actor::{AddWorker, EnsureApp, RemoveApp, RemoveWorker, WorkspaceActor};
use super::workspaces_actor::{EnsureWorkspace, RemoveWorkspace, WorkspacesActor};
use crate::artifacts::service::AppRemoval;
use crate::identity::Level;
use crate::peer::{CallContext, ErrorClass, ServiceError};
use crate::supervision::{AddrSlot, SharedClock, spawn_detached};
use crate::wire::{Map, Value};
use crate::workers::{SERVICE_TYPE, WorkerTable};
use crate::workspace::{AppHost, Directory, SelectionMode, ServiceRecord};

/// How long a start waits for workers that are registering.
pub(super) const DISCOVERY: Duration = Duration::from_secs(5);

/// See the module's text.
pub struct Host {
    pub directory: Arc<Directory>,
    pub store: Arc<AppStore>,
    pub handed: Arc<Handed>,
    pub clock: SharedClock,
    pub workers: Arc<WorkerTable>,
    pub sessions: SessionTable,
    /// The sessions that ended.
    pub journal: SessionJournal,
    pub pages: PageGrants,
    pub scaling: ScalingTable,
    /// Between two looks of an autoscaler at its app.
    pub scaling_interval: Duration,
    /// How workers on this machine reach the server.
    pub local_url: String,
    pub workspaces: AddrSlot<WorkspacesActor>,
    pub(super) installs: super::install::InstallLocks,
    pub(super) daemons: Daemons,
    pub(super) lazy_limit: LazyLimit,
    pub(super) downloads: Downloader,
    pub(super) offering: Offering,
    pub(super) failed_starts: FailedStarts,
    own: Weak<Host>,
}

/// A supervisor did not answer: it is being restarted.
fn restarting() -> ServiceError {
    ServiceError::runtime("the supervisor is restarting, try again")
}

impl Host {
    pub fn new(
        directory: Arc<Directory>,
        store: Arc<AppStore>,
        journal: SessionJournal,
        handed: Arc<Handed>,
        clock: SharedClock,
        local_url: String,
        scaling_interval: Duration,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Host {
            directory,
            store,
            handed,
            clock,
            workers: Arc::default(),
            sessions: SessionTable::default(),
            journal,
            pages: PageGrants::default(),
            scaling: ScalingTable::default(),
            scaling_interval,
            local_url,
            workspaces: AddrSlot::new(),
            installs: super::install::InstallLocks::default(),
            daemons: Daemons::default(),
            lazy_limit: LazyLimit::default(),
            downloads: Downloader::default(),
            offering: Offering::default(),
            failed_starts: FailedStarts::default(),
            own: own.clone(),
        })
    }

    /// A counted reference, for tasks that outlive a call.
    pub(super) fn shared(&self) -> Result<Arc<Host>, ServiceError> {
        self.own
            .upgrade()
            .ok_or_else(|| ServiceError::runtime("the server is stopping"))
    }

    async fn workspace(&self, id: &str) -> Result<AddrSlot<WorkspaceActor>, ServiceError> {
        let ensure = EnsureWorkspace(id.to_owned());
        self.workspaces.send(ensure).await.map_err(|_| restarting())
    }

    /// The actor of an installed app.
    ///
    /// # Errors
    /// Its supervisors are restarting.
    pub async fn app(
        &self,
        workspace: &str,
        app: &str,
    ) -> Result<AddrSlot<AppActor>, ServiceError> {
        let slot = self.workspace(workspace).await?;
        slot.send(EnsureApp(app.to_owned()))
            .await
            .map_err(|_| restarting())
    }

    /// Ends one session, or all of an app, and waits for it.
    pub async fn end_sessions(
        &self,
        workspace: &str,
        app: &str,
        only: Option<String>,
        cause: &'static str,
    ) -> Result<(), ServiceError> {
        let slot = self.app(workspace, app).await?;
        slot.send(EndSessions { only, cause })
            .await
            .map_err(|_| restarting())
    }

    /// Ends the sessions of a version that is not current any more. A daemon starts again.
    pub(super) async fn replace_sessions(
        &self,
        workspace: &str,
        app: &str,
        cause: &'static str,
    ) -> Result<(), ServiceError> {
        self.lazy_limit.clear(workspace, app);
        self.end_sessions(workspace, app, None, cause).await?;
        self.revive_daemon(workspace, app);
        Ok(())
    }

    /// Takes down the actor of an app that is no more.
    pub async fn remove_app(&self, workspace: &str, app: &str) -> Result<(), ServiceError> {
        self.daemons.forget(workspace, app);
        self.failed_starts.clear(workspace, app);
        self.end_sessions(workspace, app, None, "uninstalled")
            .await?;
        self.scaling.forget(workspace, app);
        let slot = self.workspace(workspace).await?;
        slot.send(RemoveApp(app.to_owned()))
            .await
            .map_err(|_| restarting())
    }

    /// Takes down an app whose artifact was deleted.
    ///
    /// # Errors
    /// Its supervisors are restarting, or the store failed.
    pub(super) async fn artifact_gone(
        &self,
        workspace: &str,
        app: &str,
    ) -> Result<(), ServiceError> {
        let _one_at_a_time = self.installs.take(workspace, app).await;
        self.store.forget(workspace, app).await?;
        if self.store.exists(workspace, app).await? {
            return Ok(());
        }
        self.remove_app(workspace, app).await
    }

    /// Starts the actors of all installed apps and the daemons among them; does not delay readiness.
    pub fn resume(&self) {
        let Ok(host) = self.shared() else {
            return;
        };
        self.journal.start();
        spawn_detached("resume", async move {
            let installed = match host.store.installed().await {
                Ok(installed) => installed,
                Err(error) => return tracing::error!(%error, "the installed apps cannot be read"),
            };
            for (workspace, app) in installed {
                if let Err(error) = host.app(&workspace, &app).await {
                    tracing::warn!(workspace, app, %error, "no actor for an installed app");
                }
                host.adopt_daemon(&workspace, &app).await;
                host.offering.may(&workspace);
            }
        });
    }

    /// Tells a session what its client does; others are not concerned.
    fn tell<M>(&self, address: &str, message: M)
    where
        M: actix::Message<Result = ()> + Send + 'static,
        super::session::SessionActor: actix::Handler<M>,
    {
        let is_session = address
            .split_once('/')
            .is_some_and(|(_, client)| is_session_client(client));
        if is_session && let Some(entry) = self.sessions.get(address) {
            entry.slot.do_send(message);
        }
    }

    fn add_worker(&self, record: &Arc<ServiceRecord>) {
        let (Ok(host), record) = (self.shared(), record.clone()) else {
            return;
        };
        host.workers.expect(&record.id());
        spawn_detached("add worker", async move {
            match host.workspace(&record.workspace).await {
                Ok(slot) => {
                    slot.do_send(AddWorker(record.clone()));
                    host.clear_up(record.id());
                }
                Err(error) => {
                    tracing::warn!(%error, "a worker is not adopted");
                    host.workers.settle(&record.id());
                }
            }
            host.workers.complete(&record.workspace, DISCOVERY).await;
            host.revive_daemons(&record.workspace);
        });
    }

    fn lose_worker(&self, id: String) {
        self.workers.remove(&id);
        for entry in self.sessions.of_worker(&id) {
            entry.slot.do_send(WorkerGone);
        }
        let Ok(host) = self.shared() else {
            return;
        };
        spawn_detached("lose worker", async move {
            let workspace = id.split_once('/').map_or("", |(workspace, _)| workspace);
            if let Ok(slot) = host.workspace(workspace).await {
                slot.do_send(RemoveWorker(id));
            }
        });
    }
}

impl From<WorkerError> for ServiceError {
    fn from(error: WorkerError) -> Self {
        ServiceError::new(ErrorClass::Named(error.class()), error.to_string())
    }
}

#[async_trait]
impl AppRemoval for Host {
    async fn artifact_deleted(&self, workspace: &str, app: &str) -> Result<(), ServiceError> {
        self.artifact_gone(workspace, app).await
    }
}

impl AppHost for Host {
    fn service_added(&self, record: &Arc<ServiceRecord>) {
        if record.kind == SERVICE_TYPE {
            self.add_worker(record);
        }
        self.tell(&record.address(), SeeService(record.name.clone()));
    }

    fn client_left(&self, address: &str) {
        for worker in self.workers.of_client(address) {
            self.lose_worker(worker);
        }
        self.tell(address, ClientGone);
    }

    fn is_over(&self, address: &str, returning: bool) -> bool {
        Host::is_over(self, address, returning)
    }

    fn client_joined(&self, address: &str) {
        self.tell(address, ClientBack);
    }

    fn hides(&self, record: &ServiceRecord) -> bool {
        if !is_session_client(&record.client) {
            return false;
        }
        let address = record.address();
        match self.sessions.get(&address) {
            Some(entry) => entry.order.trial || entry.is_leaving(),
            None => self.sessions.has_ended(&address) || self.journal.knows(&address),
        }
    }

    fn lazy_start(
        &self,
        workspace: &str,
        app: &str,
        service: &str,
        caller: CallContext,
    ) -> BoxFuture<'static, Result<String, ServiceError>> {
        let (workspace, app, service) = (workspace.to_owned(), app.to_owned(), service.to_owned());
        let host = self.shared();
        async move {
            host?
                .start_for_service(&workspace, &app, &service, &caller)
                .await
        }
        .boxed()
    }

    fn selection_mode(&self, workspace: &str, app: &str) -> Option<SelectionMode> {
        let sessions = self.sessions.of_app(workspace, app);
        let manifest = &sessions.first()?.order.manifest;
        // The manifest was checked when it was installed.
        manifest.selection_mode().ok()?
    }

    fn app_services(&self, workspace: &str) -> BoxFuture<'static, Vec<Map>> {
        let (host, workspace) = (self.shared(), workspace.to_owned());
        async move {
            let Ok(host) = host else {
                return Vec::new();
            };
            host.manifest_services(&workspace).await
        }
        .boxed()
    }

    fn workspace_deleted(&self, workspace: &str) {
        let (Ok(host), workspace) = (self.shared(), workspace.to_owned()) else {
            return;
        };
        spawn_detached("delete workspace", async move {
            host.workspaces.do_send(RemoveWorkspace(workspace.clone()));
            if let Err(error) = host.store.remove_workspace(&workspace).await {
                tracing::error!(workspace, %error, "apps of a deleted workspace stay in the store");
            }
            if let Err(error) = host.journal.forget_workspace(&workspace).await {
                tracing::error!(workspace, %error, "sessions of a deleted workspace stay stored");
            }
        });
    }
}

impl Host {
    /// Services that the installed apps of a workspace offer, from their manifests.
    pub(super) async fn manifest_services(&self, workspace: &str) -> Vec<Map> {
        let apps = match self.store.list(workspace).await {
            Ok(apps) => apps,
            Err(error) => {
                tracing::error!(workspace, %error, "the installed apps cannot be read");
                return Vec::new();
            }
        };
        let mut services = Vec::new();
        for app in apps {
            for service in app.manifest.services() {
                let Value::Map(mut service) = Value::from_json(service.clone()) else {
                    continue;
                };
                let id = service.get_str("id").unwrap_or_default().to_owned();
                service.insert("id", format!("{id}@{}", app.alias));
                service.insert("app_id", app.alias.as_str());
                service.insert("_source", "app_manifest");
                services.push(service);
            }
        }
        services
    }

    /// Whether a user may look into a session, or change it.
    ///
    /// # Errors
    /// `Permission denied`, decided by the workspace inside the session's id (rule V10).
    pub fn check_session(
        &self,
        workspace: &str,
        context: &CallContext,
        level: Level,
    ) -> Result<(), ServiceError> {
        self.directory.require(&context.user, workspace, level)
    }
}
