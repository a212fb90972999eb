//! Counts, in the shapes of the reference.

use std::collections::BTreeMap;

use super::AdminService;
use crate::map;
use crate::peer::Reply;
use crate::wire::{Map, Value};

fn counted(counts: BTreeMap<String, usize>) -> Map {
    counts.into_iter().collect()
}

impl AdminService {
    pub(super) fn get_metrics(&self) -> Reply {
        let router = &self.directory.router;
        let (created, active) = (router.established(), router.count() as u64);
        let connections = map! {
            "created_total" => created,
            "closed_total" => created.saturating_sub(active),
            "active" => active,
        };
        let events = map! {
            "messages_processed_total" => router.notes.events(),
            "local_clients" => active,
        };
        Value::Map(map! {
            "rpc" => map! { "rpc_connections" => connections },
            "eventbus" => map! { "eventbus" => events },
        })
        .into()
    }

    pub(super) fn get_resource_usage(&self) -> Reply {
        let directory = &self.directory;
        let (mut users, mut workspaces, mut services) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let clients = directory.router.all();
        for client in &clients {
            *users.entry(client.user.id.clone()).or_insert(0) += 1;
            *workspaces.entry(client.workspace.to_string()).or_insert(0) += 1;
            let offered = directory.registry.of_client(&client.workspace, &client.id);
            services.insert(client.address.to_string(), offered.len());
        }
        let limits = &directory.limits;
        let limits = map! {
            "max_connections_per_user" => limits.connections_per_user,
            "max_clients_per_workspace" => limits.clients_per_workspace,
            "max_services_per_client" => limits.services_per_client,
            "ws_msg_rate_limit" => self.messages.0,
            "ws_msg_burst_limit" => self.messages.1,
        };
        Value::Map(map! {
            "connections_per_user" => counted(users),
            "connections_per_workspace" => counted(workspaces),
            "services_per_client" => counted(services),
            "active_rate_limiters" => clients.len(),
            "limits" => limits,
        })
        .into()
    }
}
