//! The configuration, typed, with all defaults in sight.

mod ignored;
mod load;
mod settings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use ignored::{Arity, IGNORED_FLAGS};
pub use load::{ConfigError, Loaded, Sources, load};
pub use settings::{Kind, SETTINGS, Setting};

use crate::gateway::GatewayLimits;
use crate::processes::Limits as ProcessLimits;
use crate::router::MailboxLimits;
use crate::workers::browser::{BrowserOptions, PoolSettings};
use crate::workspace::WorkspaceLimits;

/// Everything that can be set; see `config/rhizome.toml` for the meaning of each key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub auth: Auth,
    pub accounts: Accounts,
    pub limits: Limits,
    pub apps: Apps,
    pub browser: BrowserOptions,
    pub pool: WarmPages,
    pub storage: Storage,
    pub startup: Startup,
    pub log: Log,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub public_base_url: String,
    pub base_path: String,
    pub server_id: String,
    pub data_dir: PathBuf,
    pub assets_dir: PathBuf,
    pub threads: usize,
    pub allow_origins: Vec<String>,
    pub static_mounts: Vec<String>,
    pub hosts: Vec<String>,
    pub disable_agent_skills: bool,
    pub trusted_proxies: Vec<String>,
    pub enable_mcp: bool,
    pub expose_detailed_errors: bool,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            host: "127.0.0.1".into(),
            port: 9527,
            public_base_url: String::new(),
            base_path: "/".into(),
            server_id: String::new(),
            data_dir: "data".into(),
            assets_dir: "runtimes".into(),
            threads: 0,
            allow_origins: vec!["*".into()],
            static_mounts: Vec::new(),
            hosts: Vec::new(),
            disable_agent_skills: false,
            trusted_proxies: vec!["127.0.0.0/8".into(), "::1".into()],
            enable_mcp: false,
            expose_detailed_errors: false,
        }
    }
}

impl Server {
    /// The base of all URLs handed out.
    pub fn base_url(&self) -> String {
        if self.public_base_url.is_empty() {
            return self.local_url();
        }
        self.public_base_url.trim_end_matches('/').to_owned()
    }

    /// What all paths begin with: nothing, or `/a/b`.
    pub fn prefix(&self) -> String {
        match self.base_path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        }
    }

    /// The folder of the files for browsers. A relative one is looked for where the server was
    /// started, beside the program, and where it was built, so that it runs from anywhere.
    pub fn assets(&self) -> PathBuf {
        let given = &self.assets_dir;
        if given.is_absolute() || given.exists() {
            return given.clone();
        }
        let program = std::env::current_exe().ok();
        let beside = program.as_deref().and_then(Path::parent);
        let built = Path::new(env!("CARGO_MANIFEST_DIR"));
        [beside, Some(built)]
            .into_iter()
            .flatten()
            .map(|folder| folder.join(given))
            .find(|folder| folder.exists())
            .unwrap_or_else(|| given.clone())
    }

    /// How pages and workers on this machine reach the server.
    pub fn local_url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.prefix())
    }
}

/// `[auth]`
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    pub root_token: String,
    pub jwt_secret: String,
    pub reconnection_token_life_time: f64,
    pub local_accounts: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            root_token: String::new(),
            jwt_secret: String::new(),
            reconnection_token_life_time: 172_800.0,
            local_accounts: false,
        }
    }
}

// Secrets must not reach a log by way of a debug print.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// `[accounts]`, for `auth.local_accounts`; times in seconds.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accounts {
    pub code_lifetime: f64,
    pub code_attempts: u32,
    pub resend_after: f64,
    pub max_pending: usize,
    pub mail_from: String,
    pub resend_api_key: String,
    pub resend_address: String,
}

impl Default for Accounts {
    fn default() -> Self {
        Accounts {
            code_lifetime: 600.0,
            code_attempts: 5,
            resend_after: 30.0,
            max_pending: 10_000,
            mail_from: "Rhizome <onboarding@resend.dev>".into(),
            resend_api_key: String::new(),
            resend_address: "https://api.resend.com/emails".into(),
        }
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

/// `[limits]`; times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub message_rate: f64,
    pub message_burst: f64,
    pub max_frame_bytes: usize,
    pub mailbox_messages: usize,
    pub mailbox_bytes: usize,
    pub idle_timeout: f64,
    pub ping_interval: f64,
    pub setups: usize,
    pub stuck_after: f64,
    pub stream_idle_threshold: f64,
    pub stream_sweep_interval: f64,
    pub stream_ping_timeout: f64,
    pub stream_max_ping_misses: u32,
    pub connections_per_user: usize,
    pub clients_per_workspace: usize,
    pub services_per_client: usize,
    pub workspaces_per_user: usize,
    pub unload_grace: f64,
    pub http_rate: f64,
    pub http_burst: f64,
    pub http_user_rate: f64,
    pub http_user_burst: f64,
    pub http_stalled_after: f64,
}

impl Default for Limits {
    fn default() -> Self {
        let (gateway, mailbox, workspace) = (
            GatewayLimits::default(),
            MailboxLimits::default(),
            WorkspaceLimits::default(),
        );
        Limits {
            message_rate: gateway.message_rate,
            message_burst: gateway.message_burst,
            max_frame_bytes: gateway.max_frame_bytes,
            mailbox_messages: mailbox.count,
            mailbox_bytes: mailbox.bytes,
            idle_timeout: gateway.idle_timeout.as_secs_f64(),
            ping_interval: gateway.ping_interval.as_secs_f64(),
            setups: gateway.max_setups,
            stuck_after: gateway.stuck_after.as_secs_f64(),
            stream_idle_threshold: gateway.stream_idle_threshold.as_secs_f64(),
            stream_sweep_interval: gateway.stream_sweep_interval.as_secs_f64(),
            stream_ping_timeout: gateway.stream_ping_timeout.as_secs_f64(),
            stream_max_ping_misses: gateway.stream_max_ping_misses,
            connections_per_user: workspace.connections_per_user,
            clients_per_workspace: workspace.clients_per_workspace,
            services_per_client: workspace.services_per_client,
            workspaces_per_user: workspace.workspaces_per_user,
            unload_grace: workspace.unload_grace.as_secs_f64(),
            http_rate: 100.0,
            http_burst: 500.0,
            http_user_rate: 1000.0,
            http_user_burst: 5000.0,
            http_stalled_after: 60.0,
        }
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::ZERO)
}

impl Limits {
    pub fn gateway(&self) -> GatewayLimits {
        GatewayLimits {
            max_frame_bytes: self.max_frame_bytes,
            message_rate: self.message_rate,
            message_burst: self.message_burst,
            idle_timeout: seconds(self.idle_timeout),
            ping_interval: seconds(self.ping_interval),
            max_setups: self.setups,
            stuck_after: seconds(self.stuck_after),
            stream_idle_threshold: seconds(self.stream_idle_threshold),
            stream_sweep_interval: seconds(self.stream_sweep_interval),
            stream_ping_timeout: seconds(self.stream_ping_timeout),
            stream_max_ping_misses: self.stream_max_ping_misses,
            ..GatewayLimits::default()
        }
    }

