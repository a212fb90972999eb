//! The built-in browser worker: sessions as pages of the node's Chromium.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dashmap::DashMap;
use parking_lot::Mutex;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::actor::{BrowserActor, OpenPage};
use super::belongings::Belongings;
use super::log_ring::{LogKind, LogLine};
use super::notebook;
use super::python;
use super::startup_script;
use super::state::now;
use super::{
    BrowserOptions, CompileError, Compiler, LogRing, Outfit, Page, PageRequest, PageStart, Pool,
    SUPPORTED_TYPES,
};
use crate::apps::files::AppFile;
use crate::identity::UserInfo;
use crate::map;
use crate::peer::{Callback, ErrorClass, ServiceError};
use crate::supervision::AddrSlot;
use crate::wire::Value;
use crate::workers::{LogQuery, Notices, Picture, StartOrder, Started, Worker, WorkerInfo};
use crate::workspace::PUBLIC;

/// Id of the service through which users reach the worker.
pub const SERVICE_ID: &str = "browser-worker";
/// Logs of ended sessions that are kept.
const KEPT_LOGS: usize = 100;
/// How long a start waits for a browser that is being restarted.
const BROWSER_BACK: Duration = Duration::from_secs(5);
/// Seconds a script may take when nobody says otherwise.
const SCRIPT_S: f64 = 30.0;

struct BrowserSession {
    /// Whether its page runs Python, in which its scripts are then.
    python: AtomicBool,
    page: Mutex<Option<Page>>,
    logs: Arc<Mutex<LogRing>>,
}

/// See the module's text.
pub struct BrowserWorker {
    info: WorkerInfo,
    browser: AddrSlot<BrowserActor>,
    compiler: Compiler,
    options: BrowserOptions,
    pool: Arc<Pool>,
    max_sessions: usize,
    sessions: DashMap<String, Arc<BrowserSession>>,
    /// Ended sessions, oldest first.
    ended: Mutex<VecDeque<String>>,
}

impl BrowserWorker {
    /// A worker on the Chromium behind `browser`, with the pages that `pool` makes in advance and at most
    /// `max_sessions` sessions at a time.
    pub fn new(
        server_id: &str,
        browser: AddrSlot<BrowserActor>,
        compiler: Compiler,
        pool: Arc<Pool>,
        options: BrowserOptions,
        max_sessions: usize,
    ) -> Self {
        BrowserWorker {
            info: WorkerInfo {
                id: format!("{PUBLIC}/{server_id}:{SERVICE_ID}"),
                name: "Browser Worker".into(),
                description: "Runs web apps in pages of the server's own browser".into(),
                supported_types: SUPPORTED_TYPES.map(str::to_owned).to_vec(),
                workspace: PUBLIC.into(),
                client: None,
            },
            browser,
            compiler,
            pool,
            options,
            max_sessions,
            sessions: DashMap::new(),
            ended: Mutex::default(),
        }
    }

    /// Sessions that have a page.
    fn busy(&self) -> usize {
        let has_page = |session: &Arc<BrowserSession>| session.page.lock().is_some();
        self.sessions
            .iter()
            .filter(|session| has_page(session))
            .count()
    }

    /// The share of the pages that sessions may have which they have, from 0 to 1.
    pub fn load(&self) -> f64 {
        match self.max_sessions {
            0 => 1.0,
            most => self.busy() as f64 / most as f64,
        }
    }

    fn session(&self, id: &str) -> Result<Arc<BrowserSession>, ServiceError> {
        self.sessions
            .get(id)
            .map(|session| session.clone())
            .ok_or_else(|| ServiceError::key(format!("Browser session {id} not found")))
    }

    fn page(&self, id: &str) -> Result<Page, ServiceError> {
        let page = self.session(id)?.page.lock().clone();
        page.ok_or_else(|| ServiceError::key(format!("Browser session {id} not found")))
    }

    /// What the pages of an app get to see.
    fn outfit(&self, manifest: &JsonMap<String, Json>) -> Result<Outfit, CompileError> {
        Ok(Outfit {
            options: self.options.for_app(manifest)?,
            belongings: Belongings::of(manifest)?,
        })
    }

