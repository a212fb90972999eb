//! The workspace manager: the service that every client talks to first (workspace.md 4).
//!
//! `methods` is the table of what it offers; the other files hold the methods by subject. Each
//! method checks its own permission; nothing is hidden from anybody.

mod bookmarks;
mod clients;
mod env;
mod journal;
mod methods;
mod services;
mod spaces;
mod subscriptions;
mod tokens;
mod types;

use std::sync::Arc;

use futures::FutureExt;

use super::directory::Directory;
use super::membership::HYPHA_VERSION;
use crate::map;
use crate::peer::{
    Arguments, CallContext, MethodFuture, MethodSpec, Reply, Service, ServiceError, ServiceSpec,
};
use crate::wire::{Map, Value};

/// See the module's text.
pub struct ManagerService {
    directory: Arc<Directory>,
}

impl ManagerService {
    pub fn new(directory: Arc<Directory>) -> Arc<Self> {
        Arc::new(ManagerService { directory })
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
            "echo" => self.echo(args, context),
            "log" => self.log(args, context).await,
            "log_event" => self.log_event(args, context).await,
            "get_event_stats" => self.get_event_stats(args, context).await,
            "get_events" => self.get_events(args, context).await,
            "register_service" => self.register_service(args, context).await,
            "unregister_service" => self.unregister_service(args, context),
            "list_workspaces" => self.list_workspaces(args, context),
            "list_services" => self.list_services(args, context).await,
            "search_services" => Err(ServiceError::runtime("Service search is not enabled.")),
            "list_clients" => self.list_clients(args, context),
            "register_service_type" => self.register_service_type(args, context).await,
            "get_service_type" => self.get_service_type(args, context),
            "list_service_types" => self.list_service_types(args, context),
            "get_service_info" => self.get_service_info(args, context).await,
            "get_service" => self.get_service(args, context).await,
            "generate_token" => self.generate_token(args, context).await,
            "revoke_token" => self.revoke_token(args, context).await,
            "parse_token" => self.parse_token(args, context).await,
            "create_workspace" => self.create_workspace(args, context).await,
            "delete_workspace" => self.delete_workspace(args, context).await,
            "bookmark" => self.bookmark(args, context).await,
            "unbookmark" => self.unbookmark(args, context).await,
            "get_workspace_info" => self.get_workspace_info(args, context),
            "get_summary" => self.get_summary(context),
            "ping" => self.ping(args, context).await,
            "cleanup" => self.cleanup(args, context).await,
            "check_status" => self.check_status(context),
            "set_env" => self.set_env(args, context).await,
            "get_env" => self.get_env(args, context),
            "subscribe" => self.subscribe(args, context).await,
            "unsubscribe" => self.unsubscribe(args, context),
            other => Err(ServiceError::key(format!("Method not found: {other}"))),
        }
    }
}

impl Service for ManagerService {
    fn spec(&self) -> &ServiceSpec {
        &methods::SPEC
    }

    fn config(&self) -> Map {
        let peer = &self.directory.peer;
        map! {
            "require_context" => true,
            "visibility" => "public",
            "server_id" => peer.router.server_id(),
            "hypha_version" => HYPHA_VERSION,
            "public_base_url" => peer.public_base_url(),
            "local_base_url" => peer.public_base_url(),
            "auth0_client_id" => Value::Nil,
            "auth0_domain" => Value::Nil,
            "auth0_audience" => Value::Nil,
            "auth0_issuer" => Value::Nil,
            "login_service_url" => format!("{}/public/services/hypha-login", peer.public_base_url()),
        }
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

/// A failure of the blocking pool or of the store behind a method.
async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, crate::store::StoreError> + Send + 'static,
) -> Result<R, ServiceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| super::error::store_failure(&error)),
        Err(error) => {
            tracing::error!(%error, "a blocking task failed");
            Err(ServiceError::runtime("internal error"))
        }
    }
}
