//! Installing, starting, stopping.

use super::{Controller, named, opt_text, selector_of, startup_of};
use crate::apps::ids::{SessionId, WorkerId};
use crate::apps::install::InstallRequest;
use crate::apps::selection::WorkerError;
use crate::apps::session::SessionEntry;
use crate::apps::start::StartRequest;
use crate::apps::startup::StartupConfig;
use crate::apps::store::VersionSelector;
use crate::identity::Level;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::Value;

impl Controller {
    pub(super) async fn install(
        &self,
        args: &mut Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let workspace = opt_text(args, "workspace")?.unwrap_or_else(|| context.ws.clone());
        if context.user.is_anonymous {
            return Err(ServiceError::assertion(
                "Anonymous users cannot install apps",
            ));
        }
        if !context.user.allows(&workspace, Level::ReadWrite) {
            return Err(ServiceError::plain(format!(
                "User {} does not have permission to install apps in workspace {workspace}",
                context.user.id
            )));
        }
        let request = InstallRequest {
            manifest: named(args, "manifest")?,
            config: named(args, "config")?,
            source: opt_text(args, "source")?,
            app: opt_text(args, "app_id")?,
            startup: startup_of(args)?,
            overwrite: args.bool("overwrite")?,
            stage: args.bool("stage")?,
            version: opt_text(args, "version")?,
            worker_id: opt_text(args, "worker_id")?,
            worker_mode: opt_text(args, "worker_selection_mode")?,
            artifact: opt_text(args, "artifact_id")?,
            progress: self.progress(args, context),
            files: args.take("files"),
            workspace,
        };
        let installed = self.host.install(request, context).await?;
        Ok(Value::from_json(installed).into())
    }

    pub(super) async fn uninstall(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_of(args, context)?;
        self.host
            .check_session(&workspace, context, Level::ReadWrite)?;
        self.host.uninstall(&workspace, &app).await?;
        Ok(Value::Nil.into())
    }

    pub(super) async fn start(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_of(args, context)?;
        if !context.user.allows(&workspace, Level::Read) {
            return Err(ServiceError::plain(format!(
                "User {} does not have permission to run app {app} in workspace {workspace}.",
                context.user.id
            )));
        }
        let selector = match selector_of(args)? {
            VersionSelector::Current => self.to_run(&workspace, &app).await,
            asked => asked,
        };
        let request = StartRequest {
            workspace,
            app,
            selector,
            startup: startup_of(args)?,
            worker_id: opt_text(args, "worker_id")?,
            worker_mode: opt_text(args, "worker_selection_mode")?,
            progress: self.progress(args, context),
            trial: false,
        };
        let record = self.host.start(request, context).await?;
        Ok(Value::Map(record).into())
    }

    /// The current version of an app. One that was never committed runs as it is, as in the
    /// reference.
    async fn to_run(&self, workspace: &str, app: &str) -> VersionSelector {
        let store = &self.host.store;
        let current = store.version(workspace, app, &VersionSelector::Current);
        if current.await.is_err() {
            let draft = store.version(workspace, app, &VersionSelector::Stage);
            if draft.await.is_ok() {
                return VersionSelector::Stage;
            }
        }
        VersionSelector::Current
    }

    pub(super) async fn stop(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let given = args.str("session_id")?;
        let session = SessionId::parse(given, &context.ws)?;
        self.host
            .check_session(session.workspace(), context, Level::Read)?;
        let Some(entry) = self.host.sessions.get(&session.to_string()) else {
            if args.bool("raise_exception")? {
                return Err(ServiceError::plain(format!(
                    "Server app instance not found: {given}"
                )));
            }
            return Ok(Value::Nil.into());
        };
        self.stop_session(&entry, "stopped by call").await?;
        Ok(Value::Nil.into())
    }

    async fn stop_session(
        &self,
        entry: &SessionEntry,
        cause: &'static str,
    ) -> Result<(), ServiceError> {
        let (workspace, app) = (entry.workspace(), entry.order.app.as_str());
        let others = self.host.sessions.of_app(workspace, app);
        if others.iter().all(|other| other.id() == entry.id()) {
            self.host.daemons.forget(workspace, app);
        }
        let only = Some(entry.id());
        self.host.end_sessions(workspace, app, only, cause).await
    }

    /// Stops all sessions of an app, or of the workspace; their ids.
    pub(super) async fn stop_all(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = match args.opt_str("app_id")? {
            Some(_) => {
                let (workspace, app) = self.app_for(args, context, Level::ReadWrite)?;
                (workspace, Some(app))
            }
            None => (self.workspace_of(args, context, Level::ReadWrite)?, None),
        };
        let sessions: Vec<_> = self
            .host
            .sessions
            .in_workspace(&workspace)
            .into_iter()
            .filter(|entry| !entry.order.trial)
            .filter(|entry| app.as_ref().is_none_or(|app| *app == entry.order.app))
            .collect();
        for entry in &sessions {
            let daemons = &self.host.daemons;
            daemons.forget(entry.workspace(), &entry.order.app);
        }
        let stops = sessions
            .iter()
            .map(|entry| self.stop_session(entry, "stopped by call"));
        for stopped in futures::future::join_all(stops).await {
            stopped?;
        }
        let ids: Vec<Value> = sessions.iter().map(|entry| entry.id().into()).collect();
        Ok(ids.into())
    }

    /// Stops a session and starts its app again in the same way; the new session's record.
    pub(super) async fn restart(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let given = args.str("session_id")?;
        let session = SessionId::parse(given, &context.ws)?;
        self.host
            .check_session(session.workspace(), context, Level::ReadWrite)?;
        let entry = self
            .host
            .sessions
            .get(&session.to_string())
            .filter(|entry| !entry.order.trial)
            .ok_or_else(|| {
                ServiceError::plain(format!("Server app instance not found: {given}"))
            })?;
        self.stop_session(&entry, "restarted by call").await?;
        let order = &entry.order;
        let request = StartRequest {
            workspace: entry.workspace().to_owned(),
            app: order.app.clone(),
            selector: match (&order.asked_version, order.staged) {
                (_, true) => VersionSelector::Stage,
                (Some(label), false) => VersionSelector::Label(label.clone()),
                (None, false) => VersionSelector::Current,
            },
            startup: StartupConfig::default(),
            worker_id: order.worker_id.clone(),
            worker_mode: order.worker_mode.clone(),
            progress: crate::apps::start::no_progress(),
            trial: false,
        };
        let record = self.host.start(request, context).await?;
        Ok(Value::Map(record).into())
    }

    /// Switches a worker off or on. Sessions on one that is switched off end.
    pub(super) async fn edit_worker(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let id = WorkerId::parse(args.str("worker_id")?, &context.ws)?;
        self.host
            .check_session(id.workspace(), context, Level::ReadWrite)?;
        let Some(disabled) = args.opt_bool("disabled")? else {
            return Ok(Value::Nil.into());
        };
        let id = id.to_string();
        if !self.host.workers.set_disabled(&id, disabled) {
            return Err(WorkerError::UnknownWorker(id).into());
        }
        if disabled {
            for entry in self.host.sessions.of_worker(&id) {
                let (workspace, app) = (entry.workspace(), entry.order.app.as_str());
                let cause = "the worker was disabled";
                let only = Some(entry.id());
                self.host.end_sessions(workspace, app, only, cause).await?;
                self.host.revive_daemon(workspace, app);
            }
        } else {
            self.host.revive_daemons(&context.ws);
        }
        Ok(Value::Nil.into())
    }
}
