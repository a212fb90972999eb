//! Registering and unregistering services of clients (protocol 5.3, workspace.md 3.5).

use std::sync::Arc;
use std::time::Duration;

use super::directory::Directory;
use super::info::{PUBLIC, ROOT};
use super::record::ServiceRecord;
use super::service_id::{ServiceId, split};
use crate::identity::Level;
use crate::map;
use crate::peer::{CallContext, CallOptions, ServiceError};
use crate::wire::{Map, Value};

/// How long the optional `setup` of a fresh `default` service may stay without a sign of life.
const SETUP_TIMEOUT: Duration = Duration::from_secs(60);

impl Directory {
    /// Registers a service of the calling client.
    ///
    /// # Errors
    /// Permission, id, singleton and limit texts of workspace.md 4.
    pub async fn register(&self, service: &Map, context: &CallContext) -> Result<(), ServiceError> {
        self.require(&context.user, &context.ws, Level::ReadWrite)?;
        let (workspace, client) = own_address(context)?;
        if is_local_only(service) {
            return Ok(());
        }
        let seq = self.registry.next_seq();
        let record =
            ServiceRecord::from_registration(service, workspace, client, &context.user, seq)?;
        let built_in = record.is_built_in();
        // Late registrations of a client that is gone already are dropped without a word.
        if !built_in && !self.may_register(workspace, client) || self.is_gone(context) {
            return Ok(());
        }
        let registered = self.registry.insert(record)?;
        // A client that left while this ran has taken its services with it; this one came later.
        if self.is_gone(context) {
            self.registry.drop_client(workspace, client);
            return Ok(());
        }
        let (record, replaced) = (registered.record, registered.replaced);
        if record.name == "default" && record.has_setup {
            self.run_setup(&record).await;
        }
        self.announce(&record, replaced.as_deref());
        Ok(())
    }

    fn may_register(&self, workspace: &str, client: &str) -> bool {
        matches!(workspace, PUBLIC | ROOT) || self.registry.is_present(workspace, client)
    }

    /// Whether the connection that called is not the current one of its address any more.
    fn is_gone(&self, context: &CallContext) -> bool {
        let Some(caller) = &context.client else {
            return false;
        };
        self.router
            .find(&caller.address)
            .is_none_or(|current| current.generation != caller.generation)
    }

    async fn run_setup(&self, record: &ServiceRecord) {
        let outcome = self
            .peer
            .call(&record.address(), "services.default.setup")
            .options(CallOptions {
                timeout: SETUP_TIMEOUT,
                ws: Some(record.workspace.clone()),
                ..CallOptions::default()
            })
            .send()
            .await;
        if let Err(error) = outcome {
            tracing::warn!(
                service = %record.id(),
                error = error.last_line(),
                "the setup function of a service failed"
            );
        }
    }

    fn announce(&self, record: &Arc<ServiceRecord>, replaced: Option<&ServiceRecord>) {
        let workspace = &record.workspace;
        if record.is_built_in() {
            let event = if replaced.is_some() {
                "client_updated"
            } else {
                "client_connected"
            };
            let address = record.address();
            let data = map! { "id" => address.as_str(), "workspace" => workspace.as_str() };
            self.router.emit(workspace, event, Value::Map(data));
            if let Some(apps) = self.apps() {
                apps.client_joined(&address);
            }
            return;
        }
        if let Some(old) = replaced {
            self.router
                .emit(workspace, "service_removed", Value::Map(old.to_map(true)));
        }
        self.router
            .emit(workspace, "service_added", Value::Map(record.to_map(true)));
        if let Some(apps) = self.apps() {
            apps.service_added(record);
        }
    }

    /// Unregisters a service: the caller's own one first, another client's only for an
    /// administrator of the workspace.
    ///
    /// # Errors
    /// Not found, ambiguous, or not the caller's.
    pub fn unregister(&self, id: &str, context: &CallContext) -> Result<(), ServiceError> {
        self.require(&context.user, &context.ws, Level::ReadWrite)?;
        let wanted = ServiceId::parse(id, &context.ws)?;
        if wanted.workspace != context.ws {
            return Err(ServiceError::permission(format!(
                "Permission denied: service {id} is not in the workspace {}",
                context.ws
            )));
        }
        let (_, client) = own_address(context)?;
        let found = self.registry.find(&wanted);
        let own = found.iter().find(|record| record.client == client);
        let record = match (own, found.as_slice()) {
            (Some(own), _) => own.clone(),
            (None, []) => {
                return Err(ServiceError::key(format!("Service not found: {wanted}")));
            }
            (None, _) if !context.user.allows(&context.ws, Level::Admin) => {
                return Err(ServiceError::permission(format!(
                    "Permission denied: service {wanted} belongs to another client"
                )));
            }
            (None, [only]) => only.clone(),
            (None, _) => {
                return Err(ServiceError::assertion(format!(
                    "Multiple services found for {wanted}, name the client as well"
                )));
            }
        };
        self.registry
            .remove(&record.workspace, &record.client, &record.name);
        self.router.emit(
            &record.workspace,
            "service_removed",
            Value::Map(record.to_map(true)),
        );
        Ok(())
    }
}

fn own_address(context: &CallContext) -> Result<(&str, &str), ServiceError> {
    context
        .from
        .split_once('/')
        .ok_or_else(|| ServiceError::assertion("the caller has no address"))
}

/// Internal services of the client library, which never leave the client.
fn is_local_only(service: &Map) -> bool {
    let name = service
        .get_str("id")
        .and_then(|id| split(id).ok())
        .map(|parts| parts.service.to_owned());
    let flagged = service
        .get("config")
        .and_then(|config| config.get("_local_only"))
        .is_some_and(Value::truthy);
    flagged || name.is_some_and(|name| name.starts_with("_rintf_"))
}