    /// A session whose log continues over restarts.
    fn enter(&self, id: &str) -> Arc<BrowserSession> {
        self.sessions
            .entry(id.to_owned())
            .or_insert_with(|| {
                Arc::new(BrowserSession {
                    python: AtomicBool::new(false),
                    page: Mutex::new(None),
                    logs: Arc::new(Mutex::new(LogRing::new())),
                })
            })
            .clone()
    }

    /// Gives a browser that died a moment ago the time to come back.
    async fn wait_for_browser(&self) {
        let deadline = tokio::time::Instant::now() + BROWSER_BACK;
        while !self.browser.is_up() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn remember(&self, id: &str) {
        let mut ended = self.ended.lock();
        ended.retain(|known| known != id);
        ended.push_back(id.to_owned());
        if ended.len() > KEPT_LOGS
            && let Some(oldest) = ended.pop_front()
            && self
                .sessions
                .get(&oldest)
                .is_some_and(|session| session.page.lock().is_none())
        {
            self.sessions.remove(&oldest);
        }
    }
}

/// The address to open. The config travels beside it; only pages that are not ours, and so read
/// nothing but their query, get it there.
fn page_address(order: &StartOrder, config: &Json, base_url: &str) -> String {
    let external = order.app_type == "web-app";
    let page = match url::Url::parse(base_url) {
        _ if !external => order.page_url.clone(),
        Ok(base) => base
            .join(&order.entry_point)
            .map_or_else(|_| order.entry_point.clone(), String::from),
        Err(_) => order.entry_point.clone(),
    };
    let inject = order
        .manifest
        .get("inject_auth_params")
        .and_then(Json::as_bool);
    // A site elsewhere gets a token only when its app asks for that.
    if !order.plain_page || !inject.unwrap_or(!external) {
        return page;
    }
    let keys = ["server_url", "client_id", "workspace", "app_id", "token"];
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(
            keys.iter()
                .filter_map(|key| Some((key, config[*key].as_str()?))),
        )
        .finish();
    let joint = if page.contains('?') { '&' } else { '?' };
    format!("{page}{joint}{query}")
}

#[async_trait]
impl Worker for BrowserWorker {
    fn info(&self) -> &WorkerInfo {
        &self.info
    }

    fn health(&self) -> Json {
        json!({
            "status": if self.browser.is_up() { "healthy" } else { "restarting" },
            "sessions": self.busy(),
            "max_sessions": self.max_sessions,
            "load": self.load(),
            "waiting_pages": self.pool.report(),
        })
    }

    async fn opinion(
        &self,
        function: &str,
        _caller: &Arc<UserInfo>,
        _within: Duration,
    ) -> Result<Value, ServiceError> {
        match function {
            "get_load" => Ok(self.load().into()),
            _ => Err(ServiceError::new(
                ErrorClass::Named("NotImplementedError"),
                format!("the browser worker has no `{function}` function"),
            )),
        }
    }

    async fn compile(
        &self,
        manifest: JsonMap<String, Json>,
        files: Vec<AppFile>,
    ) -> Result<(JsonMap<String, Json>, Vec<AppFile>), ServiceError> {
        let app_type = manifest
            .get("type")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned();
        self.outfit(&manifest)
            .map_err(|error| ServiceError::value(error.to_string()))?;
        self.compiler
            .compile(&app_type, &manifest, files)
            .map_err(|error| ServiceError::value(error.to_string()))
    }

