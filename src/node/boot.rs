//! Building the node: store, identity, shared data, and the specifications of the tree.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use parking_lot::Mutex;

use super::{Browser, Node, NodeActor, NodeError, Startup, homeless, storage};
use crate::admin::AdminService;
use crate::apps::session::SessionJournal;
use crate::apps::store::AppStore;
use crate::apps::{Controller, Handed, Host, WorkspacesActor};
use crate::artifacts::ArtifactStore;
use crate::artifacts::service::{AppRemoval, ArtifactService};
use crate::artifacts::storage::StorageService;
use crate::artifacts::transfer::TransferSettings;
use crate::artifacts::{KeeperActor, Objects, Transfer};
use crate::config::Config;
use crate::gateway::stream::ReaperActor;
use crate::gateway::{Gateway, WatchdogActor};
use crate::identity::{Revocations, Tokens, TokensConfig, readable_id};
use crate::login::{Accounts, LoginService};
use crate::peer::Peer;
use crate::processes;
use crate::processes::python::Python;
use crate::queue::QueueService;
use crate::router::Router;
use crate::startup::{self, StartupActor, StartupEntry};
use crate::store::{Store, StoreError};
use crate::supervision::{
    AddrSlot, ChildSpec, ExitSlot, ExitWatch, KillHandle, OnExhausted, SharedClock, SystemClock,
    start_here,
};
use crate::wheels::{WheelIndex, WheelSettings};
use crate::workers::browser::{
    BrowserActor, BrowserService, BrowserSettings, BrowserWorker, Compiler, Pool,
};
use crate::workers::mcp::{McpService, McpWorker};
use crate::workers::process::{
    ProcessService, ProcessSettings, ProcessesActor, PythonWorker, TerminalService, TerminalWorker,
};
use crate::workspace::{Directory, DirectoryParts, ManagerService, PUBLIC, ROOT};

/// How long Chromium may take to close.
const BROWSER_STOP: Duration = Duration::from_secs(8);
/// How long all startup functions may take to stop.
const STARTUP_STOP: Duration = Duration::from_secs(5);
/// How long the processes of sessions may take to end when those have not ended them.
const PROCESSES_STOP: Duration = Duration::from_secs(4);
/// How long all apps may take to stop.
const APPS_STOP: Duration = Duration::from_secs(16);

pub(super) type ChildSpecs = Vec<ChildSpec>;

/// Opens the store and builds everything that is shared.
pub(super) fn build(config: Config) -> Result<Arc<Node>, NodeError> {
    let clock: SharedClock = SystemClock::shared();
    let data = &config.server.data_dir;
    make_folder(data)?;
    let store = Store::open(&data.join(storage::STORE))?;
    // The store is ours alone from here on, and so are the processes of its servers.
    processes::sweep_orphans(&processes::owner_of(data));
    let kept = Kept::load(&store)?;
    let tokens = Arc::new(make_tokens(&config, &kept, &store, &clock)?);
    let server_id = match config.server.server_id.as_str() {
        "" => kept.server_id,
        named => named.to_owned(),
    };
    let router = Arc::new(Router::new(
        &server_id,
        config.limits.mailbox(),
        clock.clone(),
    ));
    router.restore_subscriptions(store.tree("subscriptions")?)?;
    let peer = Peer::new(router.clone(), &config.server.base_url());
    let directory = Directory::open(DirectoryParts {
        router: router.clone(),
        peer: peer.clone(),
        tokens,
        store: store.clone(),
        limits: config.limits.workspace(),
        clock: clock.clone(),
    })?;
    peer.offer("*", ManagerService::new(directory.clone()));
    let accounts = match config.auth.local_accounts {
        true => Some(Accounts::open(directory.clone(), &store, &config.accounts)?),
        false => None,
    };
    directory.offer(PUBLIC, LoginService::new(directory.clone(), accounts)?)?;
    directory.offer(PUBLIC, QueueService::new(directory.clone()))?;
    let messages = (config.limits.message_rate, config.limits.message_burst);
    directory.offer(ROOT, AdminService::new(directory.clone(), messages))?;
    let gateway = Gateway::new(
        router,
        peer,
        directory.clone(),
        config.limits.gateway(),
        clock.clone(),
    );
    let python = Arc::new(Python::new(&config.startup.python));
    let blobs = storage::open(&config)?;
    let objects = Objects::open(store.clone(), blobs, clock.clone())?;
    let transfer = build_transfer(&config, objects.clone(), kept.url_secret, &directory)?;
    let writing = Arc::new(Mutex::new(()));
    let apps = build_apps(
        &config,
        &store,
        objects,
        &directory,
        &python,
        writing.clone(),
    )?;
    let artifacts = ArtifactStore::open(store.clone(), transfer.objects.clone(), writing)?;
    offer_artifacts(artifacts.clone(), &directory, &transfer, &apps)?;
    let startup = build_startup(&config, &directory, &python)?;
    Ok(Arc::new(Node {
        apps: apps.host,
        browser: apps.browser,
        processes: apps.processes,
        startup,
        transfer,
        artifacts,
        wheels: WheelIndex::new(WheelSettings {
            upstream: config.apps.wheel_index.clone(),
            folder: config.server.data_dir.join("wheels"),
            max_bytes: config.apps.wheel_cache_mb.saturating_mul(1 << 20),
        }),
        config,
        clock,
        directory,
        gateway,
        tree: OnceLock::new(),
        ready: AtomicBool::new(false),
    }))
}

