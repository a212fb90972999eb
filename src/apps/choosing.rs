//! Choosing the worker of an app, also among those that installed apps would offer if they ran
//! (server-apps.md 3.3).

use std::sync::Arc;

use dashmap::DashSet;
use rand::rng;

use super::Host;
use super::host::DISCOVERY;
use super::ids::{AppRef, WorkerId};
use super::selection::{
    WorkerCandidate, WorkerError, candidates, many_workers, named, worker_mode,
};
use super::start::manifest_services;
use crate::identity::UserInfo;
use crate::peer::{CallContext, ServiceError};
use crate::wire::{Map, Value};
use crate::workers::{SERVICE_TYPE, Worker};
use crate::workspace::{DEFAULT_SELECT_TIMEOUT, PUBLIC, Pick, ask, settle};

/// Where a service of an app says which types of apps it runs.
const SUPPORTED: &str = "supported_types";

/// Workspaces that may have apps that offer workers: the manifests of others need not be read when a
/// worker is chosen.
#[derive(Default)]
pub(super) struct Offering(DashSet<String>);

impl Offering {
    /// Notes a workspace.
    pub fn may(&self, workspace: &str) {
        if !self.0.contains(workspace) {
            self.0.insert(workspace.to_owned());
        }
    }
}

/// Which worker an app wants.
pub struct WorkerWish<'a> {
    pub workspace: &'a str,
    pub app: &'a str,
    pub app_type: &'a str,
    /// Exactly this one, whatever the mode says.
    pub worker_id: Option<&'a str>,
    /// How to choose among several.
    pub mode: Option<&'a str>,
}

/// A worker that an installed app offers.
pub(super) struct OfferedWorker {
    /// `workspace/*:service@app`
    pub id: WorkerId,
    pub name: String,
    pub description: String,
    pub supported_types: Vec<String>,
    pub app: AppRef,
    service: String,
}

impl OfferedWorker {
    fn of(workspace: &str, service: &Map) -> Option<Self> {
        if service.get_str("type") != Some(SERVICE_TYPE) {
            return None;
        }
        let app = service.get_str("app_id")?;
        let id = service.get_str("id")?.split('@').next()?;
        let (_, name) = id.rsplit_once(':')?;
        let text = |key: &str| service.get_str(key).unwrap_or_default().to_owned();
        let types = service.get(SUPPORTED).and_then(Value::as_array)?;
        Some(OfferedWorker {
            id: WorkerId::offered(workspace, name, app).ok()?,
            name: text("name"),
            description: text("description"),
            supported_types: types
                .iter()
                .filter_map(|kind| kind.as_str().map(str::to_owned))
                .collect(),
            app: AppRef {
                workspace: Some(workspace.to_owned()),
                alias: app.to_owned(),
            },
            service: name.to_owned(),
        })
    }
}

impl Host {
    /// What the selection knows of all workers.
    pub fn candidates(&self) -> Vec<WorkerCandidate> {
        self.workers
            .all()
            .into_iter()
            .filter(|info| !self.is_tried(info.client.as_deref()))
            .filter_map(|info| {
                Some(WorkerCandidate {
                    id: WorkerId::parse(&info.id, PUBLIC).ok()?,
                    disabled: self.workers.is_disabled(&info.id),
                    supported_types: info.supported_types,
                    provider: info
                        .client
                        .as_deref()
                        .and_then(|client| self.provider(client)),
                    dormant: false,
                })
            })
            .collect()
    }

    /// The app whose session runs a worker.
    fn provider(&self, client: &str) -> Option<AppRef> {
        let entry = self.sessions.get(client)?;
        Some(AppRef {
            workspace: Some(entry.workspace().to_owned()),
            alias: entry.order.app.clone(),
        })
    }

    /// Whether a worker belongs to a session that only runs for a trial.
    fn is_tried(&self, client: Option<&str>) -> bool {
        let entry = client.and_then(|client| self.sessions.get(client));
        entry.is_some_and(|entry| entry.order.trial)
    }

    /// The workers that the installed apps of a workspace offer and that do not run.
    pub(super) async fn offered_workers(&self, workspace: &str) -> Vec<OfferedWorker> {
        if !self.offering.0.contains(workspace) {
            return Vec::new();
        }
        let services = self.manifest_services(workspace).await;
        services
            .iter()
            .filter_map(|service| OfferedWorker::of(workspace, service))
            .filter(|worker| !self.is_up(worker))
            .collect()
    }

    fn is_up(&self, worker: &OfferedWorker) -> bool {
        let table = &self.workers;
        let sessions = self
            .sessions
            .of_app(worker.id.workspace(), &worker.app.alias);
        sessions.iter().any(|entry| {
            let id = format!("{}:{}", entry.id(), worker.service);
            !entry.order.trial && table.get(&id).is_some()
        })
    }

