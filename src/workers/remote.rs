//! A worker that some client registered, called over RPC (server-apps.md 4.3).
//!
//! The calls come from the workspace manager, whose address the client libraries let through to
//! protected services of any workspace, and never carry a `context` keyword: workers that want
//! one get it injected by their own library.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map as JsonMap, Value as Json};

use super::contract::{LogQuery, Notices, Picture, StartOrder, Started, Worker, WorkerInfo};
use crate::apps::files::{AppFile, normalise_files};
use crate::identity::UserInfo;
use crate::map;
use crate::peer::{CallOptions, Callback, ErrorClass, Peer, ServiceError};
use crate::wire::{Map, Value};
use crate::workspace::ServiceRecord;

/// Seconds for calls that should be quick; heartbeats of the worker extend them.
const CALL_S: u64 = 30;

/// Functions that act on sessions; they are called by the server for a purpose, never as a
/// question.
const CONTRACT: [&str; 7] = [
    "compile",
    "start",
    "stop",
    "close_all",
    "get_logs",
    "take_screenshot",
    "execute",
];

/// See the module's text.
pub struct RemoteWorker {
    peer: Arc<Peer>,
    info: WorkerInfo,
    /// `workspace/client`
    address: String,
    service: String,
    functions: Vec<String>,
    /// A URL of its own to reach the server by, where it has one.
    server_url: Option<String>,
}

