//! Every setting by its place in the config file, with the flag and the environment variables
//! that override it. The names are the reference's where it has the setting (workspace.md 6).

/// How the text of a flag or variable is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Int,
    Float,
    Bool,
    /// Comma-separated.
    List,
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// `section.key` in the config file.
    pub path: &'static str,
    pub flag: Option<&'static str>,
    pub env: &'static [&'static str],
    pub kind: Kind,
    pub help: &'static str,
}

const fn setting(
    path: &'static str,
    flag: Option<&'static str>,
    env: &'static [&'static str],
    kind: Kind,
    help: &'static str,
) -> Setting {
    Setting {
        path,
        flag,
        env,
        kind,
        help,
    }
}

use Kind::{Bool, Float, Int, List, Text};

/// See the module's text. `config/rhizome.toml` explains each of them to users.
pub static SETTINGS: &[Setting] = &[
    setting(
        "server.host",
        Some("host"),
        &["HYPHA_HOST"],
        Text,
        "Address to listen on",
    ),
    setting(
        "server.port",
        Some("port"),
        &["HYPHA_PORT"],
        Int,
        "Port to listen on",
    ),
    setting(
        "server.public_base_url",
        Some("public-base-url"),
        &["HYPHA_PUBLIC_BASE_URL"],
        Text,
        "URL under which users reach the server",
    ),
    setting(
        "server.server_id",
        Some("server-id"),
        &["HYPHA_SERVER_ID"],
        Text,
        "Stable id of the server; random words when not set",
    ),
    setting(
        "server.data_dir",
        Some("data-dir"),
        &["RHIZOME_DATA_DIR"],
        Text,
        "Folder of all that is stored",
    ),
    setting(
        "server.assets_dir",
        Some("assets-dir"),
        &["RHIZOME_ASSETS_DIR"],
        Text,
        "Folder of the browser-side files",
    ),
    setting(
        "server.threads",
        Some("threads"),
        &["RHIZOME_THREADS"],
        Int,
        "Threads for connections; 0 means one per core",
    ),
    setting(
        "server.allow_origins",
        Some("allow-origins"),
        &["ALLOW_ORIGINS", "HYPHA_ALLOW_ORIGINS"],
        List,
        "Origins that pages may call from",
    ),
    setting(
        "server.static_mounts",
        Some("static-mounts"),
        &["HYPHA_STATIC_MOUNTS"],
        List,
        "Folders served as they are: /name:folder",
    ),
    setting(
        "server.disable_agent_skills",
        Some("disable-agent-skills"),
        &["HYPHA_DISABLE_AGENT_SKILLS"],
        Bool,
        "Leave out the documents for AI agents",
    ),
    setting(
        "server.trusted_proxies",
        Some("trusted-proxies"),
        &["RHIZOME_TRUSTED_PROXIES"],
        List,
        "Proxies whose X-Forwarded-For is believed",
    ),
    setting(
        "auth.root_token",
        Some("root-token"),
        &["HYPHA_ROOT_TOKEN"],
        Text,
        "Token of the root user",
    ),
    setting(
        "auth.jwt_secret",
        None,
        &["HYPHA_JWT_SECRET", "JWT_SECRET"],
        Text,
        "Secret that signs tokens",
    ),
    setting(
        "auth.reconnection_token_life_time",
        None,
        &["RECONNECTION_TOKEN_LIFE_TIME"],
        Float,
        "Seconds a lost client may return within",
    ),
    setting(
        "limits.message_rate",
        None,
        &["HYPHA_WS_MSG_RATE_LIMIT"],
        Float,
        "Messages per second and client",
    ),
    setting(
        "limits.message_burst",
        None,
        &["HYPHA_WS_MSG_BURST_LIMIT"],
        Float,
        "Messages at once",
    ),
    setting(
        "limits.max_frame_bytes",
        None,
        &["RHIZOME_MAX_FRAME_BYTES"],
        Int,
        "Largest message in bytes",
    ),
    setting(
        "limits.mailbox_messages",
        None,
        &["RHIZOME_MAILBOX_MESSAGES"],
        Int,
        "Messages waiting for one client",
    ),
    setting(
        "limits.mailbox_bytes",
        None,
        &["RHIZOME_MAILBOX_BYTES"],
        Int,
        "Bytes waiting for one client",
    ),
    setting(
        "limits.idle_timeout",
        None,
        &["HYPHA_WS_IDLE_TIMEOUT"],
        Float,
        "Seconds of silence before a connection ends",
    ),
    setting(
        "limits.ping_interval",
        None,
        &["RHIZOME_PING_INTERVAL"],
        Float,
        "Seconds of silence before a client is pinged",
    ),
    setting(
        "limits.setups",
        None,
        &["RHIZOME_SETUPS"],
        Int,
        "Connections in set-up at the same time",
    ),
    setting(
        "limits.stuck_after",
        None,
        &["RHIZOME_STUCK_AFTER"],
        Float,
        "Seconds a client may leave messages unread",
    ),
    setting(
        "limits.stream_idle_threshold",
        None,
        &["HYPHA_STREAM_IDLE_THRESHOLD"],
        Float,
        "Seconds of silence before a stream's client is pinged",
    ),
    setting(
        "limits.stream_sweep_interval",
        None,
        &["HYPHA_STREAM_SWEEP_INTERVAL"],
        Float,
        "Seconds between looks for idle streams",
    ),
    setting(
        "limits.stream_ping_timeout",
        None,
        &["HYPHA_STREAM_PING_TIMEOUT"],
        Float,
        "Seconds a stream's client has to answer",
    ),
    setting(
        "limits.stream_max_ping_misses",
        None,
        &["HYPHA_STREAM_MAX_PING_MISSES"],
        Int,
        "Unanswered pings before a stream ends",
    ),
    setting(
        "limits.connections_per_user",
        None,
        &["HYPHA_MAX_CONNECTIONS_PER_USER"],
        Int,
        "Connections of one user",
    ),
    setting(
        "limits.clients_per_workspace",
        None,
        &["HYPHA_MAX_CLIENTS_PER_WORKSPACE"],
        Int,
        "Clients of one workspace",
    ),
    setting(
        "limits.services_per_client",
        None,
        &["HYPHA_MAX_SERVICES_PER_CLIENT"],
        Int,
        "Services of one client",
    ),
    setting(
        "limits.workspaces_per_user",
        None,
        &["HYPHA_MAX_WORKSPACES_PER_USER"],
        Int,
        "Workspaces of one user",
    ),
    setting(
        "limits.unload_grace",
        None,
        &["HYPHA_WORKSPACE_UNLOAD_GRACE_PERIOD"],
        Float,
        "Seconds an empty workspace stays",
    ),
    setting(
        "limits.http_rate",
        None,
        &["HYPHA_HTTP_RATE_LIMIT"],
        Float,
        "HTTP requests per second and address",
    ),
    setting(
        "limits.http_burst",
        None,
        &["HYPHA_HTTP_BURST_LIMIT"],
        Float,
        "HTTP requests of an address at once",
    ),
    setting(
        "limits.http_user_rate",
        None,
        &["HYPHA_HTTP_AUTHENTICATED_RATE_LIMIT"],
        Float,
        "HTTP requests per second and verified user",
    ),
    setting(
        "limits.http_user_burst",
        None,
        &["HYPHA_HTTP_AUTHENTICATED_BURST_LIMIT"],
        Float,
        "HTTP requests of a verified user at once",
    ),
    setting(
        "apps.enabled",
        Some("enable-server-apps"),
        &["HYPHA_ENABLE_SERVER_APPS"],
        Bool,
        "Offer the server-apps service",
    ),
    setting(
        "apps.max_browser_sessions",
        None,
        &["HYPHA_MAX_BROWSER_SESSIONS"],
        Int,
        "Browser sessions at the same time",
    ),
    setting(
        "apps.chromium",
        None,
        &["HYPHA_CHROMIUM_PATH"],
        Text,
        "Path of Chromium; searched when not set",
    ),
    setting(
        "apps.no_sandbox",
        Some("in-docker"),
        &["HYPHA_IN_DOCKER"],
        Bool,
        "Run Chromium without its sandbox",
    ),
    setting(
        "apps.browser",
        None,
        &["RHIZOME_BROWSER"],
        Bool,
        "Offer the built-in browser worker",
    ),
    setting(
        "apps.autoscaling_interval",
        None,
        &["RHIZOME_AUTOSCALING_INTERVAL"],
        Float,
        "Seconds between two looks of an autoscaler",
    ),
    setting(
        "log.level",
        Some("log-level"),
        &["HYPHA_LOGLEVEL"],
        Text,
        "error, warn, info, debug, trace, or a filter",
    ),
    setting(
        "log.format",
        Some("log-format"),
        &["RHIZOME_LOG_FORMAT"],
        Text,
        "text, or json for one JSON object per line",
    ),
    setting(
        "log.access",
        None,
        &["HYPHA_ACCESS_LOG"],
        Bool,
        "Log every HTTP request",
    ),
];

