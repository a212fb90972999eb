//! The service registry: what connected clients offer, indexed by workspace, name and client.
//!
//! Volatile: it starts empty, and an entry lives no longer than its connection. Plain shared
//! data, so that a lookup never waits for an actor.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use parking_lot::RwLock;

use super::record::{ServiceRecord, Visibility};
use super::service_id::ServiceId;
use crate::peer::ServiceError;

/// The services of one workspace.
#[derive(Default)]
struct Shelf {
    by_seq: BTreeMap<u64, Arc<ServiceRecord>>,
    by_name: HashMap<String, BTreeSet<u64>>,
    by_client: HashMap<String, HashMap<String, u64>>,
}

/// Most bytes of all registrations of one client.
const BYTES_PER_CLIENT: usize = 32 << 20;

/// See the module's text.
pub struct Registry {
    shelves: DashMap<String, Arc<RwLock<Shelf>>>,
    seq: AtomicU64,
    max_services_per_client: usize,
}

/// What a registration replaced.
pub struct Registered {
    pub record: Arc<ServiceRecord>,
    pub replaced: Option<Arc<ServiceRecord>>,
}

impl Registry {
    pub fn new(max_services_per_client: usize) -> Self {
        Registry {
            shelves: DashMap::new(),
            seq: AtomicU64::new(0),
            max_services_per_client,
        }
    }

    /// The next place in the order of registration.
    pub fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn shelf(&self, workspace: &str) -> Option<Arc<RwLock<Shelf>>> {
        self.shelves.get(workspace).map(|shelf| shelf.clone())
    }

    /// Puts a service in, replacing the same client's service of that name.
    ///
    /// # Errors
    /// Singleton conflicts, and the limit of services per client.
    pub fn insert(&self, record: ServiceRecord) -> Result<Registered, ServiceError> {
        // The guard on the map's entry keeps `drop_client` from removing the shelf meanwhile.
        let entry = self.shelves.entry(record.workspace.clone()).or_default();
        let mut shelf = entry.write();
        shelf.check_singleton(&record)?;
        let own = shelf.by_client.get(&record.client);
        let known = own.is_some_and(|own| own.contains_key(&record.name));
        let count = own.map_or(0, HashMap::len);
        if !known && count >= self.max_services_per_client {
            return Err(ServiceError::runtime(format!(
                "Client {} has reached the limit of {} services",
                record.address(),
                self.max_services_per_client
            )));
        }
        let held = shelf.bytes_of(&record.client, &record.name);
        if held + record.packed(true).len() > BYTES_PER_CLIENT {
            return Err(ServiceError::runtime(format!(
                "Client {} has reached the limit of {BYTES_PER_CLIENT} bytes of registrations",
                record.address()
            )));
        }
        let replaced = shelf.remove(&record.client, &record.name);
        let record = Arc::new(record);
        shelf.add(record.clone());
        Ok(Registered { record, replaced })
    }

    /// Takes one service out.
    pub fn remove(&self, workspace: &str, client: &str, name: &str) -> Option<Arc<ServiceRecord>> {
        let shelf = self.shelf(workspace)?;
        shelf.write().remove(client, name)
    }

    /// Takes out all that a client registered; in time proportional to its own services.
    pub fn drop_client(&self, workspace: &str, client: &str) -> Vec<Arc<ServiceRecord>> {
        let Some(shelf) = self.shelf(workspace) else {
            return Vec::new();
        };
        let gone = shelf.write().drop_client(client);
        self.shelves
            .remove_if(workspace, |_, shelf| shelf.read().by_seq.is_empty());
        gone
    }

    /// One exact service.
    pub fn get(&self, workspace: &str, client: &str, name: &str) -> Option<Arc<ServiceRecord>> {
        let shelf = self.shelf(workspace)?;
        let shelf = shelf.read();
        let seq = shelf.by_client.get(client)?.get(name)?;
        shelf.by_seq.get(seq).cloned()
    }

    /// The services that an id asks for, in the order of registration.
    pub fn find(&self, id: &ServiceId) -> Vec<Arc<ServiceRecord>> {
        let Some(shelf) = self.shelf(&id.workspace) else {
            return Vec::new();
        };
        let shelf = shelf.read();
        let Some(places) = shelf.by_name.get(&id.service) else {
            return Vec::new();
        };
        places
            .iter()
            .filter_map(|seq| shelf.by_seq.get(seq))
            .filter(|record| {
                id.client
                    .as_ref()
                    .is_none_or(|client| *client == record.client)
                    && id.app.as_ref().is_none_or(|app| *app == record.app)
            })
            .cloned()
            .collect()
    }

    /// All services of a workspace, in the order of registration.
    pub fn list(&self, workspace: &str) -> Vec<Arc<ServiceRecord>> {
        self.shelf(workspace)
            .map(|shelf| shelf.read().by_seq.values().cloned().collect())
            .unwrap_or_default()
    }

    /// All services of one client.
    pub fn of_client(&self, workspace: &str, client: &str) -> Vec<Arc<ServiceRecord>> {
        let Some(shelf) = self.shelf(workspace) else {
            return Vec::new();
        };
        let shelf = shelf.read();
        let mut own: Vec<_> = shelf
            .by_client
            .get(client)
            .into_iter()
            .flat_map(HashMap::values)
            .filter_map(|seq| shelf.by_seq.get(seq).cloned())
            .collect();
        own.sort_by_key(|record| record.seq);
        own
    }