impl RemoteWorker {
    /// Asks a freshly registered service what it can do: its types are on the service object,
    /// not in its registration.
    ///
    /// # Errors
    /// It does not answer, or offers no `start`.
    pub async fn discover(peer: Arc<Peer>, record: &ServiceRecord) -> Result<Self, ServiceError> {
        let described = peer
            .call(&record.address(), "services.built-in.get_service")
            .options(CallOptions {
                ws: Some(record.workspace.clone()),
                ..CallOptions::default()
            })
            .arg(record.name.as_str())
            .send()
            .await?;
        let text = |key: &str| {
            described
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let supported_types = described
            .get("supported_types")
            .and_then(Value::as_array)
            .map(|types| {
                types
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default();
        let functions: Vec<String> = described
            .as_map()
            .into_iter()
            .flat_map(Map::iter)
            .filter(|(_, value)| value.get("_rtype").and_then(Value::as_str) == Some("method"))
            .map(|(name, _)| name.to_owned())
            .collect();
        if !functions.iter().any(|name| name == "start") {
            return Err(ServiceError::value(format!(
                "the worker {} has no `start` function",
                record.id()
            )));
        }
        let server_url = match described.get("use_local_url") {
            Some(Value::Str(url)) => Some(url.clone()),
            _ => None,
        };
        Ok(RemoteWorker {
            info: WorkerInfo {
                id: record.id(),
                name: text("name"),
                description: text("description"),
                supported_types,
                workspace: record.workspace.clone(),
                client: Some(record.address()),
            },
            address: record.address(),
            service: record.name.clone(),
            functions,
            server_url,
            peer,
        })
    }

    fn offers(&self, function: &str) -> bool {
        self.functions.iter().any(|name| name == function)
    }

    fn call(&self, function: &str, options: CallOptions) -> crate::peer::OutgoingCall<'_> {
        let method = format!("services.{}.{function}", self.service);
        self.peer.call(&self.address, &method).options(options)
    }

    fn quick(&self) -> CallOptions {
        CallOptions {
            timeout: Duration::from_secs(CALL_S),
            ..CallOptions::default()
        }
    }

    fn missing(&self, function: &str) -> ServiceError {
        ServiceError::new(
            ErrorClass::Named("NotImplementedError"),
            format!("the worker {} has no `{function}` function", self.info.id),
        )
    }
}

#[async_trait]
impl Worker for RemoteWorker {
    fn info(&self) -> &WorkerInfo {
        &self.info
    }

    async fn compile(
        &self,
        manifest: JsonMap<String, Json>,
        files: Vec<AppFile>,
    ) -> Result<(JsonMap<String, Json>, Vec<AppFile>), ServiceError> {
        if !self.offers("compile") {
            return Ok((manifest, files));
        }
        let sent: Vec<Value> = files.iter().map(encode_file).collect();
        let config = map! {
            "server_url" => self.peer.public_base_url(),
            "public_url" => self.peer.public_base_url(),
        };
        let compiled = self
            .call("compile", self.quick())
            .arg(Value::from_json(Json::Object(manifest)))
            .arg(sent)
            .arg(config)
            .send()
            .await?;
        let wrong = || {
            ServiceError::value(format!(
                "`compile` of the worker {} must return (manifest, files)",
                self.info.id
            ))
        };
        let parts = compiled.as_array().ok_or_else(wrong)?;
        let [manifest, files] = parts else {
            return Err(wrong());
        };
        let Json::Object(manifest) = manifest.to_json() else {
            return Err(wrong());
        };
        let files =
            normalise_files(files).map_err(|error| ServiceError::value(error.to_string()))?;
        Ok((manifest, files))
    }

    async fn start(&self, order: StartOrder, _notices: Notices) -> Result<Started, ServiceError> {
        let mut call = self.call(
            "start",
            CallOptions {
                ws: Some(order.workspace.clone()),
                user: Some(order.user.clone()),
                timeout: Duration::from_secs_f64(order.timeout.max(1.0)),
                ..CallOptions::default()
            },
        );
        let progress = call.callback("progress_callback", order.progress.clone());
        let mut config = order.to_config();
        if let Some(url) = &self.server_url {
            config.insert("server_url", url.as_str());
        }
        config.insert("progress_callback", progress);
        let answer = call.arg(config).send().await?;
        Ok(read_started(&answer, &order.session))
    }

    async fn stop(&self, session: &str) -> Result<(), ServiceError> {
        if !self.offers("stop") {
            return Ok(());
        }
        self.call("stop", self.quick()).arg(session).send().await?;
        Ok(())
    }

    async fn logs(&self, session: &str, query: &LogQuery) -> Result<Value, ServiceError> {
        if !self.offers("get_logs") {
            return Ok(page_of(Vec::new(), query));
        }
        // Only what differs from the defaults is sent, to suit narrow signatures.
        let mut call = self.call("get_logs", self.quick()).arg(session);
        if let Some(kind) = &query.kind {
            call = call.kwarg("type", kind.as_str());
        }
        if query.offset > 0 {
            call = call.kwarg("offset", query.offset);
        }
        if let Some(limit) = query.limit {
            call = call.kwarg("limit", limit);
        }
        let answer = call.send().await?;
        Ok(documented_logs(answer, query))
    }

    async fn execute(
        &self,
        session: &str,
        script: &str,
        config: Value,
        progress: Option<Callback>,
    ) -> Result<Value, ServiceError> {
        if !self.offers("execute") {
            return Err(self.missing("execute"));
        }
        let mut call = self.call("execute", self.quick());
        let progress = progress.map(|callback| call.callback("progress_callback", callback));
        call = call.arg(session).arg(script);
        if !config.is_nil() {
            call = call.kwarg("config", config);
        }
        if let Some(progress) = progress {
            call = call.kwarg("progress_callback", progress);
        }
        Ok(call.send().await?)
    }

    async fn opinion(
        &self,
        function: &str,
        caller: &Arc<UserInfo>,
        within: Duration,
    ) -> Result<Value, ServiceError> {
        if CONTRACT.contains(&function) || !self.offers(function) {
            return Err(self.missing(function));
        }
        let options = CallOptions {
            user: Some(caller.clone()),
            timeout: within,
            ..CallOptions::default()
        };
        Ok(self.call(function, options).send().await?)
    }

    async fn screenshot(&self, session: &str, picture: &Picture) -> Result<Value, ServiceError> {
        if !self.offers("take_screenshot") {
            return Err(self.missing("take_screenshot"));
        }
        let call = self.call("take_screenshot", self.quick());
        let call = call.arg(session).kwarg("format", picture.format.as_str());
        // The reference's workers do not know the other argument.
        match picture.full_page {
            true => Ok(call.kwarg("full_page", true).send().await?),
            false => Ok(call.send().await?),
        }
    }
}

fn encode_file(file: &AppFile) -> Value {
    let (content, format) = match std::str::from_utf8(&file.content) {
        Ok(text) => (Value::from(text), "text"),
        Err(_) => {
            use base64::Engine;
            let encoded = base64::engine::general_purpose::STANDARD.encode(&file.content);
            (Value::from(encoded), "base64")
        }
    };
    Value::Map(map! {
        "path" => file.path.as_str(),
        "name" => file.path.as_str(),
        "content" => content,
        "format" => format,
    })
}

/// A session id, or a map that may tell another id and that the work is done.
fn read_started(answer: &Value, session: &str) -> Started {
    let id = answer
        .as_str()
        .or_else(|| answer.get("session_id").and_then(Value::as_str))
        .filter(|id| *id != session && !id.is_empty());
    let status = answer.get("status").and_then(Value::as_str);
    Started {
        session: id.map(str::to_owned),
        completed: status == Some("completed"),
        running: status == Some("running"),
    }
}

/// Brings the older shapes of logs, a list or a map of lists, into the documented one.
fn documented_logs(answer: Value, query: &LogQuery) -> Value {
    if answer.get("items").is_some() {
        return answer;
    }
    let entry = |kind: &str, content: &Value| {
        Value::Map(map! { "type" => kind, "content" => content.clone() })
    };
    let items = match &answer {
        Value::Array(lines) => lines
            .iter()
            .map(|line| match line {
                Value::Map(_) => line.clone(),
                other => entry("log", other),
            })
            .collect(),
        Value::Map(kinds) => kinds
            .iter()
            .flat_map(|(kind, lines)| {
                let lines = lines
                    .as_array()
                    .map_or_else(|| vec![lines.clone()], <[Value]>::to_vec);
                lines
                    .into_iter()
                    .map(|line| entry(kind, &line))
                    .collect::<Vec<_>>()
            })
            .collect(),
        Value::Nil => Vec::new(),
        other => vec![entry("log", other)],
    };
    page_of(items, query)
}

fn page_of(items: Vec<Value>, query: &LogQuery) -> Value {
    let wanted: Vec<Value> = items
        .into_iter()
        .filter(|item| {
            query
                .kind
                .as_deref()
                .is_none_or(|kind| item.get("type").and_then(Value::as_str) == Some(kind))
        })
        .collect();
    let total = wanted.len();
    let page: Vec<Value> = wanted
        .into_iter()
        .skip(query.offset)
        .take(query.limit.unwrap_or(usize::MAX))
        .collect();
    Value::Map(map! {
        "items" => page,
        "total" => total,
        "offset" => query.offset,
        "limit" => query.limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_start() {
        let started = |answer: Value| read_started(&answer, "ws/c");
        assert_eq!(started("ws/c".into()), Started::default());
        assert_eq!(started("other".into()).session.as_deref(), Some("other"));
        let done = Value::Map(map! { "session_id" => "ws/c", "status" => "completed" });
        assert!(started(done).completed);
        let up = Value::Map(map! { "session_id" => "ws/c", "status" => "running" });
        assert!(started(up).running);
        assert_eq!(started(Value::Nil), Started::default());
    }

    #[test]
    fn older_log_shapes_become_the_documented_one() {
        let query = LogQuery::default();
        let lists = Value::Map(
            map! { "stdout" => vec![Value::from("a")], "error" => vec![Value::from("b")] },
        );
        let logs = documented_logs(lists, &query);
        assert_eq!(logs.get("total").unwrap().as_i64(), Some(2));
        let one = LogQuery {
            kind: Some("error".into()),
            ..query
        };
        let list = Value::Array(vec!["x".into()]);
        assert_eq!(
            documented_logs(list, &one).get("total").unwrap().as_i64(),
            Some(0)
        );
    }
}