    async fn start(&self, order: StartOrder, notices: Notices) -> Result<Started, ServiceError> {
        let outfit = self
            .outfit(&order.manifest)
            .map_err(|error| ServiceError::value(error.to_string()))?;
        let session = self.enter(&order.session);
        let timeout = Duration::from_secs_f64(order.timeout.max(1.0));
        let python = order.app_type == "web-python" && !order.plain_page;
        session.python.store(python, Ordering::Relaxed);
        let config = json!({
            "server_url": order.server_url,
            "workspace": order.workspace,
            "client_id": order.client_id,
            "app_id": order.app_id,
            "name": order.manifest.get("name").cloned().unwrap_or_default(),
            "token": order.token,
            "env": {
                "HYPHA_SERVER_URL": order.server_url,
                "HYPHA_WORKSPACE": order.workspace,
                "HYPHA_CLIENT_ID": order.client_id,
                "HYPHA_APP_ID": order.app_id,
                "HYPHA_TOKEN": order.token,
            },
        });
        let start = self
            .compiler
            .start_of(&order.app_type, &order.manifest, order.page.as_deref());
        // Pages in advance look as the server's options say.
        let usual = order.app_type != "web-app" && outfit == Outfit::of_server(&self.options);
        let start = if usual { start } else { PageStart::Fresh };
        let open = OpenPage {
            request: PageRequest {
                url: page_address(&order, &config, &outfit.options.base_url),
                // The config goes into documents of the address's own origin, which for an
                // external app is somebody else's.
                init: if order.app_type == "web-app" {
                    Json::Null
                } else {
                    config
                },
                session: order.session.clone(),
                timeout,
                outfit,
                start,
            },
            notices,
            logs: session.logs.clone(),
        };
        self.wait_for_browser().await;
        let opened = self
            .browser
            .send(open)
            .await
            .map_err(|_| ServiceError::runtime("the browser is restarting"))?;
        let page = opened.map_err(|error| ServiceError::runtime(error.to_string()))?;
        *session.page.lock() = Some(page.clone());
        if let Some(path) = order.manifest.get("startup_script").and_then(Json::as_str) {
            let base = order.page_url.strip_suffix(&order.entry_point);
            let base = base.unwrap_or(&order.page_url);
            if let Err(text) = startup_script::run(&page, base, path, timeout).await {
                session.logs.lock().push(LogLine {
                    kind: LogKind::Console,
                    level: "warning".into(),
                    text,
                    source: "server".into(),
                    ts: now(),
                });
            }
        }
        Ok(Started::default())
    }

    async fn stop(&self, session: &str) -> Result<(), ServiceError> {
        let page = match self.session(session) {
            Ok(found) => found.page.lock().take(),
            Err(_) => return Ok(()),
        };
        if let Some(page) = page {
            page.close().await;
        }
        self.remember(session);
        Ok(())
    }

    async fn logs(&self, session: &str, query: &LogQuery) -> Result<Value, ServiceError> {
        let logs = self.session(session)?.logs.clone();
        let page = logs
            .lock()
            .page(query.kind.as_deref(), query.offset, query.limit);
        let items: Vec<Value> = page
            .items
            .iter()
            .map(|entry| {
                Value::Map(map! {
                    "type" => entry.line.kind.as_str(),
                    "content" => entry.content(),
                    "level" => entry.line.level.as_str(),
                    "ts" => entry.line.ts,
                    "seq" => entry.seq as i64,
                })
            })
            .collect();
        Ok(Value::Map(map! {
            "items" => items,
            "total" => page.total,
            "offset" => query.offset,
            "limit" => query.limit,
        }))
    }

    async fn execute(
        &self,
        session: &str,
        script: &str,
        config: Value,
        progress: Option<Callback>,
    ) -> Result<Value, ServiceError> {
        let page = self.page(session)?;
        let seconds = config
            .get("timeout")
            .and_then(Value::as_f64)
            .filter(|seconds| *seconds > 0.0)
            .unwrap_or(SCRIPT_S);
        let limit = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(3600));
        if self.session(session)?.python.load(Ordering::Relaxed) && !python::is_for_page(&config) {
            return python::execute(&page, script, limit, progress).await;
        }
        let done = match notebook::is_wanted(&config) {
            true => notebook::execute(&page, script, limit).await,
            false => page.evaluate_within(script, limit).await,
        };
        match done {
            Ok(result) => Ok(Value::from_json(result)),
            Err(error) => Err(ServiceError::new(
                ErrorClass::Named("WorkerError"),
                format!("Failed to execute script in session {session}: {error}"),
            )),
        }
    }

    async fn screenshot(&self, session: &str, picture: &Picture) -> Result<Value, ServiceError> {
        let format = picture
            .format
            .parse()
            .map_err(|error: super::BrowserError| ServiceError::value(error.to_string()))?;
        let picture = self
            .page(session)?
            .screenshot(format, picture.full_page)
            .await
            .map_err(|error| ServiceError::runtime(error.to_string()))?;
        Ok(Value::Bin(picture.into()))
    }
}
