//! The node: builds the supervision tree, runs it, and takes it down in order.

mod actor;
mod boot;
mod counts;
mod files;
mod homeless;
mod memory;
mod signals;
mod starting;
mod storage;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::Addr;
use thiserror::Error;

pub use actor::NodeActor;
pub use counts::Counts;
pub use files::prefer_small_pages;
pub(crate) use memory::tidy_this_thread;
pub use storage::examine;

use crate::apps::Host;
use crate::apps::store::AppStoreError;
use crate::artifacts::store::ArtifactError;
use crate::artifacts::{ArtifactStore, BlobError, Transfer};
use crate::config::{Config, ConfigError};
use crate::gateway::Gateway;
use crate::http;
use crate::identity::{RangeError, RootTokenError};
use crate::login::PageError;
use crate::peer::ServiceError;
use crate::startup::{self, EntryError, StartupActor, StartupEntry};
use crate::store::StoreError;
use crate::supervision::{AddrSlot, SharedClock, Stop};
use crate::wheels::WheelIndex;
use crate::workers::browser::{BrowserActor, BrowserSettings, CompileError, Pool};
use crate::workers::process::ProcessesActor;
use crate::workspace::Directory;

/// How long the tree may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// How long open HTTP requests may take to end.
const HTTP_GRACE_S: u64 = 3;

/// Why the node does not run.
#[derive(Debug, Error)]
pub enum NodeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("auth.root_token: {0}")]
    RootToken(#[from] RootTokenError),
    #[error("server.trusted_proxies: {0}")]
    Proxies(#[from] RangeError),
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: String,
        source: std::io::Error,
    },
    #[error("server.static_mounts: {0}")]
    StaticMount(String),
    #[error("cannot use the folder {path}: {source}")]
    Folder {
        path: String,
        source: std::io::Error,
    },
    #[error("the server ended: {0}")]
    Server(std::io::Error),
    #[error(transparent)]
    Apps(#[from] AppStoreError),
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
    #[error("storage.s3 is on, and storage.{0} is not set")]
    Storage(&'static str),
    #[error("there are no records in {0}")]
    NoStore(String),
    #[error("a page template is broken: {0}")]
    Template(#[from] CompileError),
    #[error(transparent)]
    LoginPage(#[from] PageError),
    #[error("the server's own services cannot be offered: {0}")]
    Service(#[from] ServiceError),
    #[error("startup.functions: {0}")]
    StartupEntry(#[from] EntryError),
    #[error("a startup function failed: {0}")]
    Startup(String),
    #[error("the node failed: {0}")]
    Tree(String),
}

/// The browser's place in the tree.
pub(crate) struct Browser {
    slot: AddrSlot<BrowserActor>,
    settings: BrowserSettings,
    pool: Arc<Pool>,
}

/// The startup functions and their place in the tree.
pub(crate) struct Startup {
    entries: Vec<StartupEntry>,
    slot: AddrSlot<StartupActor>,
    setting: Arc<startup::Setting>,
}

/// What the rooms of a running node share.
pub struct Node {
    pub config: Config,
    pub clock: SharedClock,
    pub directory: Arc<Directory>,
    pub gateway: Arc<Gateway>,
    /// Files, and the addresses under which they are put and fetched.
    pub transfer: Arc<Transfer>,
    pub artifacts: ArtifactStore,
    /// Packages for Python apps in pages.
    pub wheels: WheelIndex,
    pub apps: Option<Arc<Host>>,
    browser: Option<Browser>,
    processes: Option<AddrSlot<ProcessesActor>>,
    startup: Startup,
    pub tree: OnceLock<Addr<NodeActor>>,
    ready: AtomicBool,
}

impl Node {
    /// The pages that the browser makes in advance.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.browser.as_ref().map(|browser| &*browser.pool)
    }

    /// Whether the node serves: started, and not on its way out.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.gateway.is_draining()
    }
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// See [`NodeError`].
pub async fn serve(config: Config) -> Result<(), NodeError> {
    files::raise_limit();
    let node = boot::build(config)?;
    let mut tree = boot::start_tree(&node);
    let server = http::listen(node.clone())?;
    let handle = server.handle();
    let serving = actix_web::rt::spawn(server);

    let end = tokio::select! {
        end = serve_until_stopped(&node) => end,
        reason = &mut tree.exit => Err(NodeError::Tree(reason.to_string())),
    };
    tracing::info!("stopping");
    signals::exit_on_second();
    node.ready.store(false, Ordering::Release);
    // Sessions first: their clients are connected through the gateway.
    if !matches!(end, Err(NodeError::Tree(_))) {
        boot::stop_tree(&mut tree, STOP_WITHIN).await;
    }
    if let Some(apps) = &node.apps
        && let Err(error) = apps.journal.flush().await
    {
        tracing::error!(%error, "the last states of sessions are not written");
    }
    node.gateway.drain();
    let ended =
        tokio::time::timeout(Duration::from_secs(HTTP_GRACE_S + 2), handle.stop(true)).await;
    if ended.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    drop(serving);
    node.directory
        .durable()
        .await
        .map_err(|error| NodeError::Tree(error.to_string()))?;
    end
}

/// Runs the startup functions, then serves until a signal asks for the end.
async fn serve_until_stopped(node: &Node) -> Result<(), NodeError> {
    let asked = signals::asked_to_stop();
    tokio::pin!(asked);
    tokio::select! {
        biased;
        () = &mut asked => return Ok(()),
        started = starting::run_startup_functions(node) => started?,
    }
    if let Some(apps) = &node.apps {
        apps.resume();
    }
    node.directory.unload_leftovers();
    node.ready.store(true, Ordering::Release);
    tracing::info!(url = node.config.server.base_url(), "ready");
    asked.await;
    Ok(())
}

/// Orders a tree to stop; for [`boot`].
fn stop(within: Duration) -> Stop {
    Stop { deadline: within }
}
