//! The service behind an MCP server, and calls of its functions in a caller's name.

use std::sync::Arc;

use super::surface::{Function, Surface, SurfaceError};
use crate::peer::{CallContext, CallOptions, ServiceError, invoke, method_of};
use crate::wire::{Map, Value};
use crate::workspace::{Directory, LookupOptions, ServiceRecord};

/// See the module's text.
pub struct Provider {
    pub directory: Arc<Directory>,
    pub record: Arc<ServiceRecord>,
    pub context: CallContext,
    /// Whether callers are told the stack of a failure.
    pub detailed: bool,
}

impl Provider {
    /// What the service offers.
    ///
    /// # Errors
    /// The provider does not answer, or what it offers is not what it claims.
    pub async fn surface(&self) -> Result<Result<Surface, SurfaceError>, ServiceError> {
        let options = LookupOptions::default();
        let described = self.directory.fetch(&self.record, &options).await?;
        Ok(Surface::of(&described, &self.record))
    }

    /// Calls a function of the service.
    ///
    /// # Errors
    /// What it fails with, as `Class: message`; with the stack when callers may see it.
    pub async fn call(&self, function: &Function, arguments: Map) -> Result<Value, String> {
        let record = &self.record;
        let peer = &self.directory.peer;
        if self.directory.router.is_local_address(&record.address()) {
            let own = peer.offered(&record.workspace, &record.name);
            let method = own.as_deref().and_then(|it| method_of(it, &function.path));
            let (Some(service), Some(method)) = (own, method) else {
                return Err(format!("KeyError: '{} not found.'", function.path));
            };
            let value = invoke(service, method, Vec::new(), arguments, self.context.clone()).await;
            return value.map_err(|error| error.to_string());
        }
        if function.remote.target != record.address() {
            // In the caller's name that could be anything the caller may do.
            return Err(format!(
                "PermissionError: {} belongs to another client than its service and is not called",
                function.path
            ));
        }
        let mut call = peer
            .call(&function.remote.target, &function.remote.method)
            .options(CallOptions {
                from: Some(self.context.from.clone()),
                ws: Some(self.context.ws.clone()),
                user: Some(self.context.user.clone()),
                ..CallOptions::default()
            })
            .counted();
        for (name, value) in arguments {
            call = call.kwarg(&name, value);
        }
        let value = call.send_to_living().await;
        let value = value.map_err(|error| match self.detailed {
            true => error.detailed(),
            false => error.described(),
        })?;
        if value.get("_rtype").and_then(Value::as_str) == Some("generator") {
            return Err(format!(
                "TypeError: {} returns a generator, which MCP has no form for",
                function.path
            ));
        }
        Ok(value)
    }
}
