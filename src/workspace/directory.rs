//! The workspaces of the node and everything that is decided per workspace.
//!
//! Shared data behind fine locks: a permission check or a lookup waits for no actor. What lives
//! longer than a call, the apps and their sessions, is supervised by `WorkspaceActor`s.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use dashmap::DashMap;
use futures::future::BoxFuture;
use parking_lot::RwLock;

use super::error::WorkspaceError;
use super::event_log::EventLog;
use super::info::{ANONYMOUS, PUBLIC, ROOT, WorkspaceInfo, check_name, is_system};
use super::registry::Registry;
use crate::identity::{Blocklist, Level, Tokens, UserInfo};
use crate::map;
use crate::metrics::Reading;
use crate::peer::{CallContext, Peer, ServiceError};
use crate::router::{CLOSE_GOING_AWAY, Router};
use crate::store::{Store, StoreError, Tree};
use crate::supervision::{SharedClock, spawn_detached};
use crate::wire::{Map, Value};

use super::record::ServiceRecord;
use super::selection::SelectionMode;

/// How long a workspace that is not persistent waits for its first client.
const FIRST_CLIENT: Duration = Duration::from_secs(300);

/// Shortest time between two looks whether an empty workspace is due.
const SHORTEST_NAP: Duration = Duration::from_millis(250);

/// Settings of workspaces and their members.
#[derive(Debug, Clone)]
pub struct WorkspaceLimits {
    pub workspaces_per_user: usize,
    pub connections_per_user: usize,
    pub clients_per_workspace: usize,
    pub services_per_client: usize,
    /// How long an empty workspace that is not persistent stays, so that a client with a bad
    /// network finds it again.
    pub unload_grace: Duration,
}

impl Default for WorkspaceLimits {
    fn default() -> Self {
        WorkspaceLimits {
            workspaces_per_user: 100,
            connections_per_user: 200,
            clients_per_workspace: 1000,
            services_per_client: 1000,
            unload_grace: Duration::from_secs(10),
        }
    }
}

/// What the apps room is told, and asked. One implementation, set once at start.
pub trait AppHost: Send + Sync {
    /// A service is announced.
    fn service_added(&self, record: &Arc<ServiceRecord>);
    /// A client left, with all its services.
    fn client_left(&self, address: &str);
    /// Whether a client that wants to come in belongs to a session that is over; `returning` says
    /// that it was connected before.
    fn is_over(&self, address: &str, returning: bool) -> bool;
    /// A client was registered.
    fn client_joined(&self, address: &str);
    /// Starts the app of `name@app` unless it runs; the address of a session that offers it.
    fn lazy_start(
        &self,
        workspace: &str,
        app: &str,
        service: &str,
        caller: CallContext,
    ) -> BoxFuture<'static, Result<String, ServiceError>>;
    /// The selection mode that an app's manifest asks for.
    fn selection_mode(&self, workspace: &str, app: &str) -> Option<SelectionMode>;
    /// Service descriptions from the manifests of installed apps.
    fn app_services(&self, workspace: &str) -> BoxFuture<'static, Vec<Map>>;
    /// Whether a service belongs to a trial start, which no lookup may find.
    fn hides(&self, record: &ServiceRecord) -> bool;
    /// The workspace is deleted: its apps stop and go.
    fn workspace_deleted(&self, workspace: &str);
}

/// See the module's text.
pub struct Directory {
    pub router: Arc<Router>,
    pub peer: Arc<Peer>,
    pub tokens: Arc<Tokens>,
    pub blocklist: Blocklist,
    pub registry: Registry,
    pub events: EventLog,
    pub limits: WorkspaceLimits,
    pub clock: SharedClock,
    store: Store,
    tree: Tree<WorkspaceInfo>,
    spaces: DashMap<String, Arc<RwLock<WorkspaceInfo>>>,
    pub(super) connections: DashMap<String, usize>,
    /// Empty workspaces, and when they are to go (on the node's clock).
    emptied: DashMap<String, Duration>,
    apps: OnceLock<Arc<dyn AppHost>>,
    /// Rooms that keep things for workspaces, told when one is gone.
    keepers: RwLock<Vec<Forget>>,
    pub(super) own: Weak<Directory>,
}

/// Drops what a room keeps for a workspace, by its id.
pub type Forget = Box<dyn Fn(&str) + Send + Sync>;