    pub fn mailbox(&self) -> MailboxLimits {
        MailboxLimits {
            count: self.mailbox_messages,
            bytes: self.mailbox_bytes,
        }
    }

    pub fn workspace(&self) -> WorkspaceLimits {
        WorkspaceLimits {
            workspaces_per_user: self.workspaces_per_user,
            connections_per_user: self.connections_per_user,
            clients_per_workspace: self.clients_per_workspace,
            services_per_client: self.services_per_client,
            unload_grace: seconds(self.unload_grace),
        }
    }
}

/// `[apps]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Apps {
    pub enabled: bool,
    pub browser: bool,
    pub chromium: String,
    pub no_sandbox: bool,
    pub max_browser_sessions: usize,
    pub browser_offline: bool,
    pub pyodide_url: String,
    pub wheel_index: String,
    pub wheel_cache_mb: u64,
    pub autoscaling_interval: f64,
    pub process: bool,
    pub max_process_sessions: usize,
    pub process_memory_mb: u64,
    pub process_cpu_s: u64,
    pub process_linger: f64,
}

impl Default for Apps {
    fn default() -> Self {
        Apps {
            enabled: true,
            browser: true,
            chromium: String::new(),
            no_sandbox: false,
            max_browser_sessions: 20,
            browser_offline: false,
            pyodide_url: String::new(),
            wheel_index: "https://pypi.org/simple/".into(),
            wheel_cache_mb: 1024,
            autoscaling_interval: 10.0,
            process: true,
            max_process_sessions: 50,
            process_memory_mb: 0,
            process_cpu_s: 0,
            process_linger: 300.0,
        }
    }
}

impl Apps {
    /// What one process of an app may use.
    pub fn process_limits(&self) -> ProcessLimits {
        ProcessLimits {
            memory: self.process_memory_mb.saturating_mul(1 << 20),
            cpu: self.process_cpu_s,
        }
    }

    /// How long an interpreter stays after its script.
    pub fn linger(&self) -> Duration {
        seconds(self.process_linger)
    }
}

/// `[pool]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmPages {
    pub warm_blank: usize,
    pub warm_web_worker: usize,
    pub warm_web_python: usize,
    pub warm_max_age: f64,
    pub warm_idle: f64,
    pub warm_min_memory_mb: u64,
}

impl Default for WarmPages {
    fn default() -> Self {
        WarmPages {
            warm_blank: 1,
            warm_web_worker: 1,
            warm_web_python: 0,
            warm_max_age: 600.0,
            warm_idle: 300.0,
            warm_min_memory_mb: 512,
        }
    }
}

impl WarmPages {
    /// The pages that are made in advance.
    pub fn settings(&self) -> PoolSettings {
        PoolSettings {
            blank: self.warm_blank,
            web_worker: self.warm_web_worker,
            web_python: self.warm_web_python,
            max_age: seconds(self.warm_max_age),
            idle: seconds(self.warm_idle),
            min_memory: self.warm_min_memory_mb.saturating_mul(1 << 20),
        }
    }
}

/// `[storage]`
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    pub s3: bool,
    pub endpoint_url: String,
    pub endpoint_url_public: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub region_name: String,
    pub workspace_bucket: String,
    pub prefix: String,
    pub direct_downloads: bool,
    pub cleanup_period: f64,
}

impl Default for Storage {
    fn default() -> Self {
        Storage {
            s3: false,
            endpoint_url: String::new(),
            endpoint_url_public: String::new(),
            access_key_id: String::new(),
            secret_access_key: String::new(),
            region_name: "us-east-1".into(),
            workspace_bucket: "hypha-workspaces".into(),
            prefix: String::new(),
            direct_downloads: false,
            cleanup_period: 300.0,
        }
    }
}

// Secrets must not reach a log by way of a debug print.
impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").finish_non_exhaustive()
    }
}

/// `[startup]`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Startup {
    pub functions: Vec<String>,
    pub python: String,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
    pub access: bool,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            level: "info".into(),
            format: LogFormat::Text,
            access: false,
        }
    }
}

/// What log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    /// One object per line.
    Json,
}
