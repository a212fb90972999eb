//! Looking: apps, sessions, workers.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{Controller, selector_of};
use crate::apps::host::DISCOVERY;
use crate::apps::ids::{AppRef, SessionId};
use crate::apps::session::{SessionEntry, SessionRecord};
use crate::apps::store::AppStoreError;
use crate::apps::validate::validate_app_manifest;
use crate::identity::Level;
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::Value;
use crate::workers::Worker;
use crate::workers::browser::service::picture;
use crate::workspace::PUBLIC;

/// A session that was asked for.
pub(super) enum Seen {
    Living(Arc<SessionEntry>),
    Ended(Box<SessionRecord>),
}

impl Controller {
    pub(super) async fn list_apps(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let workspace = self.workspace_of(args, context, Level::Read)?;
        let mut apps = self.host.list_apps(&workspace, &context.user).await?;
        if args.bool("include_staged")? {
            for app in self.host.store.list_staged(&workspace).await? {
                let mut manifest = app.manifest;
                manifest.set("id", app.alias);
                apps.push(Json::Object(manifest.into_fields()));
            }
        }
        let kind = args.opt_str("app_type")?;
        let keywords = keywords(args)?;
        let listed: Vec<Value> = apps
            .into_iter()
            .filter(|app| kind.is_none_or(|kind| app["type"] == kind))
            .filter(|app| keywords.iter().all(|word| mentions(app, word)))
            .map(Value::from_json)
            .collect();
        Ok(listed.into())
    }

    pub(super) fn list_running(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let workspace = self.workspace_of(args, context, Level::Read)?;
        let running: Vec<Value> = self
            .host
            .sessions
            .in_workspace(&workspace)
            .into_iter()
            .filter(|entry| !entry.order.trial)
            .filter_map(|entry| {
                let mut record = entry.record()?;
                record.insert("status", entry.state().status());
                Some(Value::Map(record))
            })
            .collect();
        Ok(running.into())
    }

    pub(super) async fn list_sessions(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = match args.opt_str("app_id")? {
            Some(text) => {
                let named = AppRef::parse(text)?;
                let workspace = named.workspace_or(&context.ws).to_owned();
                self.host.check_session(&workspace, context, Level::Read)?;
                (workspace, Some(named.alias))
            }
            None => (self.workspace_of(args, context, Level::Read)?, None),
        };
        let living = self.host.sessions.in_workspace(&workspace);
        let mut listed: Vec<Value> = living
            .iter()
            .filter(|entry| app.as_ref().is_none_or(|app| *app == entry.order.app))
            .map(|entry| Value::Map(entry.info()))
            .collect();
        if args.bool("include_stopped")? {
            let ended = self.host.journal.ended(&workspace, app.as_deref()).await;
            let ended = ended.map_err(AppStoreError::from)?;
            // A session may end between the two looks.
            let alive = |record: &SessionRecord| {
                let id = record.id();
                living.iter().any(|entry| entry.id() == id)
            };
            let ended = ended.iter().filter(|record| !alive(record));
            listed.extend(ended.map(|record| Value::Map(record.info())));
        }
        Ok(listed.into())
    }

    pub(super) async fn list_workers(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let workspace = self.workspace_of(args, context, Level::Read)?;
        let wanted = args.opt_str("app_type")?;
        self.host.workers.complete(&workspace, DISCOVERY).await;
        let table = &self.host.workers;
        let mut found = table.in_workspace(&workspace);
        if workspace != PUBLIC {
            found.extend(table.in_workspace(PUBLIC));
        }
        let fits = |types: &[String]| wanted.is_none_or(|kind| types.iter().any(|t| t == kind));
        let shown = |id: String, name: String, description: String, types: Vec<String>| {
            Value::Map(map! {
                "disabled" => table.is_disabled(&id),
                "id" => id,
                "name" => name,
                "description" => description,
                "supported_types" => types,
            })
        };
        let mut listed: Vec<Value> = found
            .into_iter()
            .filter(|info| fits(&info.supported_types))
            .map(|info| shown(info.id, info.name, info.description, info.supported_types))
            .collect();
        // Those that apps would offer if they ran.
        let mut places = vec![workspace.as_str(), PUBLIC];
        places.dedup();
        for place in places {
            for worker in self.host.offered_workers(place).await {
                if fits(&worker.supported_types) {
                    let id = worker.id.to_string();
                    listed.push(shown(
                        id,
                        worker.name,
                        worker.description,
                        worker.supported_types,
                    ));
                }
            }
        }
        Ok(listed.into())
    }

    /// A session, living or ended, that the caller may use at `level`.
    pub(super) async fn session(
        &self,
        args: &Arguments,
        context: &CallContext,
        level: Level,
        unknown: &str,
    ) -> Result<Seen, ServiceError> {
        let given = args.str("session_id")?;
        let session = SessionId::parse(given, &context.ws)?;
        self.host
            .check_session(session.workspace(), context, level)?;
        let id = session.to_string();
        if let Some(entry) = self.host.sessions.get(&id) {
            return Ok(Seen::Living(entry));
        }
        let ended = self.host.journal.find(&id).await;
        match ended.map_err(AppStoreError::from)? {
            Some(record) => Ok(Seen::Ended(Box::new(record))),
            None => Err(ServiceError::plain(format!("{unknown}: {given}"))),
        }
    }

