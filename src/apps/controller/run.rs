//! Installing, starting, stopping.

use super::{Controller, opt_text, selector_of, startup_of};
use crate::apps::ids::SessionId;
use crate::apps::install::InstallRequest;
use crate::apps::start::StartRequest;
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
        let object = |name: &str| -> Result<_, ServiceError> {
            Ok(args
                .opt_map(name)?
                .map(|map| Value::Map(map.clone()).to_json())
                .and_then(|json| json.as_object().cloned()))
        };
        let request = InstallRequest {
            manifest: object("manifest")?,
            config: object("config")?,
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
        let selector = selector_of(args)?;
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
        self.host
            .end_sessions(
                session.workspace(),
                &entry.order.app,
                Some(entry.id()),
                "stopped by call",
            )
            .await?;
        Ok(Value::Nil.into())
    }
}
