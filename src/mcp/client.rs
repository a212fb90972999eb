//! A client of MCP servers elsewhere, over streamable HTTP.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use serde_json::{Value as Json, json};
use thiserror::Error;

use super::message::PROTOCOL_VERSIONS;

/// Longest answer in bytes.
const MAX_BYTES: usize = 32 << 20;
/// Time for one request, a tool at work included.
const WITHIN: Duration = Duration::from_secs(300);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Pages of a listing that are fetched.
const MAX_PAGES: usize = 100;
const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";

/// What went wrong with a server.
#[derive(Debug, Error)]
pub enum McpClientError {
    #[error("{0} is no usable header")]
    Header(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("the server answered {0}")]
    Status(u16),
    #[error("the answer is longer than {} MB", MAX_BYTES >> 20)]
    TooLong,
    #[error("the answer is not one of MCP: {0}")]
    Protocol(String),
    /// The server's own error.
    #[error("{message}")]
    Server { code: i64, message: String },
}

/// See the module's text.
pub struct McpClient {
    http: reqwest::Client,
    url: String,
    /// What the server named our session; many name none.
    session: Mutex<Option<String>>,
    version: Mutex<Option<String>>,
    next: AtomicU64,
}

impl McpClient {
    /// Connects to the server at `url`; `headers` go along with every request.
    ///
    /// # Errors
    /// See [`McpClientError`].
    pub async fn connect(url: &str, headers: &[(String, String)]) -> Result<Self, McpClientError> {
        // Another part of the process may have chosen a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut always = HeaderMap::new();
        for (name, value) in headers {
            let wrong = |_| McpClientError::Header(name.clone());
            let value = HeaderValue::from_str(value).map_err(|_| wrong(()))?;
            always.insert(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(()))?,
                value,
            );
        }
        let http = reqwest::Client::builder()
            .default_headers(always)
            .timeout(WITHIN)
            .connect_timeout(CONNECT_WITHIN)
            // A message would not arrive at the place that a redirect names.
            .redirect(Policy::none())
            .build()
            .map_err(unreachable)?;
        let client = McpClient {
            http,
            url: url.to_owned(),
            session: Mutex::default(),
            version: Mutex::default(),
            next: AtomicU64::new(1),
        };
        client.initialize().await?;
        Ok(client)
    }

    async fn initialize(&self) -> Result<(), McpClientError> {
        *self.session.lock() = None;
        *self.version.lock() = None;
        let hello = json!({
            "protocolVersion": PROTOCOL_VERSIONS[0],
            "capabilities": {},
            "clientInfo": { "name": "rhizome", "version": env!("CARGO_PKG_VERSION") },
        });
        let welcome = self.once("initialize", &hello).await?;
        let version = welcome["protocolVersion"].as_str().map(str::to_owned);
        *self.version.lock() = version;
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.post(&ready).await.map(|_| ())
    }

    /// The result of a request. A session that the server has forgotten is begun anew.
    ///
    /// # Errors
    /// See [`McpClientError`].
    pub async fn request(&self, method: &str, params: &Json) -> Result<Json, McpClientError> {
        match self.once(method, params).await {
            Err(McpClientError::Status(404)) if self.session.lock().is_some() => {
                self.initialize().await?;
                self.once(method, params).await
            }
            outcome => outcome,
        }
    }

    /// All entries of a listing, e.g. `tools/list` and `tools`. A server that has none of the
    /// kind has an empty one.
    ///
    /// # Errors
    /// See [`McpClientError`].
    pub async fn list(&self, method: &str, key: &str) -> Result<Vec<Json>, McpClientError> {
        let mut entries = Vec::new();
        let mut params = json!({});
        for _ in 0..MAX_PAGES {
            let mut page = match self.request(method, &params).await {
                Err(McpClientError::Server { .. }) => break,
                page => page?,
            };
            if let Some(found) = page[key].as_array_mut() {
                entries.append(found);
            }
            match page["nextCursor"].take() {
                Json::Null => break,
                cursor => params = json!({ "cursor": cursor }),
            }
        }
        Ok(entries)
    }

    async fn once(&self, method: &str, params: &Json) -> Result<Json, McpClientError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let response = self.post(&message).await?;
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut answer = match kind.starts_with("text/event-stream") {
            true => from_events(response, id).await?,
            false => whole(response).await?,
        };
        if let Some(error) = answer.get("error") {
            return Err(McpClientError::Server {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
            });
        }
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(McpClientError::Protocol("it has no result".into())),
        }
    }

    async fn post(&self, message: &Json) -> Result<Response, McpClientError> {
        let mut request = self
            .http
            .post(&self.url)
            .header(ACCEPT, "application/json, text/event-stream")
            .header(CONTENT_TYPE, "application/json")
            .body(message.to_string());
        for (name, value) in [(SESSION, &self.session), (VERSION, &self.version)] {
            if let Some(value) = value.lock().as_deref() {
                request = request.header(name, value);
            }
        }
        let response = request.send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        if let Some(session) = response.headers().get(SESSION)
            && let Ok(session) = session.to_str()
        {
            *self.session.lock() = Some(session.to_owned());
        }
        Ok(response)
    }
}

/// Servers tell errors with a status, too; what they say is worth more than the number.
async fn refused(response: Response) -> McpClientError {
    let status = response.status();
    if status == StatusCode::NOT_FOUND {
        return McpClientError::Status(status.as_u16());
    }
    let told = whole(response).await.unwrap_or_default();
    let message = told["error"]["message"].as_str().or(told["error"].as_str());
    match message {
        Some(message) => McpClientError::Server {
            code: told["error"]["code"].as_i64().unwrap_or_default(),
            message: format!("{message} (status {})", status.as_u16()),
        },
        None => McpClientError::Status(status.as_u16()),
    }
}

async fn whole(response: Response) -> Result<Json, McpClientError> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        extend(&mut body, &chunk.map_err(unreachable)?)?;
    }
    serde_json::from_slice(&body).map_err(|error| McpClientError::Protocol(error.to_string()))
}

/// The answer to a request among the events of a stream.
async fn from_events(response: Response, id: u64) -> Result<Json, McpClientError> {
    let mut buffer = Vec::new();
    let mut data = String::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        extend(&mut buffer, &chunk.map_err(unreachable)?)?;
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(part) = line.strip_prefix("data:") {
                data.push_str(part.strip_prefix(' ').unwrap_or(part));
                if data.len() > MAX_BYTES {
                    return Err(McpClientError::TooLong);
                }
            } else if line.is_empty() {
                let message = std::mem::take(&mut data);
                match serde_json::from_str::<Json>(&message) {
                    Ok(message) if message["id"] == id => return Ok(message),
                    // Notices, and requests that we do not serve.
                    _ => {}
                }
            }
        }
    }
    Err(McpClientError::Protocol(
        "the stream ended without the answer".into(),
    ))
}

fn extend(body: &mut Vec<u8>, chunk: &[u8]) -> Result<(), McpClientError> {
    if body.len() + chunk.len() > MAX_BYTES {
        return Err(McpClientError::TooLong);
    }
    body.extend_from_slice(chunk);
    Ok(())
}

/// The innermost cause says what happened; the outer ones repeat the address, which may hold keys.
fn unreachable(error: reqwest::Error) -> McpClientError {
    if error.is_timeout() {
        return McpClientError::Unreachable("the server took too long".into());
    }
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    McpClientError::Unreachable(cause.to_string())
}
