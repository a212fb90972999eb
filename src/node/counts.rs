//! How many of everything a node holds, for its administrator and for tests that look for leaks.

use serde::Serialize;

use super::Node;
use crate::router::RouterCounts;

/// See the module's text.
#[derive(Debug, Serialize)]
pub struct Counts {
    #[serde(flatten)]
    pub router: RouterCounts,
    /// Connection actors in memory, also those of connections that are not let in yet.
    pub connection_actors: usize,
    /// Clients over plain HTTP whose requests are taken.
    pub streams: usize,
    /// Connections in set-up.
    pub setups: usize,
    pub users: usize,
    pub workspaces: usize,
    pub services: usize,
    /// Workspaces with services.
    pub shelves: usize,
    /// Calls of the server to clients that wait for an answer.
    pub waiting_calls: usize,
    /// Long messages that have begun to arrive.
    pub unfinished_messages: usize,
    /// Sessions of apps.
    pub sessions: usize,
    pub workers: usize,
    /// Sessions that workers elsewhere have, or still have though they are over.
    pub handed: usize,
    /// Actors of the supervision tree.
    pub actors: usize,
}

impl Counts {
    /// Counts now; `actors` is what the tree said.
    pub fn take(node: &Node, actors: usize) -> Self {
        let directory = &node.directory;
        let apps = node.apps.as_ref();
        Counts {
            router: directory.router.counts(),
            connection_actors: node.gateway.sockets(),
            streams: node.gateway.streams.len(),
            setups: node.gateway.setups(),
            users: directory.connected_users(),
            workspaces: directory.len(),
            services: directory.registry.len(),
            shelves: directory.registry.shelves(),
            waiting_calls: directory.peer.waiting_calls(),
            unfinished_messages: directory.peer.unfinished_messages(),
            sessions: apps.map_or(0, |host| host.sessions.all().len()),
            workers: apps.map_or(0, |host| host.workers.all().len()),
            handed: apps.map_or(0, |host| host.handed.len()),
            actors,
        }
    }
}
