//! Subscriptions of the calling connection (workspace.md 5.3).

use std::sync::Arc;

use super::ManagerService;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::router::{Client, MAX_SUBSCRIPTIONS};
use crate::wire::Value;
use crate::workspace::error::store_failure;

/// Events that the server itself makes; anybody may have those of their own workspace.
const SYSTEM_EVENTS: [&str; 12] = [
    "client_connected",
    "client_disconnected",
    "client_updated",
    "service_added",
    "service_removed",
    "service_updated",
    "workspace_loaded",
    "workspace_ready",
    "workspace_changed",
    "workspace_deleted",
    "workspace_unloaded",
    "workspace_status_changed",
];
/// What every client library subscribes to by itself each time it connects: not worth storing.
const SUBSCRIBED_ANYWAY: &str = "client_disconnected";
/// Longest event type, in characters.
const MAX_TYPE: usize = 128;

fn types(args: &Arguments) -> Result<Vec<String>, ServiceError> {
    let wrong = || ServiceError::value("event_type must be a string or a list of strings");
    match args.get("event_type") {
        Value::Str(one) => Ok(vec![one.clone()]),
        Value::Array(several) => several
            .iter()
            .map(|kind| kind.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        _ => Err(wrong()),
    }
}

/// Whether a member of `workspace` may subscribe to `kind`. Names are compared whole (rule V2).
fn check(kind: &str, workspace: &str) -> Result<(), ServiceError> {
    if kind.is_empty() || kind.chars().count() > MAX_TYPE {
        return Err(ServiceError::value(format!(
            "an event type has 1 to {MAX_TYPE} characters"
        )));
    }
    if SYSTEM_EVENTS.contains(&kind) {
        return Ok(());
    }
    if let Some((named, _)) = kind.split_once('/') {
        if named == workspace {
            return Ok(());
        }
        return Err(ServiceError::value(format!(
            "Subscription to event '{kind}' is forbidden. Event workspace '{named}' does not match \
             your workspace '{workspace}'. Clients can only subscribe to events within their own \
             workspace or system events."
        )));
    }
    let named = kind.split_once(':').map_or(kind, |(named, _)| named);
    if named.starts_with("ws-") && named != workspace {
        return Err(ServiceError::value(format!(
            "Subscription to event '{kind}' is forbidden as it contains workspace identifiers. \
             Clients can only subscribe to events within their own workspace ({workspace}) or \
             system events."
        )));
    }
    Ok(())
}

fn connection(context: &CallContext) -> Result<&Arc<Client>, ServiceError> {
    context.client.as_ref().ok_or_else(|| {
        ServiceError::runtime(format!("Connection not found for client {}", context.from))
    })
}

impl ManagerService {
    /// Subscribes; the subscription outlives the server when the call has returned.
    pub(super) async fn subscribe(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let types = types(args)?;
        for kind in &types {
            check(kind, &context.ws)?;
        }
        let client = connection(context)?;
        let worth_keeping = types.iter().any(|kind| kind != SUBSCRIBED_ANYWAY);
        if !client.subscribe(types) {
            return Err(ServiceError::runtime(format!(
                "a connection has at most {MAX_SUBSCRIPTIONS} subscriptions"
            )));
        }
        if worth_keeping {
            self.keep(client)?;
            self.directory.durable().await?;
        }
        Ok(true.into())
    }

    pub(super) fn unsubscribe(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let types = types(args)?;
        let client = connection(context)?;
        client.unsubscribe(types.iter().map(String::as_str));
        if types.iter().any(|kind| kind != SUBSCRIBED_ANYWAY) {
            self.keep(client)?;
        }
        Ok(true.into())
    }

    fn keep(&self, client: &Client) -> Result<(), ServiceError> {
        let kept = self.directory.router.keep_subscriptions(client);
        kept.map_err(|error| store_failure(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_workspace_and_free_names() {
        for good in ["client_connected", "my-event", "my-ws/x", "a:b", "ws_x"] {
            assert!(check(good, "my-ws").is_ok(), "{good}");
        }
        for bad in [
            "",
            "per-ws/x",
            "ws-user-foo",
            "ws-user-foo:evt",
            "evil-my-ws/x",
        ] {
            assert!(check(bad, "my-ws").is_err(), "{bad}");
        }
        assert!(check("ws-user-me", "ws-user-me").is_ok());
        assert!(check(&"x".repeat(200), "my-ws").is_err());
    }
}