/// How many values a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    Switch,
    One,
    Many,
}

use Arity::{Many, One, Switch};

/// Flags of the reference that have no effect here, and what is used instead.
pub static IGNORED_FLAGS: &[(&str, Arity, &str)] = &[
    ("from-env", Switch, "the environment is always read"),
    (
        "base-path",
        One,
        "routes start at /; let a proxy strip a prefix",
    ),
    ("enable-s3", Switch, "files are kept in the data folder"),
    (
        "enable-s3-for-anonymous-users",
        Switch,
        "files are kept in the data folder",
    ),
    ("endpoint-url", One, "files are kept in the data folder"),
    (
        "endpoint-url-public",
        One,
        "files are kept in the data folder",
    ),
    ("access-key-id", One, "files are kept in the data folder"),
    (
        "secret-access-key",
        One,
        "files are kept in the data folder",
    ),
    ("region-name", One, "files are kept in the data folder"),
    ("workspace-bucket", One, "files are kept in the data folder"),
    ("s3-admin-type", One, "files are kept in the data folder"),
    ("enable-s3-proxy", Switch, "files are served by this server"),
    (
        "s3-cleanup-period",
        One,
        "files are kept in the data folder",
    ),
    (
        "start-minio-server",
        Switch,
        "files are kept in the data folder",
    ),
    ("minio-workdir", One, "files are kept in the data folder"),
    ("minio-port", One, "files are kept in the data folder"),
    (
        "minio-console-port",
        One,
        "files are kept in the data folder",
    ),
    ("minio-root-user", One, "files are kept in the data folder"),
    (
        "minio-root-password",
        One,
        "files are kept in the data folder",
    ),
    ("minio-version", One, "files are kept in the data folder"),
    ("mc-version", One, "files are kept in the data folder"),
    (
        "minio-file-system-mode",
        Switch,
        "files are kept in the data folder",
    ),
    ("executable-path", One, "nothing is downloaded"),
    ("cache-dir", One, "everything lives in the data folder"),
    ("redis-uri", One, "the node keeps its state itself"),
    (
        "reset-redis",
        Switch,
        "connections and services are not stored",
    ),
    ("migrate-database", One, "the store migrates itself"),
    ("disable-ssl", Switch, "workers use the URL they are given"),
    (
        "startup-functions",
        Many,
        "startup functions are not supported yet",
    ),
    ("triton-servers", One, "there is no proxy for Triton"),
    (
        "enable-service-search",
        Switch,
        "service search is not offered",
    ),
    ("ollama-host", One, "service search is not offered"),
    ("openai-base-url", One, "service search is not offered"),
    ("openai-api-key", One, "service search is not offered"),
    ("enable-mcp", Switch, "MCP is not offered yet"),
    ("enable-a2a", Switch, "A2A is not offered"),
    ("enable-k8s-worker", Switch, "workers register themselves"),
    (
        "enable-terminal-worker",
        Switch,
        "there is no terminal worker yet",
    ),
    (
        "interactive",
        Switch,
        "there is no Python shell in this server",
    ),
    (
        "enable-server",
        Switch,
        "there is no Python shell in this server",
    ),
    (
        "enable-admin-terminal",
        Switch,
        "there is no Python prompt in this server",
    ),
];
