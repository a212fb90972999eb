//! What every worker can do (server-apps.md 4.1), whether it runs in this process or elsewhere.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map as JsonMap, Value as Json};
use tokio::sync::mpsc;

use crate::apps::files::AppFile;
use crate::identity::UserInfo;
use crate::peer::{Callback, ErrorClass, ServiceError};
use crate::wire::{Map, Value};

/// Type of the services that are workers.
pub const SERVICE_TYPE: &str = "server-app-worker";

/// What a worker says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerInfo {
    /// `workspace/client:service`
    pub id: String,
    pub name: String,
    pub description: String,
    pub supported_types: Vec<String>,
    /// Workspace in which it may be used; `public` serves all.
    pub workspace: String,
    /// Client that runs it; when it leaves, its sessions are lost. None for built-in ones.
    pub client: Option<String>,
}

/// What a session tells while it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The page has loaded; `signalled` by our own template, which goes on to register.
    PageLoaded { signalled: bool },
    /// An uncaught error.
    PageError(String),
    /// The app's own code failed to start.
    ScriptFailed(String),
    /// The page, its process or its browser died.
    Crashed(String),
    /// It went beyond one of its limits and is to be ended for good.
    Over(String),
    /// A script ran to its end.
    Completed,
    /// The process of a session ended by itself.
    Exited { code: i32, cause: String },
}

/// Where a worker sends the notices of a session.
pub type Notices = mpsc::UnboundedSender<Notice>;

/// Everything a worker needs to start a session (server-apps.md 3.4).
pub struct StartOrder {
    /// `workspace/client_id`
    pub session: String,
    pub workspace: String,
    pub client_id: String,
    pub app_id: String,
    pub app_type: String,
    /// Label of the version to run.
    pub version: String,
    pub server_url: String,
    /// URL under which the files of exactly this version are found.
    pub app_files_base_url: String,
    /// Page that a browser opens.
    pub page_url: String,
    /// The page is the author's own, not one of our templates.
    pub plain_page: bool,
    /// The page itself, for the server's own workers and where it is one of our templates.
    pub page: Option<Bytes>,
    pub token: String,
    pub entry_point: String,
    /// Seconds.
    pub timeout: f64,
    pub manifest: JsonMap<String, Json>,
    pub additional: JsonMap<String, Json>,
    /// The user who starts it, shown to the worker.
    pub user: Arc<UserInfo>,
    pub progress: Callback,
}

impl StartOrder {
    /// The `config` argument of `start`, without the progress callback.
    pub fn to_config(&self) -> Map {
        let env = crate::map! {
            "HYPHA_APP_ID" => self.app_id.as_str(),
            "HYPHA_SERVER_URL" => self.server_url.as_str(),
            "HYPHA_WORKSPACE" => self.workspace.as_str(),
            "HYPHA_CLIENT_ID" => self.client_id.as_str(),
            "HYPHA_TOKEN" => self.token.as_str(),
        };
        let mut config = crate::map! {
            "id" => self.session.as_str(),
            "app_id" => self.app_id.as_str(),
            "workspace" => self.workspace.as_str(),
            "client_id" => self.client_id.as_str(),
            "server_url" => self.server_url.as_str(),
            "app_files_base_url" => self.app_files_base_url.as_str(),
            "token" => self.token.as_str(),
            "entry_point" => self.entry_point.as_str(),
            "artifact_id" => format!("{}/{}", self.workspace, self.app_id),
            "timeout" => self.timeout,
            "manifest" => Value::from_json(Json::Object(self.manifest.clone())),
            "disable_ssl" => false,
            "app_type" => self.app_type.as_str(),
            "version" => self.version.as_str(),
            "env" => env,
        };
        for (key, value) in &self.additional {
            config.insert(key.clone(), Value::from_json(value.clone()));
        }
        config
    }
}

/// How a worker answered to `start`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Started {
    /// The worker's own id of the session, where it differs.
    pub session: Option<String>,
    /// The work is done already.
    pub completed: bool,
    /// The worker says that the session runs; it may offer no service at all.
    pub running: bool,
}

/// Which log lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    pub kind: Option<String>,
    pub offset: usize,
    pub limit: Option<usize>,
}

/// Which picture of a session is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// `png` or `jpeg`
    pub format: String,
    /// The whole page, not only what a window of its size shows.
    pub full_page: bool,
}

/// See the module's text.
#[async_trait]
pub trait Worker: Send + Sync {
    fn info(&self) -> &WorkerInfo;

    /// How the worker is, as JSON, for administrators; null when it says nothing.
    fn health(&self) -> Json {
        Json::Null
    }

    /// Turns the sources of an app into what `start` runs. Most workers take them as they are.
    async fn compile(
        &self,
        manifest: JsonMap<String, Json>,
        files: Vec<AppFile>,
    ) -> Result<(JsonMap<String, Json>, Vec<AppFile>), ServiceError> {
        Ok((manifest, files))
    }

    async fn start(&self, order: StartOrder, notices: Notices) -> Result<Started, ServiceError>;

    /// Ends a session; an unknown one is no error.
    async fn stop(&self, session: &str) -> Result<(), ServiceError>;

    /// `{items: [{type, content}], total, offset, limit}`
    async fn logs(&self, session: &str, query: &LogQuery) -> Result<Value, ServiceError>;

    /// Runs code in a session.
    async fn execute(
        &self,
        session: &str,
        script: &str,
        config: Value,
        progress: Option<Callback>,
    ) -> Result<Value, ServiceError>;

    /// Asks a function of the worker's own about itself, for a `select:` mode. It runs in the name
    /// of `caller`, so the functions of this contract cannot be reached this way.
    async fn opinion(
        &self,
        function: &str,
        _caller: &Arc<UserInfo>,
        _within: Duration,
    ) -> Result<Value, ServiceError> {
        Err(ServiceError::new(
            ErrorClass::Named("NotImplementedError"),
            format!("the worker {} has no `{function}` function", self.info().id),
        ))
    }

    /// A picture of the session.
    async fn screenshot(&self, session: &str, picture: &Picture) -> Result<Value, ServiceError>;
}