/// What a directory is made of.
pub struct DirectoryParts {
    pub router: Arc<Router>,
    pub peer: Arc<Peer>,
    pub tokens: Arc<Tokens>,
    pub store: Store,
    pub limits: WorkspaceLimits,
    pub clock: SharedClock,
}

impl Directory {
    /// Opens the stored workspaces and makes the server's own ones.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open(parts: DirectoryParts) -> Result<Arc<Self>, StoreError> {
        let tree: Tree<WorkspaceInfo> = parts.store.tree("workspaces")?;
        let spaces = DashMap::new();
        for (id, description) in [
            (PUBLIC, "Public workspace"),
            (ROOT, "Workspace of the root user"),
            (ANONYMOUS, "Shared workspace for anonymous users"),
        ] {
            let mut info = WorkspaceInfo::new(id, Some(description), "root");
            info.persistent = true;
            info.read_only = id != ROOT;
            spaces.insert(id.to_owned(), Arc::new(RwLock::new(info)));
        }
        for entry in tree.iter() {
            let (id, info) = entry?;
            spaces.insert(id, Arc::new(RwLock::new(info)));
        }
        let clock = parts.clock.clone();
        let blocklist = Blocklist::open(&parts.store, Arc::new(move || clock.unix()))?;
        let events = EventLog::open(&parts.store, parts.clock.clone())?;
        let directory = Arc::new_cyclic(|own| Directory {
            registry: Registry::new(parts.limits.services_per_client),
            router: parts.router,
            peer: parts.peer,
            tokens: parts.tokens,
            blocklist,
            events,
            limits: parts.limits,
            clock: parts.clock,
            store: parts.store,
            tree,
            spaces,
            connections: DashMap::new(),
            emptied: DashMap::new(),
            apps: OnceLock::new(),
            keepers: RwLock::default(),
            own: own.clone(),
        });
        Ok(directory)
    }

    /// Connects the apps room; only the first call counts.
    pub fn attach_apps(&self, apps: Arc<dyn AppHost>) {
        let _ = self.apps.set(apps);
    }

    /// Has a room told of every workspace that is gone.
    pub fn when_gone(&self, forget: Forget) {
        self.keepers.write().push(forget);
    }

    /// The apps room, once it is attached.
    pub fn apps(&self) -> Option<&Arc<dyn AppHost>> {
        self.apps.get()
    }

    /// The record of a workspace.
    pub fn get(&self, id: &str) -> Option<WorkspaceInfo> {
        self.spaces.get(id).map(|info| info.read().clone())
    }

    /// Whether a workspace exists.
    pub fn exists(&self, id: &str) -> bool {
        self.spaces.contains_key(id)
    }

    /// Reads from the store, to see whether it can be read.
    ///
    /// # Errors
    /// It cannot.
    pub fn check_store(&self) -> Result<(), StoreError> {
        self.tree.contains(ROOT).map(|_| ())
    }

    /// How long the store took to reach the disk.
    pub fn flush_times(&self) -> Reading {
        self.store.flush_times()
    }

    /// The ids of all workspaces, sorted.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self
            .spaces
            .iter()
            .map(|entry| entry.key().clone())
            .collect();
        ids.sort();
        ids
    }

    /// How many workspaces there are.
    pub fn len(&self) -> usize {
        self.spaces.len()
    }

    /// Whether there is no workspace; never true, the server has some of its own.
    pub fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    /// How many users are connected.
    pub fn connected_users(&self) -> usize {
        self.connections.len()
    }

    /// Looks a workspace up, and makes it when it is the user's own personal one.
    ///
    /// # Errors
    /// [`WorkspaceError::NotFound`]
    pub fn ensure(&self, id: &str, user: &UserInfo) -> Result<WorkspaceInfo, WorkspaceError> {
        if let Some(info) = self.get(id) {
            return Ok(info);
        }
        let personal = user.personal_workspace();
        let of_parent = user
            .parent
            .as_ref()
            .map(|parent| format!("ws-user-{parent}"));
        // A child token has no room of its own, or every token would leave one behind.
        let allowed = match &of_parent {
            Some(of_parent) => of_parent == id,
            None => id == personal,
        };
        if !allowed {
            return Err(WorkspaceError::NotFound(id.to_owned()));
        }
        let mut info = WorkspaceInfo::personal(user);
        if id != personal {
            info.id = id.to_owned();
            info.name = id.to_owned();
            info.owners = user.parent.iter().cloned().collect();
        }
        if info.persistent {
            self.save(&info)?;
        }
        let fresh = Arc::new(RwLock::new(info));
        // Two first connections of one user may race; both then see the same record.
        let entry = self.spaces.entry(id.to_owned()).or_insert(fresh);
        let info = entry.read().clone();
        drop(entry);
        self.emit_workspace(id, "workspace_loaded", &info);
        Ok(info)
    }

    fn save(&self, info: &WorkspaceInfo) -> Result<(), WorkspaceError> {
        self.tree.put(&info.id, info)?;
        Ok(())
    }

    /// Creates or replaces a workspace; durable when it returns.
    ///
    /// # Errors
    /// The texts of workspace.md 2.1 and 2.4, in that order of checks.
    pub async fn create(
        &self,
        config: &Map,
        overwrite: bool,
        user: &UserInfo,
    ) -> Result<WorkspaceInfo, WorkspaceError> {
        if user.is_anonymous {
            return Err(WorkspaceError::AnonymousCreator);
        }
        let mut info = WorkspaceInfo::from_config(config, user)?;
        if overwrite && is_system(&info.id) {
            return Err(WorkspaceError::CannotOverwrite {
                user: user.id.clone(),
                workspace: info.id,
            });
        }
        check_name(&info.id, user)?;
        self.check_quota(user)?;
        if let Some(old) = self.get(&info.id) {
            if !overwrite {
                return Err(WorkspaceError::Exists(info.id));
            }
            if !old.is_owned_by(user) && !user.allows(&info.id, Level::Admin) {
                return Err(WorkspaceError::CannotOverwrite {
                    user: user.id.clone(),
                    workspace: info.id,
                });
            }
            info.keep_owners(&old, user, config.contains_key("owners"));
        }
        info.check_size()?;
        self.save(&info)?;
        self.spaces
            .insert(info.id.clone(), Arc::new(RwLock::new(info.clone())));
        self.store.durable().await?;
        self.emit_workspace(&user.personal_workspace(), "workspace_loaded", &info);
        self.emit_workspace(&info.id, "workspace_ready", &info);
        self.unload_after(&info.id, FIRST_CLIENT);
        Ok(info)
    }

    fn check_quota(&self, user: &UserInfo) -> Result<(), WorkspaceError> {
        if user.is_admin_role() {
            return Ok(());
        }
        let limit = self.limits.workspaces_per_user;
        let owner = user.effective_id();
        let owned = self
            .spaces
            .iter()
            .filter(|entry| entry.read().owners.last().map(String::as_str) == Some(owner))
            .count();
        if owned >= limit {
            return Err(WorkspaceError::Quota {
                user: owner.to_owned(),
                limit,
            });
        }
        Ok(())
    }

    /// Changes a stored workspace; durable when it returns. Owners stay as they are whatever the
    /// change does (rule S5).
    ///
    /// # Errors
    /// No such workspace, it has become too large, or the store failed.
    pub async fn change<R>(
        &self,
        id: &str,
        change: impl FnOnce(&mut WorkspaceInfo) -> R,
    ) -> Result<R, WorkspaceError> {
        let space = self
            .spaces
            .get(id)
            .map(|entry| entry.value().clone())
            .ok_or_else(|| WorkspaceError::NotFound(id.to_owned()))?;
        let (result, info) = {
            let mut info = space.write();
            let mut changed = info.clone();
            let result = change(&mut changed);
            changed.owners = info.owners.clone();
            changed.check_size()?;
            *info = changed.clone();
            (result, changed)
        };
        if info.persistent || self.tree.contains(id)? {
            self.save(&info)?;
            self.store.durable().await?;
        }
        self.emit_workspace(id, "workspace_changed", &info);
        Ok(result)
    }

    /// Deletes a workspace with all that is in it.
    ///
    /// # Errors
    /// Not found, not allowed, or one of the server's own.
    pub async fn delete(&self, id: &str, user: &UserInfo) -> Result<(), WorkspaceError> {
        if is_system(id) {
            return Err(WorkspaceError::System(id.to_owned()));
        }
        let info = self
            .get(id)
            .ok_or_else(|| WorkspaceError::NotFound(id.to_owned()))?;
        if !user.allows(id, Level::Admin) && !info.is_owned_by(user) {
            return Err(WorkspaceError::Denied(id.to_owned()));
        }
        self.tree.discard(id)?;
        self.spaces.remove(id);
        self.store.durable().await?;
        self.forget_contents(id);
        for client in self.router.members(id) {
            client.close(CLOSE_GOING_AWAY, format!("Workspace deleted: {id}"));
        }
        self.emit_workspace(&user.personal_workspace(), "workspace_deleted", &info);
        Ok(())
    }

    /// Schedules the check whether a workspace has become empty for good.
    pub fn unload_later(&self, id: &str) {
        self.unload_after(id, self.limits.unload_grace);
    }

    /// The same for workspaces that an earlier run of the server left: their clients have some
    /// time to come back.
    pub fn unload_leftovers(&self) {
        for id in self.ids() {
            self.unload_after(&id, FIRST_CLIENT);
        }
    }

    fn unload_after(&self, id: &str, grace: Duration) {
        let persistent = self.get(id).is_none_or(|info| info.persistent);
        let Some(own) = self.own.upgrade() else {
            return;
        };
        if persistent || self.router.member_count(id) > 0 {
            return;
        }
        // One waiting task per workspace: a later departure only puts its end off.
        let due = self.clock.now() + grace;
        if self.emptied.insert(id.to_owned(), due).is_some() {
            return;
        }
        let id = id.to_owned();
        spawn_detached("unload", async move {
            while let Some(due) = own.emptied.get(&id).map(|due| *due) {
                let now = own.clock.now();
                if now < due {
                    // Not longer than the shortest wait: the end may have come nearer meanwhile.
                    let nap = own.limits.unload_grace.max(SHORTEST_NAP);
                    own.clock.sleep((due - now).min(nap)).await;
                } else if own
                    .emptied
                    .remove_if(&id, |_, latest| *latest == due)
                    .is_some()
                {
                    own.unload_if_empty(&id);
                }
            }
        });
    }

    /// Removes a workspace that is not persistent and has no client; whether it did.
    pub fn unload_if_empty(&self, id: &str) -> bool {
        if self.router.member_count(id) > 0 {
            return false;
        }
        let removed = self.spaces.remove_if(id, |_, info| !info.read().persistent);
        let Some((_, info)) = removed else {
            return false;
        };
        if let Err(error) = self.tree.discard(id) {
            tracing::error!(%error, workspace = id, "an emptied workspace stays in the store");
        }
        let info = info.read().clone();
        tracing::debug!(workspace = id, "workspace unloaded");
        self.forget_contents(id);
        self.emit_workspace(id, "workspace_unloaded", &info);
        true
    }

    /// Drops what was kept for a workspace beside its record, so that nobody who makes one of the
    /// same name later finds it.
    fn forget_contents(&self, id: &str) {
        if let Some(apps) = self.apps() {
            apps.workspace_deleted(id);
        }
        for forget in self.keepers.read().iter() {
            forget(id);
        }
        if let Err(error) = self.events.forget(id) {
            tracing::error!(%error, workspace = id, "logged events stay in the store");
        }
    }

    /// Waits until what was stored so far survives a crash.
    ///
    /// # Errors
    /// The store failed; nothing may be acknowledged.
    pub async fn durable(&self) -> Result<(), ServiceError> {
        let flushed = self.store.durable().await;
        flushed.map_err(|error| super::error::store_failure(&error))
    }

    /// `status` of a workspace as clients see it.
    pub fn status(&self) -> Value {
        Value::Map(map! { "ready" => true, "errors" => Value::Nil })
    }

    /// Broadcasts a workspace event to the subscribers in `target`.
    pub fn emit_workspace(&self, target: &str, event: &str, info: &WorkspaceInfo) {
        self.router
            .emit(target, event, info.to_value(self.status()));
    }

    /// Checks a caller's level in a workspace.
    ///
    /// # Errors
    /// `Permission denied for workspace <ws>`
    pub fn require(
        &self,
        user: &UserInfo,
        workspace: &str,
        level: Level,
    ) -> Result<(), ServiceError> {
        if user.allows(workspace, level) {
            return Ok(());
        }
        Err(WorkspaceError::Denied(workspace.to_owned()).into())
    }
}
