//! Apps that run without being asked for: started with the server, and again when they lost their
//! worker (server-apps.md 3.8).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dashmap::DashSet;

use super::host::Host;
use super::start::{StartRequest, no_progress};
use super::startup::StartupConfig;
use super::store::VersionSelector;
use crate::identity::UserInfo;
use crate::peer::{CallContext, ServiceError};
use crate::supervision::spawn_detached;
use crate::wire::Value;
use crate::workspace::PUBLIC;

/// Waits between attempts to start a daemon that does not come up.
const RETRY_AFTER: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

type AppKey = (String, String);

/// The daemons that should be running, and those that are being started.
#[derive(Default)]
pub(super) struct Daemons {
    wanted: DashSet<AppKey>,
    reviving: DashSet<AppKey>,
    /// The server is stopping.
    resting: AtomicBool,
}

impl Daemons {
    pub fn want(&self, workspace: &str, app: &str) {
        self.wanted.insert((workspace.to_owned(), app.to_owned()));
    }

    /// Stopped, disabled or removed by somebody: it stays down until the server starts again.
    pub fn forget(&self, workspace: &str, app: &str) {
        self.wanted.remove(&(workspace.to_owned(), app.to_owned()));
    }

    /// The server stops: what ends now stays down.
    pub fn rest(&self) {
        self.resting.store(true, Ordering::Relaxed);
    }

    fn is_wanted(&self, key: &AppKey) -> bool {
        self.wanted.contains(key) && !self.resting.load(Ordering::Relaxed)
    }

    /// The wanted ones that a worker in `workspace` may serve.
    fn served_by(&self, workspace: &str) -> Vec<AppKey> {
        let serves = |key: &AppKey| workspace == PUBLIC || key.0 == workspace;
        self.wanted
            .iter()
            .map(|entry| entry.key().clone())
            .filter(serves)
            .collect()
    }
}

impl Host {
    /// Starts an installed app if it is a daemon; after the server has started.
    pub(super) async fn adopt_daemon(&self, workspace: &str, app: &str) {
        let current = VersionSelector::Current;
        match self.store.version(workspace, app, &current).await {
            Ok(version) if version.manifest.daemon() && !self.store.is_disabled(workspace, app) => {
                self.daemons.want(workspace, app);
                self.revive_daemon(workspace, app);
            }
            Ok(_) => {}
            Err(error) => tracing::error!(workspace, app, %error, "an app cannot be read"),
        }
    }

    /// Starts the daemons again that wait for a worker of this workspace.
    pub(super) fn revive_daemons(&self, workspace: &str) {
        for (workspace, app) in self.daemons.served_by(workspace) {
            self.revive_daemon(&workspace, &app);
        }
    }

    /// Starts a wanted daemon unless it runs; in the background.
    pub(super) fn revive_daemon(&self, workspace: &str, app: &str) {
        let key = (workspace.to_owned(), app.to_owned());
        let Ok(host) = self.shared() else {
            return;
        };
        if !self.daemons.is_wanted(&key) || !self.daemons.reviving.insert(key.clone()) {
            return;
        }
        spawn_detached("daemon", async move {
            loop {
                let settled = host.keep_trying(&key).await;
                host.daemons.reviving.remove(&key);
                // What ended while this looked at it was not taken up by anybody.
                let left_out = host.daemons.is_wanted(&key) && !host.runs(&key.0, &key.1);
                if !settled || !left_out || !host.daemons.reviving.insert(key.clone()) {
                    return;
                }
            }
        });
    }

    /// Starts a daemon, with pauses after failures; false when that was given up.
    async fn keep_trying(&self, key: &AppKey) -> bool {
        let (workspace, app) = (key.0.as_str(), key.1.as_str());
        let mut waits = RETRY_AFTER.iter();
        while self.daemons.is_wanted(key) && !self.runs(workspace, app) {
            let error = match self.start_daemon(workspace, app).await {
                Ok(()) => return true,
                Err(error) => error,
            };
            if error.message.contains("No server app worker found") {
                // It is tried again when a worker registers.
                tracing::warn!(workspace, app, %error, "a daemon waits for a worker");
                return false;
            }
            tracing::error!(workspace, app, %error, "a daemon did not start");
            let Some(wait) = waits.next() else {
                return false;
            };
            self.clock.sleep(*wait).await;
        }
        true
    }

    /// Whether a session of the app lives that is not a trial.
    fn runs(&self, workspace: &str, app: &str) -> bool {
        let sessions = self.sessions.of_app(workspace, app);
        sessions
            .iter()
            .any(|entry| !entry.order.trial && !entry.state().is_final())
    }

    async fn start_daemon(&self, workspace: &str, app: &str) -> Result<(), ServiceError> {
        let current = VersionSelector::Current;
        let version = self.store.version(workspace, app, &current).await?;
        if !version.manifest.daemon() {
            // Another version became current, and it is none.
            self.daemons.forget(workspace, app);
            return Ok(());
        }
        let installer = version
            .manifest
            .startup_context()
            .and_then(|context| context.get("user").cloned())
            .and_then(|user| UserInfo::from_value(&Value::from_json(user)).ok())
            .ok_or_else(|| ServiceError::runtime("nobody is known who installed it"))?;
        // Loads a workspace that was forgotten while it was empty.
        self.directory
            .ensure(workspace, &installer)
            .map_err(ServiceError::from)?;
        let address = self.directory.peer.address_in(workspace);
        let caller = CallContext::internal(workspace, address, Arc::new(installer));
        let request = StartRequest {
            workspace: workspace.to_owned(),
            app: app.to_owned(),
            selector: current,
            startup: StartupConfig::default(),
            worker_id: None,
            worker_mode: None,
            progress: no_progress(),
            trial: false,
        };
        self.start(request, &caller).await.map(drop)
    }
}
