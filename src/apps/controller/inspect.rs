//! Looking: apps, sessions, workers, logs.

use std::sync::Arc;

use super::{Controller, selector_of};
use crate::apps::host::DISCOVERY;
use crate::apps::ids::{AppRef, SessionId};
use crate::apps::session::SessionEntry;
use crate::apps::validate::validate_app_manifest;
use crate::identity::Level;
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::Value;
use crate::workers::Worker;
use crate::workers::browser::service::log_query;
use crate::workspace::PUBLIC;

impl Controller {
    pub(super) async fn list_apps(&self, context: &CallContext) -> Result<Reply, ServiceError> {
        let apps = self.host.list_apps(&context.ws, &context.user).await?;
        Ok(apps
            .into_iter()
            .map(Value::from_json)
            .collect::<Vec<_>>()
            .into())
    }

    pub(super) fn list_running(&self, context: &CallContext) -> Result<Reply, ServiceError> {
        self.host.check_session(&context.ws, context, Level::Read)?;
        let running: Vec<Value> = self
            .host
            .sessions
            .in_workspace(&context.ws)
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

    pub(super) fn list_sessions(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (mut workspace, mut app) = (context.ws.clone(), None);
        if let Some(text) = args.opt_str("app_id")? {
            let named = AppRef::parse(text)?;
            workspace = named.workspace_or(&context.ws).to_owned();
            app = Some(named.alias);
        }
        self.host.check_session(&workspace, context, Level::Read)?;
        let mut found = self.host.sessions.in_workspace(&workspace);
        if args.bool("include_stopped")? {
            found.extend(self.host.sessions.ended_in(&workspace));
        }
        let listed: Vec<Value> = found
            .into_iter()
            .filter(|entry| app.as_ref().is_none_or(|app| *app == entry.order.app))
            .map(|entry| Value::Map(entry.info()))
            .collect();
        Ok(listed.into())
    }

    pub(super) async fn list_workers(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.host.check_session(&context.ws, context, Level::Read)?;
        let wanted = args.opt_str("app_type")?;
        self.host.workers.complete(&context.ws, DISCOVERY).await;
        let table = &self.host.workers;
        let mut found = table.in_workspace(&context.ws);
        if context.ws != PUBLIC {
            found.extend(table.in_workspace(PUBLIC));
        }
        let listed: Vec<Value> = found
            .into_iter()
            .filter(|info| wanted.is_none_or(|kind| info.supported_types.iter().any(|t| t == kind)))
            .map(|info| {
                Value::Map(map! {
                    "disabled" => table.is_disabled(&info.id),
                    "id" => info.id,
                    "name" => info.name,
                    "description" => info.description,
                    "supported_types" => info.supported_types,
                })
            })
            .collect();
        Ok(listed.into())
    }

    /// A session, living or ended, that the caller may use at `level`.
    fn session(
        &self,
        args: &Arguments,
        context: &CallContext,
        level: Level,
        unknown: &str,
    ) -> Result<Arc<SessionEntry>, ServiceError> {
        let given = args.str("session_id")?;
        let session = SessionId::parse(given, &context.ws)?;
        self.host
            .check_session(session.workspace(), context, level)?;
        self.host
            .sessions
            .find(&session.to_string())
            .ok_or_else(|| ServiceError::plain(format!("{unknown}: {given}")))
    }

    fn worker_of(&self, entry: &SessionEntry) -> Result<Arc<dyn Worker>, ServiceError> {
        entry
            .worker()
            .and_then(|id| self.host.workers.get(&id))
            .ok_or_else(|| {
                ServiceError::runtime(format!("the worker of session {} is gone", entry.id()))
            })
    }

    pub(super) async fn get_logs(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let entry = self.session(args, context, Level::Read, "Server app instance not found")?;
        let query = log_query(args)?;
        let worker = self.worker_of(&entry)?;
        Ok(worker.logs(&entry.worker_session(), &query).await?.into())
    }

    pub(super) fn get_session_info(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let entry = self.session(args, context, Level::Read, "Session not found")?;
        Ok(Value::Map(entry.info()).into())
    }

    pub(super) async fn get_app_info(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_of(args, context)?;
        self.host.check_session(&workspace, context, Level::Read)?;
        let selector = selector_of(args)?;
        let record = self
            .host
            .store
            .record(&workspace, &app, &selector)
            .await
            .map_err(|error| ServiceError {
                class: ServiceError::from(error.clone()).class,
                message: format!("Failed to get app info for {app}: {error}"),
            })?;
        Ok(Value::from_json(record).into())
    }

    pub(super) async fn execute(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let entry = self.session(args, context, Level::ReadWrite, "Session not found")?;
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
        let entry = self.session(args, context, Level::ReadWrite, "Session not found")?;
        let worker = self.worker_of(&entry)?;
        let picture = worker
            .screenshot(&entry.worker_session(), args.str("format")?)
            .await?;
        Ok(picture.into())
    }

    pub(super) fn get_autoscaling_status(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_of(args, context)?;
        self.host.check_session(&workspace, context, Level::Read)?;
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
