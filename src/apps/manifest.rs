//! The manifest of an app: an open map in which the server knows some fields and keeps all the others.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::startup::{StartupConfig, StartupError};
use crate::workspace::{SelectionError, SelectionMode};

/// Fields filled by the server, never by who installs.
const SERVER_FIELDS: [&str; 2] = ["services", "service_ids"];

/// Fields every committed manifest has, in the order clients see them.
const FIELDS: [(&str, Kind); 37] = [
    ("type", Kind::Text),
    ("format_version", Kind::Text),
    ("name", Kind::Text),
    ("id", Kind::Text),
    ("description", Kind::Text),
    ("tags", Kind::List),
    ("documentation", Kind::Text),
    ("covers", Kind::List),
    ("badges", Kind::List),
    ("authors", Kind::List),
    ("attachments", Kind::Any),
    ("files", Kind::List),
    ("config", Kind::Object),
    ("version", Kind::Text),
    ("links", Kind::Any),
    ("maintainers", Kind::List),
    ("license", Kind::Text),
    ("git_repo", Kind::Text),
    ("source", Kind::Text),
    ("passive", Kind::Flag),
    ("dependencies", Kind::List),
    ("requirements", Kind::List),
    ("api_version", Kind::Text),
    ("icon", Kind::Text),
    ("env", Kind::Any),
    ("entry_point", Kind::Text),
    ("daemon", Kind::Flag),
    ("singleton", Kind::Flag),
    ("worker_managed", Kind::Flag),
    ("services", Kind::List),
    ("startup_config", Kind::Object),
    ("service_selection_mode", Kind::Text),
    ("startup_context", Kind::Object),
    ("source_hash", Kind::Text),
    ("autoscaling", Kind::Object),
    ("server_url", Kind::Text),
    ("service_ids", Kind::List),
];

/// What a field may hold besides null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    List,
    Object,
    Flag,
    Any,
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
            Self::Flag => value.is_boolean(),
            Self::Any => true,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::List => "a list",
            Self::Object => "a dict",
            Self::Flag => "a boolean",
            Self::Any => "anything",
        }
    }
}

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ManifestError {
    #[error(
        "Cannot specify both 'config' and 'manifest' parameters, 'config' is the old name of 'manifest'"
    )]
    Both,
    #[error("Services and service_ids fields are not allowed in the app manifest.")]
    ServerFields,
    #[error("Application type should not be application or None")]
    Type,
    #[error("Invalid application manifest: field '{field}' must be {expected}")]
    Field {
        field: &'static str,
        expected: &'static str,
    },
    #[error("Invalid application manifest: {0}")]
    Selection(#[from] SelectionError),
    #[error("Invalid application manifest: {0}")]
    Startup(#[from] StartupError),
}

impl ManifestError {
    /// Exception class under which clients see this error.
    pub fn class(&self) -> &'static str {
        "ValueError"
    }
}

/// The one manifest of the two parameters that may carry it.
pub fn given_manifest(
    manifest: Option<Map<String, Value>>,
    config: Option<Map<String, Value>>,
) -> Result<Option<Map<String, Value>>, ManifestError> {
    match (manifest, config) {
        (Some(_), Some(_)) => Err(ManifestError::Both),
        (manifest, config) => Ok(manifest.or(config)),
    }
}

/// A manifest. Unknown fields, nulls and numbers stay as they were given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest(Map<String, Value>);

impl From<Map<String, Value>> for Manifest {
    fn from(fields: Map<String, Value>) -> Self {
        Self(fields)
    }
}

impl Manifest {
    /// Takes a manifest from outside, after source and compiler had their say, and checks it.
    pub fn checked(fields: Map<String, Value>) -> Result<Self, ManifestError> {
        let mut fields = fields;
        let given =
            |value: &Value| !(value.is_null() || value.as_array().is_some_and(Vec::is_empty));
        if SERVER_FIELDS
            .iter()
            .any(|key| fields.get(*key).is_some_and(given))
        {
            return Err(ManifestError::ServerFields);
        }
        // An unquoted version in YAML is a number; its text is what was meant.
        if let Some(Value::Number(number)) = fields.get("version") {
            let text = number.to_string();
            fields.insert("version".to_owned(), text.into());
        }
        let manifest = Self(fields);
        if matches!(manifest.app_type(), None | Some("" | "application")) {
            return Err(ManifestError::Type);
        }
        for (field, kind) in FIELDS {
            let value = manifest.0.get(field);
            if !value.is_none_or(|value| value.is_null() || kind.fits(value)) {
                let expected = kind.name();
                return Err(ManifestError::Field { field, expected });
            }
        }
        manifest.selection_mode()?;
        manifest.startup_config()?;
        Ok(manifest)
    }