/// Reads the list of startup functions, and what they share.
fn build_startup(
    config: &Config,
    directory: &Arc<Directory>,
    python: &Arc<Python>,
) -> Result<Startup, NodeError> {
    let functions = config.startup.functions.iter();
    let entries = functions.map(|text| StartupEntry::parse(text));
    let data = &config.server.data_dir;
    Ok(Startup {
        entries: entries.collect::<Result<_, _>>()?,
        slot: AddrSlot::new(),
        setting: Arc::new(startup::Setting {
            directory: directory.clone(),
            python: python.clone(),
            server_url: config.server.local_url(),
            folder: data.join("hosts"),
            assets: config.server.assets(),
            owner: processes::owner_of(data),
        }),
    })
}

/// The apps room and the places of its workers in the tree.
#[derive(Default)]
struct AppsParts {
    host: Option<Arc<Host>>,
    browser: Option<Browser>,
    processes: Option<AddrSlot<ProcessesActor>>,
}

/// The artifact manager, and what happens to artifacts when workspaces go.
fn offer_artifacts(
    artifacts: ArtifactStore,
    directory: &Arc<Directory>,
    transfer: &Arc<Transfer>,
    apps: &AppsParts,
) -> Result<(), NodeError> {
    transfer.attach(Arc::new(artifacts.clone()));
    homeless::watch(&artifacts, directory)?;
    let removal = apps.host.clone().map(|host| host as Arc<dyn AppRemoval>);
    let manager = ArtifactService::new(directory.clone(), artifacts, transfer.clone(), removal);
    directory.offer(PUBLIC, manager)?;
    Ok(())
}

/// Files of workspaces, and the addresses of all files.
fn build_transfer(
    config: &Config,
    objects: Objects,
    secret: String,
    directory: &Arc<Directory>,
) -> Result<Arc<Transfer>, NodeError> {
    let settings = TransferSettings {
        secret,
        public_url: config.server.base_url(),
        local_url: config.server.local_url(),
        bucket: config.storage.workspace_bucket.clone(),
        direct: config.storage.s3 && config.storage.direct_downloads,
    };
    let transfer = Transfer::new(objects, settings);
    let service = StorageService::new(directory.clone(), transfer.clone());
    directory.offer(PUBLIC, service)?;
    Ok(transfer)
}

/// The apps room with its store and workers; nothing when apps are switched off.
fn build_apps(
    config: &Config,
    store: &Store,
    objects: Objects,
    directory: &Arc<Directory>,
    python: &Arc<Python>,
    writing: Arc<Mutex<()>>,
) -> Result<AppsParts, NodeError> {
    if !config.apps.enabled {
        return Ok(AppsParts::default());
    }
    let clock = &directory.clock;
    let apps = Arc::new(AppStore::open(
        store.clone(),
        objects,
        clock.clone(),
        writing,
    )?);
    let journal = SessionJournal::open(store, clock)?;
    let host = Host::new(
        directory.clone(),
        apps.clone(),
        journal,
        Handed::open(store)?,
        clock.clone(),
        config.server.local_url(),
        seconds(config.apps.autoscaling_interval, 10.0),
    );
    directory.attach_apps(host.clone());
    directory.offer(PUBLIC, Controller::new(host.clone()))?;
    let browser = match config.apps.browser {
        true => Some(add_browser(config, &host)?),
        false => None,
    };
    let processes = match config.apps.process {
        true => Some(add_processes(config, &host, apps, python)?),
        false => None,
    };
    if config.server.enable_mcp {
        let worker = Arc::new(McpWorker::new(directory.router.server_id()));
        host.workers.add(worker.clone());
        directory.offer(PUBLIC, McpService::new(worker))?;
    }
    Ok(AppsParts {
        host: Some(host),
        browser,
        processes,
    })
}