    /// The public services of all workspaces but one.
    pub fn public_elsewhere(&self, own: &str) -> Vec<Arc<ServiceRecord>> {
        // Collected first: no shelf is locked while the map is.
        let shelves: Vec<_> = self
            .shelves
            .iter()
            .filter(|entry| entry.key() != own)
            .map(|entry| entry.value().clone())
            .collect();
        shelves
            .iter()
            .flat_map(|shelf| {
                let shelf = shelf.read();
                shelf
                    .by_seq
                    .values()
                    .filter(|record| record.visibility == Visibility::Public)
                    .cloned()
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Whether a client has registered its `built-in` service, its sign of presence.
    pub fn is_present(&self, workspace: &str, client: &str) -> bool {
        self.get(workspace, client, "built-in").is_some()
    }

    /// How many services are registered.
    pub fn len(&self) -> usize {
        let shelves: Vec<_> = self
            .shelves
            .iter()
            .map(|entry| entry.value().clone())
            .collect();
        shelves.iter().map(|shelf| shelf.read().by_seq.len()).sum()
    }

    /// How many workspaces have services.
    pub fn shelves(&self) -> usize {
        self.shelves.len()
    }

    /// Whether nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shelf {
    /// Bytes of a client's registrations, one of them left out.
    fn bytes_of(&self, client: &str, but: &str) -> usize {
        let own = self.by_client.get(client).into_iter().flatten();
        own.filter(|(name, _)| *name != but)
            .filter_map(|(_, seq)| self.by_seq.get(seq))
            .map(|record| record.packed(true).len())
            .sum()
    }

    fn add(&mut self, record: Arc<ServiceRecord>) {
        self.by_name
            .entry(record.name.clone())
            .or_default()
            .insert(record.seq);
        self.by_client
            .entry(record.client.clone())
            .or_default()
            .insert(record.name.clone(), record.seq);
        self.by_seq.insert(record.seq, record);
    }

    fn remove(&mut self, client: &str, name: &str) -> Option<Arc<ServiceRecord>> {
        let own = self.by_client.get_mut(client)?;
        let seq = own.remove(name)?;
        if own.is_empty() {
            self.by_client.remove(client);
        }
        self.forget(seq)
    }

    fn drop_client(&mut self, client: &str) -> Vec<Arc<ServiceRecord>> {
        let own = self.by_client.remove(client).unwrap_or_default();
        let mut gone: Vec<_> = own.values().filter_map(|seq| self.forget(*seq)).collect();
        gone.sort_by_key(|record| record.seq);
        gone
    }

    fn forget(&mut self, seq: u64) -> Option<Arc<ServiceRecord>> {
        let record = self.by_seq.remove(&seq)?;
        if let Some(places) = self.by_name.get_mut(&record.name) {
            places.remove(&seq);
            if places.is_empty() {
                self.by_name.remove(&record.name);
            }
        }
        Some(record)
    }

    fn check_singleton(&self, record: &ServiceRecord) -> Result<(), ServiceError> {
        let others = self
            .by_name
            .get(&record.name)
            .into_iter()
            .flatten()
            .filter_map(|seq| self.by_seq.get(seq))
            .filter(|other| other.client != record.client);
        for other in others {
            if record.singleton || other.singleton {
                let verb = if record.singleton {
                    "already exists"
                } else {
                    "has already exists"
                };
                return Err(ServiceError::value(format!(
                    "A singleton service with the same name ({}) {verb} in the workspace ({}), \
                     please remove it first or use a different name.",
                    record.name, record.workspace
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::UserInfo;
    use crate::map;

    fn put(
        registry: &Registry,
        client: &str,
        name: &str,
        singleton: bool,
    ) -> Result<Registered, ServiceError> {
        let service = map! {
            "id" => format!("ws/{client}:{name}"),
            "config" => map! { "singleton" => singleton },
        };
        let seq = registry.next_seq();
        let record =
            ServiceRecord::from_registration(&service, "ws", client, &UserInfo::root(), seq)?;
        registry.insert(record)
    }

    fn clients(registry: &Registry, id: &str) -> Vec<String> {
        let id = ServiceId::parse(id, "ws").unwrap();
        registry
            .find(&id)
            .iter()
            .map(|r| r.client.clone())
            .collect()
    }

    #[test]
    fn finds_in_order_of_registration_and_forgets_with_the_client() {
        let registry = Registry::new(10);
        put(&registry, "b", "svc", false).unwrap();
        put(&registry, "a", "svc", false).unwrap();
        put(&registry, "a", "other", false).unwrap();
        assert_eq!(clients(&registry, "svc"), ["b", "a"]);
        assert_eq!(clients(&registry, "a:svc"), ["a"]);
        assert!(
            put(&registry, "b", "svc", false)
                .unwrap()
                .replaced
                .is_some()
        );
        assert_eq!(clients(&registry, "svc"), ["a", "b"]);
        assert_eq!(registry.drop_client("ws", "a").len(), 2);
        assert_eq!(clients(&registry, "svc"), ["b"]);
        registry.drop_client("ws", "b");
        assert!(registry.is_empty() && registry.shelves.is_empty());
    }

    #[test]
    fn singletons_exclude_others_of_their_name() {
        let registry = Registry::new(10);
        put(&registry, "a", "one", true).unwrap();
        put(&registry, "a", "one", true).unwrap();
        let again = put(&registry, "b", "one", true).err().unwrap().message;
        assert!(again.starts_with("A singleton service with the same name (one) already exists"));
        let plain = put(&registry, "b", "one", false).err().unwrap().message;
        assert!(plain.contains("has already exists in the workspace (ws)"));
    }

    #[test]
    fn a_client_has_a_limited_number_of_services() {
        let registry = Registry::new(2);
        put(&registry, "a", "1", false).unwrap();
        put(&registry, "a", "2", false).unwrap();
        put(&registry, "a", "2", false).unwrap();
        assert!(put(&registry, "a", "3", false).is_err());
    }
}
