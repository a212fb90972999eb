//! The worker: a session is a client of the workspace that offers one service per MCP server.

use std::sync::Arc;

use async_trait::async_trait;
use dashmap::DashMap;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::proxy::{ServerEntry, discover};
use crate::apps::files::AppFile;
use crate::client::{Connect, Connection, OfferedFunction, Offering};
use crate::map;
use crate::peer::{Callback, ErrorClass, ServiceError};
use crate::wire::Value;
use crate::workers::log_ring::LogKind;
use crate::workers::process::SessionLog;
use crate::workers::{LogQuery, Notices, Picture, StartOrder, Started, Worker, WorkerInfo};
use crate::workspace::PUBLIC;

/// Id of the service through which users reach the worker.
pub const SERVICE_ID: &str = "mcp-proxy-worker";
pub const NAME: &str = "MCP Proxy Worker";
pub const DESCRIPTION: &str = "Offers MCP servers elsewhere as services";
const TYPE: &str = "mcp-server";
/// Service that every session offers.
const DEFAULT: &str = "default";

struct McpSession {
    connection: Connection,
    log: SessionLog,
}

/// See the module's text.
pub struct McpWorker {
    info: WorkerInfo,
    sessions: DashMap<String, Arc<McpSession>>,
}

impl McpWorker {
    pub fn new(server_id: &str) -> Self {
        McpWorker {
            info: WorkerInfo {
                id: format!("{PUBLIC}/{server_id}:{SERVICE_ID}"),
                name: NAME.into(),
                description: DESCRIPTION.into(),
                supported_types: vec![TYPE.into()],
                workspace: PUBLIC.into(),
                client: None,
            },
            sessions: DashMap::new(),
        }
    }

    fn session(&self, id: &str) -> Result<Arc<McpSession>, ServiceError> {
        let found = self.sessions.get(id).map(|session| session.clone());
        found.ok_or_else(|| ServiceError::key(format!("MCP session {id} not found")))
    }
}

/// The MCP servers of a manifest.
fn servers(manifest: &JsonMap<String, Json>) -> Result<&JsonMap<String, Json>, ServiceError> {
    let servers = manifest.get("mcpServers").and_then(Json::as_object);
    servers
        .filter(|servers| !servers.is_empty())
        .ok_or_else(|| {
            ServiceError::value("mcpServers configuration is required for type 'mcp-server'")
        })
}

fn tell(progress: &Callback, kind: &str, message: &str) {
    progress(vec![Value::Map(
        map! { "type" => kind, "message" => message },
    )]);
}

/// What the session itself is: a service to wait for.
fn default_service(app: &str) -> Offering {
    Offering {
        id: DEFAULT.into(),
        fields: map! { "name" => DEFAULT, "description" => "Default service", "app_id" => app },
        functions: vec![OfferedFunction {
            path: vec!["setup".into()],
            schema: json!({
                "name": "setup",
                "description": "Does nothing",
                "parameters": { "type": "object", "properties": {}, "required": [] },
            }),
            handler: Arc::new(|_, _| Box::pin(async { Ok(Value::Nil) })),
        }],
    }
}

/// Connects to one server of an app and offers it.
async fn add(
    connection: &Connection,
    order: &StartOrder,
    name: &str,
    entry: &Json,
) -> Result<String, String> {
    let entry = ServerEntry::read(name, entry)?;
    let offering = discover(&entry, &order.app_id).await;
    let offering = offering.map_err(|error| error.to_string())?;
    let found = offering.functions.len();
    let offered = connection.offer(&offering).await;
    offered.map_err(|error| error.to_string())?;
    Ok(format!("Connected to MCP server {name}: {found} functions"))
}

#[async_trait]
impl Worker for McpWorker {
    fn info(&self) -> &WorkerInfo {
        &self.info
    }

    /// The servers may also stand in the source, as JSON; those of the manifest come first.
    async fn compile(
        &self,
        mut manifest: JsonMap<String, Json>,
        files: Vec<AppFile>,
    ) -> Result<(JsonMap<String, Json>, Vec<AppFile>), ServiceError> {
        let source = files.iter().find(|file| file.path == "source");
        let told: Json = source
            .and_then(|file| serde_json::from_slice(&file.content).ok())
            .unwrap_or_default();
        let mut all = told["mcpServers"].as_object().cloned().unwrap_or_default();
        if let Some(Json::Object(own)) = manifest.remove("mcpServers") {
            all.extend(own);
        }
        manifest.insert("mcpServers".into(), all.into());
        servers(&manifest)?;
        manifest
            .entry("wait_for_service")
            .or_insert_with(|| DEFAULT.into());
        Ok((manifest, files))
    }

    async fn start(&self, order: StartOrder, _: Notices) -> Result<Started, ServiceError> {
        let servers = servers(&order.manifest)?;
        let failed = |error: String| ServiceError::plain(error);
        let connection = Connection::open(&Connect {
            server_url: order.server_url.clone(),
            token: Some(order.token.clone()),
            workspace: Some(order.workspace.clone()),
            client_id: Some(order.client_id.clone()),
        })
        .await
        .map_err(|error| failed(error.to_string()))?;
        let joined = connection.join().await;
        joined.map_err(|error| failed(error.to_string()))?;
        let log = SessionLog::default();
        let mut failures = Vec::new();
        for (name, entry) in servers {
            match add(&connection, &order, name, entry).await {
                Ok(message) => {
                    tell(&order.progress, "info", &message);
                    log.push(LogKind::Info, message);
                }
                Err(error) => {
                    let message = format!("Failed to connect to MCP server {name}: {error}");
                    tell(&order.progress, "error", &message);
                    log.push(LogKind::Error, message.clone());
                    failures.push(message);
                }
            }
        }
        // One of several may be down; with none there is nothing to offer.
        if failures.len() == servers.len() {
            connection.close().await;
            return Err(failed(failures.pop().unwrap_or_default()));
        }
        let offered = connection.offer(&default_service(&order.app_id)).await;
        offered.map_err(|error| failed(error.to_string()))?;
        let session = Arc::new(McpSession { connection, log });
        self.sessions.insert(order.session, session);
        Ok(Started {
            running: true,
            ..Started::default()
        })
    }

    async fn stop(&self, session: &str) -> Result<(), ServiceError> {
        if let Some((_, session)) = self.sessions.remove(session) {
            session.connection.close().await;
        }
        Ok(())
    }

    async fn logs(&self, session: &str, query: &LogQuery) -> Result<Value, ServiceError> {
        Ok(self.session(session)?.log.page(query))
    }

    async fn execute(
        &self,
        _: &str,
        _: &str,
        _: Value,
        _: Option<Callback>,
    ) -> Result<Value, ServiceError> {
        Err(unsupported("runs no code"))
    }

    async fn screenshot(&self, _: &str, _: &Picture) -> Result<Value, ServiceError> {
        Err(unsupported("shows no picture"))
    }
}

fn unsupported(what: &str) -> ServiceError {
    ServiceError::new(
        ErrorClass::Named("NotImplementedError"),
        format!("an MCP server {what}"),
    )
}
