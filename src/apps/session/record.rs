//! What is told and kept of a session: its record, where it stands, and what happened to it.

use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use crate::apps::history::{HistoryEntry, SessionHistory};
use crate::apps::lifecycle::SessionState;
use crate::map;
use crate::wire::{Map, Value};
use crate::workspace::iso_time::format_iso;

/// A session as it is stored, and told after it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    pub workspace: String,
    pub client: String,
    pub app: String,
    /// Label of the version that ran.
    pub version: String,
    /// The record of its start, without the services.
    pub fields: JsonMap<String, Json>,
    pub worker: Option<String>,
    /// Id of the user whose rights it had.
    pub user: String,
    pub history: SessionHistory,
}

impl SessionRecord {
    /// `workspace/client_id`
    pub fn id(&self) -> String {
        format!("{}/{}", self.workspace, self.client)
    }

    pub fn state(&self) -> SessionState {
        self.history.state().unwrap_or(SessionState::Failed)
    }

    /// The record with status, times, restarts and history.
    pub fn info(&self) -> Map {
        let Value::Map(record) = Value::from_json(Json::Object(self.fields.clone())) else {
            return Map::new();
        };
        self.told(record)
    }

    /// Adds what is known beyond the record of the start.
    pub fn told(&self, mut info: Map) -> Map {
        let history = &self.history;
        let time = |at: Option<f64>| at.map(format_iso);
        info.insert("status", self.state().status());
        info.insert("worker_id", self.worker.clone());
        info.insert("created_at", time(history.created_at()));
        info.insert("updated_at", time(history.updated_at()));
        info.insert("restarts", i64::from(history.restarts));
        info.insert("last_error", history.last_error.clone());
        info.insert("app_version", self.version.as_str());
        let crashes: Vec<Value> = history.crashes().map(crash_map).collect();
        info.insert("history", crashes);
        let states: Vec<Value> = history.entries.iter().map(state_map).collect();
        info.insert("states", states);
        let lines = history.last_logs.iter();
        let logs: Vec<Value> = lines.map(|line| line.content.as_str().into()).collect();
        info.insert("last_logs", logs);
        info.insert("user", map! { "id" => self.user.as_str() });
        info
    }
}

fn state_map(entry: &HistoryEntry) -> Value {
    Value::Map(map! {
        "status" => entry.state.status(),
        "state" => format!("{:?}", entry.state).to_lowercase(),
        "at" => format_iso(entry.at),
        "cause" => entry.cause.clone(),
    })
}

fn crash_map(entry: &HistoryEntry) -> Value {
    Value::Map(map! { "at" => format_iso(entry.at), "cause" => entry.cause.clone() })
}