    /// The services of a session as its manifest lists them; workers with the types they run.
    pub(super) async fn services_of(
        &self,
        workspace: &str,
        record: &Map,
    ) -> Vec<serde_json::Value> {
        let session = record.get_str("id").unwrap_or_default();
        let mut services = manifest_services(record);
        for service in &mut services {
            if service["type"] != SERVICE_TYPE {
                continue;
            }
            self.workers.complete(workspace, DISCOVERY).await;
            let id = service["id"].as_str().unwrap_or_default();
            let name = id.rsplit_once(':').map_or(id, |(_, name)| name);
            if let Some(worker) = self.workers.get(&format!("{session}:{name}")) {
                service[SUPPORTED] = worker.info().supported_types.clone().into();
                self.offering.may(workspace);
            }
        }
        services
    }

    /// Chooses a worker; one that only an installed app offers is started.
    ///
    /// # Errors
    /// The texts of `selection`, and those of a start.
    pub async fn choose_worker(
        &self,
        wanted: &WorkerWish<'_>,
        caller: &Arc<UserInfo>,
    ) -> Result<Arc<dyn Worker>, ServiceError> {
        let WorkerWish {
            workspace,
            app_type,
            app,
            ..
        } = *wanted;
        self.workers.complete(workspace, DISCOVERY).await;
        let mut all = self.candidates();
        let mut offered = Vec::new();
        // Workers of the workspace that run come first anyway; then nothing is to be read.
        let at_hand = |worker: &WorkerCandidate| worker.id.workspace() == workspace;
        let enough = wanted.worker_id.is_none()
            && candidates(&all, workspace, app, app_type)
                .is_ok_and(|found| found.into_iter().all(at_hand));
        if !enough {
            for place in [workspace, PUBLIC] {
                offered.extend(self.offered_workers(place).await);
            }
            all.extend(offered.iter().map(|worker| WorkerCandidate {
                id: worker.id.clone(),
                supported_types: worker.supported_types.clone(),
                disabled: self.workers.is_disabled(&worker.id.to_string()),
                provider: Some(worker.app.clone()),
                dormant: true,
            }));
        }
        let chosen = match wanted.worker_id {
            Some(id) => {
                let id = WorkerId::parse(id, workspace)
                    .map_err(|error| ServiceError::value(error.to_string()))?;
                named(&all, &id, app_type)?
            }
            None => {
                let found = candidates(&all, workspace, app, app_type)?;
                self.pick(&found, wanted, caller).await?
            }
        };
        let id = match offered.iter().find(|worker| worker.id == chosen.id) {
            Some(worker) => self.wake(worker, caller).await?,
            None => chosen.id.to_string(),
        };
        self.workers
            .get(&id)
            .ok_or_else(|| WorkerError::NoWorker(app_type.to_owned()).into())
    }

    /// One of several, as the mode says.
    async fn pick<'a>(
        &self,
        found: &[&'a WorkerCandidate],
        wanted: &WorkerWish<'_>,
        caller: &Arc<UserInfo>,
    ) -> Result<&'a WorkerCandidate, ServiceError> {
        let mode = worker_mode(wanted.mode)?;
        // Those that run are first in the list; without a wish nothing is started beside them.
        let awake = found.iter().filter(|worker| !worker.dormant).count();
        let found = match awake {
            0 => found,
            awake => &found[..awake],
        };
        let load = |at: usize| self.workers.sessions(&found[at].id.to_string()) as f64;
        let picked = mode.pick(found.len(), load, &mut rng());
        Ok(match picked {
            Pick::Index(at) => found[at],
            Pick::Ambiguous => return Err(many_workers(wanted.app_type, found).into()),
            Pick::Ask {
                criterion,
                function,
            } => {
                let opinions = found
                    .iter()
                    .map(|worker| self.opinion(&worker.id, &function, caller));
                let answers = ask(criterion, opinions.collect()).await;
                found[settle(criterion, &answers, &mut rng()).unwrap_or(0)]
            }
            Pick::Nothing => found[0],
        })
    }

    /// Starts the app that offers a worker, and finds the worker of its session.
    async fn wake(
        &self,
        worker: &OfferedWorker,
        caller: &Arc<UserInfo>,
    ) -> Result<String, ServiceError> {
        let workspace = worker.id.workspace();
        let address = self.directory.peer.address_in(workspace);
        let context = CallContext::internal(workspace, address, caller.clone());
        let (app, service) = (&worker.app.alias, &worker.service);
        let started = self.start_for_service(workspace, app, service, &context);
        let session = Box::pin(started).await.map_err(|error| {
            let message = format!("The worker {} does not start: {}", worker.id, error.message);
            ServiceError::new(error.class, message)
        })?;
        self.workers.complete(workspace, DISCOVERY).await;
        Ok(format!("{session}:{service}"))
    }

    /// What a worker's function answers in a `select:` mode; NaN when that is no number.
    async fn opinion(&self, id: &WorkerId, function: &str, caller: &Arc<UserInfo>) -> Option<f64> {
        let worker = self.workers.get(&id.to_string())?;
        let asked = worker.opinion(function, caller, DEFAULT_SELECT_TIMEOUT);
        // The limit holds even against a worker that answers with heartbeats only.
        let answer = tokio::time::timeout(DEFAULT_SELECT_TIMEOUT, asked).await;
        let answer = answer.ok()?.ok()?;
        Some(answer.as_f64().unwrap_or(f64::NAN))
    }
}