/// Offers the browser worker.
fn add_browser(config: &Config, host: &Arc<Host>) -> Result<Browser, NodeError> {
    let slot = AddrSlot::new();
    let directory = &host.directory;
    let compiler = Compiler::new(None)?;
    let pool = Pool::new(
        config.pool.settings(),
        compiler.waiting_pages()?,
        &host.local_url,
        host.clock.clone(),
    );
    let worker = Arc::new(BrowserWorker::new(
        directory.router.server_id(),
        slot.clone(),
        compiler,
        pool.clone(),
        config.browser.clone(),
        config.apps.max_browser_sessions,
    ));
    host.workers.add(worker.clone());
    directory.offer(PUBLIC, BrowserService::new(worker))?;
    let chromium = config.apps.chromium.as_str();
    let settings = BrowserSettings {
        executable: (!chromium.is_empty()).then(|| chromium.into()),
        no_sandbox: config.apps.no_sandbox.then_some(true),
        profile_dir: config.server.data_dir.join("browser"),
        max_sessions: config.apps.max_browser_sessions,
        options: config.browser.clone(),
        server_urls: vec![config.server.local_url(), config.server.base_url()],
        offline: config.apps.browser_offline,
        ..BrowserSettings::default()
    };
    Ok(Browser {
        slot,
        settings,
        pool,
    })
}

/// Offers the workers whose sessions are processes.
fn add_processes(
    config: &Config,
    host: &Arc<Host>,
    store: Arc<AppStore>,
    python: &Arc<Python>,
) -> Result<AddrSlot<ProcessesActor>, NodeError> {
    let slot = AddrSlot::new();
    let settings = Arc::new(ProcessSettings {
        processes: slot.clone(),
        store,
        python: python.clone(),
        data_dir: config.server.data_dir.clone(),
        owner: processes::owner_of(&config.server.data_dir),
        max_sessions: config.apps.max_process_sessions,
        limits: config.apps.process_limits(),
        linger: config.apps.linger(),
    });
    let directory = &host.directory;
    let server_id = directory.router.server_id();
    let python = Arc::new(PythonWorker::new(server_id, settings.clone()));
    host.workers.add(python.clone());
    directory.offer(PUBLIC, ProcessService::new(python))?;
    let terminal = Arc::new(TerminalWorker::new(server_id, settings));
    host.workers.add(terminal.clone());
    directory.offer(PUBLIC, TerminalService::new(terminal))?;
    Ok(slot)
}

fn make_folder(path: &Path) -> Result<(), NodeError> {
    std::fs::create_dir_all(path).map_err(|source| NodeError::Folder {
        path: path.display().to_string(),
        source,
    })
}

/// What a node makes up once and keeps, so that a restart changes nothing for its clients.
struct Kept {
    secret: String,
    /// Signs addresses of files.
    url_secret: String,
    server_id: String,
}

impl Kept {
    fn load(store: &Store) -> Result<Self, StoreError> {
        let tree = store.tree::<String>("node")?;
        let keep = |key: &str, fresh: &dyn Fn() -> String| match tree.get(key)? {
            Some(kept) => Ok(kept),
            None => {
                let made = fresh();
                tree.put(key, &made)?;
                Ok::<_, StoreError>(made)
            }
        };
        let secret = || STANDARD_NO_PAD.encode(rand::random::<[u8; 32]>());
        Ok(Kept {
            secret: keep("jwt_secret", &secret)?,
            url_secret: keep("url_secret", &secret)?,
            server_id: keep("server_id", &readable_id)?,
        })
    }
}

fn make_tokens(
    config: &Config,
    kept: &Kept,
    store: &Store,
    clock: &SharedClock,
) -> Result<Tokens, NodeError> {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let clock = clock.clone();
    let tokens = Tokens::new(
        TokensConfig {
            secret: filled(&config.auth.jwt_secret).or_else(|| Some(kept.secret.clone())),
            root_token: filled(&config.auth.root_token),
            reconnection_lifetime: config.auth.reconnection_token_life_time,
            ..TokensConfig::default()
        },
        Revocations::open(store)?,
        Arc::new(move || clock.unix()),
    )?;
    Ok(tokens)
}

