//! The `server-apps` service: what users call to install, start and watch their apps.
//!
//! `methods` is the table of what it offers; the other files hold the methods by subject. It
//! checks permissions and shapes, and leaves the work to the host and its actors.

mod edit;
mod files;
mod inspect;
mod logs;
mod methods;
mod run;

use std::sync::Arc;

use futures::FutureExt;

use super::host::Host;
use super::ids::{AppRef, IdError};
use super::store::VersionSelector;
use crate::identity::Level;
use crate::peer::{
    Arguments, CallContext, Callback, ErrorClass, MethodFuture, MethodSpec, Reply, Service,
    ServiceError, ServiceSpec,
};
use crate::wire::{RemoteFunction, Value};

type JsonFields = serde_json::Map<String, serde_json::Value>;

/// See the module's text.
pub struct Controller {
    host: Arc<Host>,
}

impl From<IdError> for ServiceError {
    fn from(error: IdError) -> Self {
        ServiceError::new(ErrorClass::Named(error.class()), error.to_string())
    }
}

impl Controller {
    pub fn new(host: Arc<Host>) -> Arc<Self> {
        Arc::new(Controller { host })
    }

    async fn run(
        self: Arc<Self>,
        method: &'static str,
        mut arguments: Arguments,
        context: CallContext,
    ) -> Result<Reply, ServiceError> {
        let args = &mut arguments;
        let context = &context;
        match method {
            "install" => self.install(args, context).await,
            "uninstall" => self.uninstall(args, context).await,
            "start" | "launch" => self.start(args, context).await,
            "stop" => self.stop(args, context).await,
            "stop_all" => self.stop_all(args, context).await,
            "restart" => self.restart(args, context).await,
            "edit_app" => self.edit_app(args, context).await,
            "commit_app" => self.commit_app(args, context).await,
            "edit_file" => self.edit_file(args, context).await,
            "remove_file" => self.remove_file(args, context).await,
            "list_versions" => self.list_versions(args, context).await,
            "rollback" => self.rollback(args, context).await,
            "publish" => self.publish(args, context).await,
            "edit_worker" => self.edit_worker(args, context).await,
            "list_apps" => self.list_apps(args, context).await,
            "list_running" => self.list_running(args, context),
            "list_sessions" => self.list_sessions(args, context).await,
            "list_workers" => self.list_workers(args, context).await,
            "get_logs" => self.get_logs(args, context).await,
            "tail_logs" => self.tail_logs(args, context).await,
            "get_app_info" => self.get_app_info(args, context).await,
            "get_session_info" => self.get_session_info(args, context).await,
            "get_server_status" => self.get_server_status(args, context).await,
            "execute" => self.execute(args, context).await,
            "take_screenshot" => self.take_screenshot(args, context).await,
            "list_files" => self.list_files(args, context).await,
            "read_file" | "get_file_content" => self.read_file(args, context).await,
            "get_autoscaling_status" => self.get_autoscaling_status(args, context),
            "validate_app_manifest" => self.validate_app_manifest(args),
            other => Err(ServiceError::key(format!("Method not found: {other}"))),
        }
    }

    /// `alias` or `workspace/alias`, completed with the caller's workspace.
    fn app_of(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<(String, String), ServiceError> {
        let named = AppRef::parse(args.str("app_id")?)?;
        let workspace = named.workspace_or(&context.ws).to_owned();
        Ok((workspace, named.alias))
    }

    /// The same, for a caller who has `level` there.
    fn app_for(
        &self,
        args: &Arguments,
        context: &CallContext,
        level: Level,
    ) -> Result<(String, String), ServiceError> {
        let (workspace, app) = self.app_of(args, context)?;
        self.host.check_session(&workspace, context, level)?;
        Ok((workspace, app))
    }

    /// The `workspace` argument, or the caller's own, for a caller who may read it (V10).
    fn workspace_of(
        &self,
        args: &Arguments,
        context: &CallContext,
        level: Level,
    ) -> Result<String, ServiceError> {
        let workspace = opt_text(args, "workspace")?.unwrap_or_else(|| context.ws.clone());
        self.host.check_session(&workspace, context, level)?;
        Ok(workspace)
    }

    /// The caller's progress callback; silent without one.
    fn progress(&self, args: &Arguments, context: &CallContext) -> Callback {
        let function = RemoteFunction::try_from(args.get("progress_callback"));
        let (Ok(function), Some(client)) = (function, context.client.clone()) else {
            return super::start::no_progress();
        };
        let (peer, from) = (self.host.directory.peer.clone(), context.to.clone());
        Arc::new(move |values| peer.notify(&from, &client, &function, values))
    }
}

impl Service for Controller {
    fn spec(&self) -> &ServiceSpec {
        &methods::SPEC
    }

    fn call(
        self: Arc<Self>,
        method: &'static MethodSpec,
        arguments: Arguments,
        context: CallContext,
    ) -> MethodFuture {
        self.run(method.name, arguments, context).boxed()
    }
}

/// A text or null, whatever else is an error.
fn opt_text(args: &Arguments, name: &str) -> Result<Option<String>, ServiceError> {
    Ok(args.opt_str(name)?.map(str::to_owned))
}

/// A dict or null.
fn named(args: &Arguments, name: &str) -> Result<Option<JsonFields>, ServiceError> {
    let given = args.opt_map(name)?;
    let json = given.map(|map| Value::Map(map.clone()).to_json());
    Ok(json.and_then(|json| json.as_object().cloned()))
}

/// The version that `stage` and `version` mean.
fn selector_of(args: &Arguments) -> Result<VersionSelector, ServiceError> {
    Ok(match (args.bool("stage")?, opt_text(args, "version")?) {
        (true, _) => VersionSelector::Stage,
        (false, Some(label)) if label == "latest" => VersionSelector::Current,
        (false, Some(label)) if label == "stage" => VersionSelector::Stage,
        (false, Some(label)) => VersionSelector::Label(label),
        (false, None) => VersionSelector::Current,
    })
}

/// The startup settings among the keyword arguments of a call.
fn startup_of(args: &Arguments) -> Result<super::startup::StartupConfig, ServiceError> {
    let mut fields = serde_json::Map::new();
    for name in [
        "timeout",
        "wait_for_service",
        "stop_after_inactive",
        "additional_kwargs",
    ] {
        let value = args.get(name);
        if !matches!(value, Value::Nil) {
            fields.insert(name.to_owned(), value.to_json());
        }
    }
    Ok(super::startup::StartupConfig::read(&fields)?)
}
