//! The connections of one workspace, in the order in which they came.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::client::Client;

/// See the module's text.
#[derive(Default)]
pub struct Hub {
    members: RwLock<BTreeMap<u64, Arc<Client>>>,
}

impl Hub {
    pub(super) fn join(&self, client: &Arc<Client>) {
        self.members
            .write()
            .insert(client.generation, client.clone());
    }

    pub(super) fn leave(&self, generation: u64) {
        self.members.write().remove(&generation);
    }

    /// Connections in the workspace.
    pub fn len(&self) -> usize {
        self.members.read().len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.members.read().is_empty()
    }

    /// The connections, oldest first.
    pub fn members(&self) -> Vec<Arc<Client>> {
        self.members.read().values().cloned().collect()
    }

    /// The connections whose subscriptions hold `kind`.
    pub fn subscribers(&self, kind: &str) -> Vec<Arc<Client>> {
        self.members
            .read()
            .values()
            .filter(|client| client.is_subscribed(kind))
            .cloned()
            .collect()
    }
}