/// The running root of the tree.
pub(super) struct Tree {
    pub addr: actix::Addr<NodeActor>,
    pub exit: ExitWatch,
    _kill: KillHandle,
}

/// Starts the supervision tree.
pub(super) fn start_tree(node: &Arc<Node>) -> Tree {
    let specs = child_specs(node);
    let (exit, clock) = (ExitSlot::new(), node.clock.clone());
    let root = start_here(exit.clone(), |_| NodeActor::new(exit, clock, specs));
    // A node starts its tree once.
    let _ = node.tree.set(root.addr.clone());
    Tree {
        addr: root.addr,
        exit: root.exit,
        _kill: root.kill,
    }
}

fn child_specs(node: &Arc<Node>) -> ChildSpecs {
    let gateway = node.gateway.clone();
    let clock = node.clock.clone();
    let watchdog = ChildSpec::actor("watchdog", "watchdog", &AddrSlot::new(), move |args, _| {
        WatchdogActor::new(&gateway, clock.clone(), args.exit)
    })
    .on_exhausted(OnExhausted::KeepTrying);
    let gateway = node.gateway.clone();
    let reaper = ChildSpec::actor("reaper", "reaper", &AddrSlot::new(), move |args, _| {
        ReaperActor::new(gateway.clone(), args.exit)
    })
    .on_exhausted(OnExhausted::KeepTrying);
    let (objects, clock) = (node.transfer.objects.clone(), node.clock.clone());
    let every = seconds(node.config.storage.cleanup_period, 300.0);
    let keeper = ChildSpec::actor("keeper", "keeper", &AddrSlot::new(), move |args, _| {
        KeeperActor::new(objects.clone(), clock.clone(), every, args.exit)
    })
    .on_exhausted(OnExhausted::KeepTrying);
    let mut specs = vec![watchdog, reaper, keeper];
    if let Some(browser) = &node.browser {
        let (settings, pool) = (browser.settings.clone(), browser.pool.clone());
        let clock = node.clock.clone();
        let spec = ChildSpec::observed("browser", "browser", &browser.slot, move |args, _| {
            BrowserActor::new(settings.clone(), pool.clone(), clock.clone(), args.exit)
        });
        specs.push(
            spec.on_exhausted(OnExhausted::KeepTrying)
                .shutdown(BROWSER_STOP),
        );
    }
    if let Some(slot) = &node.processes {
        let clock = node.clock.clone();
        let spec = ChildSpec::observed("processes", "processes", slot, move |args, _| {
            ProcessesActor::new(clock.clone(), args.exit)
        });
        specs.push(
            spec.on_exhausted(OnExhausted::KeepTrying)
                .shutdown(PROCESSES_STOP),
        );
    }
    let (setting, clock) = (node.startup.setting.clone(), node.clock.clone());
    let startup = ChildSpec::observed("startup", "startup", &node.startup.slot, move |args, _| {
        StartupActor::new(setting.clone(), clock.clone(), args.exit)
    });
    specs.push(
        startup
            .on_exhausted(OnExhausted::KeepTrying)
            .shutdown(STARTUP_STOP),
    );
    if let Some(host) = &node.apps {
        let shared = host.clone();
        let spec = ChildSpec::observed(
            "workspaces",
            "workspaces",
            &host.workspaces,
            move |args, _| WorkspacesActor::new(shared.clone(), args.exit),
        );
        specs.push(
            spec.on_exhausted(OnExhausted::KeepTrying)
                .shutdown(APPS_STOP),
        );
    }
    specs
}

/// Stops the tree in order, and waits until it is gone, at most for the given time.
pub(super) async fn stop_tree(tree: &mut Tree, within: Duration) {
    tree.addr.do_send(super::stop(within));
    if tokio::time::timeout(within, &mut tree.exit).await.is_err() {
        tracing::warn!("the supervision tree did not stop in time");
    }
}

/// A setting as a duration; one that is none (negative, endless) gives way to the default.
fn seconds(set: f64, default: f64) -> Duration {
    Duration::try_from_secs_f64(set)
        .ok()
        .filter(|duration| !duration.is_zero())
        .unwrap_or(Duration::from_secs_f64(default))
}