    /// A living session that the caller may change.
    async fn living(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Arc<SessionEntry>, ServiceError> {
        match self
            .session(args, context, Level::ReadWrite, "Session not found")
            .await?
        {
            Seen::Living(entry) => Ok(entry),
            Seen::Ended(record) => Err(ServiceError::runtime(format!(
                "Session {} is {}",
                record.id(),
                record.state().status()
            ))),
        }
    }

    pub(super) fn worker_of(&self, entry: &SessionEntry) -> Result<Arc<dyn Worker>, ServiceError> {
        entry
            .worker()
            .and_then(|id| self.host.workers.get(&id))
            .ok_or_else(|| {
                ServiceError::runtime(format!("the worker of session {} is gone", entry.id()))
            })
    }

    pub(super) async fn get_session_info(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let seen = self
            .session(args, context, Level::Read, "Session not found")
            .await?;
        let info = match seen {
            Seen::Living(entry) => entry.info(),
            Seen::Ended(record) => record.info(),
        };
        Ok(Value::Map(info).into())
    }

    pub(super) async fn get_app_info(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_for(args, context, Level::Read)?;
        let selector = selector_of(args)?;
        let mut record = self
            .host
            .store
            .record(&workspace, &app, &selector)
            .await
            .map_err(|error| ServiceError {
                class: ServiceError::from(error.clone()).class,
                message: format!("Failed to get app info for {app}: {error}"),
            })?;
        let disabled = self.host.store.is_disabled(&workspace, &app);
        record["manifest"]["disabled"] = disabled.into();
        Ok(Value::from_json(record).into())
    }

    pub(super) async fn execute(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let entry = self.living(args, context).await?;
        let worker = self.worker_of(&entry)?;
        let progress = self.progress(args, context);
        let (session, config) = (entry.worker_session(), args.get("config").clone());
        let done = worker.execute(&session, args.str("script")?, config, Some(progress));
        Ok(done.await?.into())
    }

    pub(super) async fn take_screenshot(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let entry = self.living(args, context).await?;
        let worker = self.worker_of(&entry)?;
        let picture = worker
            .screenshot(&entry.worker_session(), &picture(args)?)
            .await?;
        Ok(picture.into())
    }

    /// How much there is and runs in a workspace.
    pub(super) async fn get_server_status(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let workspace = self.workspace_of(args, context, Level::Read)?;
        let apps = self.host.store.list(&workspace).await?;
        let sessions = self.host.sessions.in_workspace(&workspace);
        let living: Vec<_> = sessions.iter().filter(|entry| !entry.order.trial).collect();
        let count = |status: &str| {
            let of = |entry: &&&Arc<SessionEntry>| entry.state().status() == status;
            living.iter().filter(of).count()
        };
        let table = &self.host.workers;
        let mut workers = table.in_workspace(&workspace).len();
        if workspace != PUBLIC {
            workers += table.in_workspace(PUBLIC).len();
        }
        Ok(Value::Map(map! {
            "workspace" => workspace,
            "apps" => apps.len(),
            "sessions" => living.len(),
            "running" => count("running"),
            "starting" => count("starting"),
            "restarting" => count("restarting"),
            "workers" => workers,
        })
        .into())
    }

    pub(super) fn get_autoscaling_status(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_for(args, context, Level::Read)?;
        let history = self.host.scaling.find(&workspace, &app).ok_or_else(|| {
            ServiceError::key(format!(
                "App {app} has not been scaled since the server started"
            ))
        })?;
        Ok(Value::from_json(history.to_json()).into())
    }

    pub(super) fn validate_app_manifest(&self, args: &Arguments) -> Result<Reply, ServiceError> {
        let known: Vec<String> = self
            .host
            .workers
            .all()
            .into_iter()
            .flat_map(|info| info.supported_types)
            .collect();
        let report = validate_app_manifest(&args.get("manifest").to_json(), &known);
        Ok(Value::from_json(report.to_json()).into())
    }
}

/// The words that a listing must mention: one text, or a list of them.
fn keywords(args: &Arguments) -> Result<Vec<String>, ServiceError> {
    let wrong = || ServiceError::type_("keywords must be a string or a list of strings");
    let text = |value: &Value| value.as_str().map(str::to_lowercase).ok_or_else(wrong);
    match args.get("keywords") {
        Value::Nil => Ok(Vec::new()),
        Value::Array(words) => words.iter().map(text).collect(),
        word => Ok(vec![text(word)?]),
    }
}

/// Whether an app's id, name, description or tags hold a word in lower case.
fn mentions(app: &Json, word: &str) -> bool {
    let texts = ["id", "name", "description"].map(|field| &app[field]);
    let tags = app["tags"].as_array().into_iter().flatten();
    texts
        .into_iter()
        .chain(tags)
        .filter_map(Json::as_str)
        .any(|text| text.to_lowercase().contains(word))
}
