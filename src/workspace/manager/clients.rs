//! Clients: listing, pinging, removing the silent ones.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;

use super::ManagerService;
use crate::identity::Level;
use crate::map;
use crate::peer::{Arguments, CallContext, CallOptions, Reply, ServiceError};
use crate::router::CLOSE_GOING_AWAY;
use crate::wire::{Map, Value};

/// Clients that `cleanup` pings at the same time.
const PING_BATCH: usize = 50;
/// Longest time a ping may take, in seconds.
const MAX_PING_S: f64 = 300.0;

fn seconds(args: &Arguments) -> Result<Duration, ServiceError> {
    let seconds = args.opt_f64("timeout")?.unwrap_or(5.0);
    Ok(Duration::from_secs_f64(seconds.clamp(0.01, MAX_PING_S)))
}

impl ManagerService {
    pub(super) fn list_clients(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let workspace = args.opt_str("workspace")?.unwrap_or(&context.ws);
        self.directory
            .require(&context.user, workspace, Level::Read)?;
        let clients: Vec<Value> = self
            .directory
            .router
            .members(workspace)
            .iter()
            .filter(|client| self.directory.registry.is_present(workspace, &client.id))
            .map(|client| {
                Value::Map(map! { "id" => &*client.address, "user" => client.user.to_value() })
            })
            .collect();
        Ok(clients.into())
    }

    /// `pong`, or a text that says why not; never an error for a silent client.
    pub(super) async fn ping(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let given = args.str("client_id")?;
        let address = if given.contains('/') {
            given.to_owned()
        } else {
            format!("{}/{given}", context.ws)
        };
        let workspace = address.split_once('/').map_or("", |(ws, _)| ws);
        let foreign = workspace != context.ws && !context.user.allows(workspace, Level::Read);
        let outcome = if foreign {
            Err(format!("Permission denied for workspace {workspace}"))
        } else {
            self.ping_address(&address, seconds(args)?).await
        };
        Ok(match outcome {
            Ok(()) => "pong".into(),
            Err(reason) => format!("Failed to ping client {address}: {reason}").into(),
        })
    }

    async fn ping_address(&self, address: &str, within: Duration) -> Result<(), String> {
        if self.directory.router.is_local_address(address) {
            return Ok(());
        }
        let answer = self
            .directory
            .peer
            .call(address, "services.built-in.ping")
            .options(CallOptions {
                timeout: within,
                ..CallOptions::default()
            })
            .arg("ping")
            .send();
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.last_line()),
            Err(_) => Err(format!("no answer within {:.1} s", within.as_secs_f64())),
        }
    }

    pub(super) async fn cleanup(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::Admin)?;
        let workspace = args.opt_str("workspace")?.unwrap_or(&context.ws);
        self.directory
            .require(&context.user, workspace, Level::Admin)?;
        if !self.directory.exists(workspace) {
            return Err(ServiceError::key(format!(
                "Workspace {workspace} does not exist or is not accessible"
            )));
        }
        let within = seconds(args)?;
        let clients = self.directory.router.members(workspace);
        if clients.is_empty() && self.directory.unload_if_empty(workspace) {
            let none: Vec<Value> = Vec::new();
            let summary = map! { "removed_workspace" => workspace, "removed_clients" => none };
            return Ok(Value::Map(summary).into());
        }
        let silent: Vec<_> = stream::iter(clients)
            .map(|client| async move {
                let answer = self.ping_address(&client.address, within).await;
                answer.is_err().then_some(client)
            })
            .buffer_unordered(PING_BATCH)
            .filter_map(|silent| async { silent })
            .collect()
            .await;
        let mut summary = Map::new();
        if !silent.is_empty() {
            let removed: Vec<Value> = silent
                .iter()
                .map(|client| Value::from(&*client.address))
                .collect();
            for client in &silent {
                client.close(CLOSE_GOING_AWAY, "Removed: no answer to a ping");
            }
            summary.insert("removed_clients", removed);
        }
        Ok(Value::Map(summary).into())
    }
}