    /// The committed form: every known field present, defaults filled, extra fields behind.
    ///
    /// `server_url` is left out unless a compiler has set it.
    pub fn committed(&self) -> Self {
        let mut full = Map::new();
        for (field, _) in FIELDS {
            match self.0.get(field) {
                Some(value) => full.insert(field.to_owned(), value.clone()),
                None if field == "server_url" => None,
                None => full.insert(field.to_owned(), default_of(field)),
            };
        }
        for (key, value) in &self.0 {
            if !full.contains_key(key) {
                full.insert(key.clone(), value.clone());
            }
        }
        Self(full)
    }

    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    pub fn into_fields(self) -> Map<String, Value> {
        self.0
    }

    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    pub fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.0.insert(field.to_owned(), value.into());
    }

    /// Puts the fields of `changes` over the own ones, one level deep.
    pub fn merge(&mut self, changes: Map<String, Value>) {
        self.0.extend(changes);
    }

    pub fn app_type(&self) -> Option<&str> {
        self.text("type")
    }

    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    pub fn entry_point(&self) -> Option<&str> {
        self.text("entry_point")
    }

    pub fn source_hash(&self) -> Option<&str> {
        self.text("source_hash")
    }

    /// Started with its workspace, kept when its client goes.
    pub fn daemon(&self) -> bool {
        self.flag("daemon")
    }

    /// At most one session, whatever else is asked.
    pub fn singleton(&self) -> bool {
        self.flag("singleton")
    }

    /// The worker, not the client connection, decides when a session ends.
    pub fn worker_managed(&self) -> bool {
        self.flag("worker_managed")
    }

    /// Needs no service to count as started, unless a start says otherwise.
    pub fn detached(&self) -> bool {
        self.flag("detached")
    }

    pub fn autoscaling_enabled(&self) -> bool {
        let field = self.0.get("autoscaling").and_then(|a| a.get("enabled"));
        field.and_then(Value::as_bool).unwrap_or(false)
    }

    /// Default mode of `name@app` lookups.
    ///
    /// Exact lookups fail as soon as two instances run, so an autoscaled app spreads its load.
    pub fn selection_mode(&self) -> Result<Option<SelectionMode>, SelectionError> {
        match self
            .text("service_selection_mode")
            .filter(|m| !m.is_empty())
        {
            Some(mode) => mode.parse().map(Some),
            None if self.autoscaling_enabled() => Ok(Some(SelectionMode::MinLoad)),
            None => Ok(None),
        }
    }

    pub fn startup_config(&self) -> Result<StartupConfig, StartupError> {
        match self.0.get("startup_config") {
            Some(Value::Object(fields)) => StartupConfig::read(fields),
            _ => Ok(StartupConfig::default()),
        }
    }

    /// Who starts the app when nobody in particular does: `{ws, user}` stored by the install.
    pub fn startup_context(&self) -> Option<&Map<String, Value>> {
        self.0.get("startup_context").and_then(Value::as_object)
    }

    /// Infos of the services the app offered when it was last tested.
    pub fn services(&self) -> &[Value] {
        let list = self.0.get("services").and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
    }

    /// The manifest service of that name, `ws/*:name`, if there is one.
    pub fn service(&self, name: &str) -> Option<&Value> {
        self.services().iter().find(|info| {
            let id = info.get("id").and_then(Value::as_str);
            id.is_some_and(|id| id.rsplit(':').next() == Some(name))
        })
    }

    /// Records the services and their ids; false when nothing changed.
    pub fn set_services(&mut self, services: Vec<Value>) -> bool {
        let id_of = |info: &Value| info.get("id").cloned();
        let ids = Value::Array(services.iter().filter_map(id_of).collect());
        let services = Value::Array(services);
        if self.0.get("services") == Some(&services) && self.0.get("service_ids") == Some(&ids) {
            return false;
        }
        self.set("services", services);
        self.set("service_ids", ids);
        true
    }

    /// Drops what must not leave the workspace with a published copy.
    pub fn without_secrets(mut self) -> Self {
        self.0.remove("startup_context");
        if let Some(Value::Object(config)) = self.0.get_mut("config") {
            config.remove("secrets");
        }
        self
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    fn flag(&self, field: &str) -> bool {
        self.0.get(field).and_then(Value::as_bool).unwrap_or(false)
    }
}

fn default_of(field: &str) -> Value {
    match field {
        "format_version" => json!("0.2.1"),
        "version" | "api_version" => json!("0.1.0"),
        "passive" | "daemon" | "singleton" | "worker_managed" => json!(false),
        "dependencies" | "requirements" | "services" | "service_ids" => json!([]),
        _ => Value::Null,
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
