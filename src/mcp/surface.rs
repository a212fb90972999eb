//! What of a service is seen over MCP, read from the description that its provider gives.
//!
//! There are three kinds of services: those that speak the protocol's own functions (`list_tools`,
//! `call_tool`, …), those with maps of `tools`, `resources` and `prompts`, and all others, whose
//! functions with a schema become tools and whose texts become resources.

use serde_json::{Value as Json, json};
use thiserror::Error;

use crate::wire::{Map, RemoteFunction, Value};
use crate::workspace::ServiceRecord;

/// Functions that make a service one that speaks the protocol itself.
const NATIVE: [&str; 7] = [
    "list_tools",
    "call_tool",
    "list_prompts",
    "get_prompt",
    "list_resources",
    "list_resource_templates",
    "read_resource",
];
/// Fields that describe the service; their texts are no resources.
const ABOUT: [&str; 9] = [
    "id",
    "name",
    "description",
    "type",
    "config",
    "docs",
    "app_id",
    "service_schema",
    "service_embedding",
];
/// Type of the services that must be one of the first two kinds.
const MCP: &str = "mcp";
/// How deep a service is searched.
const MAX_DEPTH: usize = 16;

/// A service that says it is of type `mcp`, and is not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SurfaceError {
    #[error(
        "Service '{0}' has type='mcp' but does not follow valid MCP structure: it needs protocol \
         functions (list_tools, call_tool, …) or maps named tools, resources or prompts. Leave \
         out the type and all functions with a schema become tools"
    )]
    Structure(String),
    #[error(
        "Tool function '{0}' must be a @schema_function decorated function: without a schema \
         nobody knows its arguments"
    )]
    ToolSchema(String),
    #[error("{kind} '{name}' must have a 'read' key with a @schema_function decorated function")]
    Read { kind: &'static str, name: String },
}

/// A function of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Where its provider wants it called.
    pub remote: RemoteFunction,
    /// Dotted path in the service.
    pub path: String,
    schema: Option<Json>,
}

impl Function {
    fn read(value: &Value, path: &str, record: &ServiceRecord) -> Option<Self> {
        let map = value.as_map()?;
        if map.get_str("_rtype") != Some("method") {
            return None;
        }
        let mut remote = RemoteFunction::try_from(value).ok()?;
        remote.resolve_target(&record.workspace);
        // The registration has schemas of all functions, but the client library makes those of
        // functions that nobody meant to be called by a machine up.
        let schema = map
            .get("_rschema")
            .filter(|schema| schema.as_map().is_some());
        Some(Function {
            remote,
            path: path.to_owned(),
            schema: schema.map(Value::to_json),
        })
    }

    /// Leaves out the parameter that the client library fills in.
    fn without_context(&mut self) {
        let parameters = self.schema.as_mut().and_then(|it| it.get_mut("parameters"));
        let Some(parameters) = parameters else {
            return;
        };
        if let Some(properties) = parameters
            .get_mut("properties")
            .and_then(Json::as_object_mut)
        {
            properties.remove("context");
        }
        if let Some(required) = parameters.get_mut("required").and_then(Json::as_array_mut) {
            required.retain(|name| name != "context");
        }
    }

    fn description(&self) -> Option<&str> {
        self.schema.as_ref()?.get("description")?.as_str()
    }

    /// The schema of its arguments. Clients demand an object.
    fn parameters(&self) -> Json {
        let given = self
            .schema
            .as_ref()
            .and_then(|schema| schema.get("parameters"));
        let mut parameters = match given {
            Some(given) if given.is_object() => given.clone(),
            _ => json!({}),
        };
        if parameters["type"] != "object" {
            parameters["type"] = "object".into();
        }
        if !parameters["properties"].is_object() {
            parameters["properties"] = json!({});
        }
        parameters
    }
}

/// A function that clients call by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    pub function: Function,
}

impl Tool {
    pub fn to_json(&self) -> Json {
        let description = self.function.description().map(str::to_owned);
        json!({
            "name": self.name,
            "description": description.unwrap_or_else(|| format!("Function {}", self.name)),
            "inputSchema": self.function.parameters(),
        })
    }
}

/// Where the content of a resource comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Text(String),
    Read(Function),
}

/// Something that clients read by its URI.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub uri: String,
    pub name: String,
    pub description: String,
    pub mime: String,
    pub content: Content,
}

impl Resource {
    pub fn to_json(&self) -> Json {
        json!({
            "uri": self.uri,
            "name": self.name,
            "description": self.description,
            "mimeType": self.mime,
        })
    }
}

/// A text with gaps that a function fills.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Its key in the service.
    pub key: String,
    pub name: String,
    pub description: String,
    pub function: Function,
}

impl Prompt {
    pub fn to_json(&self) -> Json {
        let parameters = self.function.parameters();
        let required = parameters["required"].as_array().cloned();
        let required = required.unwrap_or_default();
        let properties = parameters["properties"].as_object().cloned();
        let arguments: Vec<Json> = properties
            .unwrap_or_default()
            .iter()
            .map(|(name, property)| {
                json!({
                    "name": name,
                    "description": property["description"].as_str().unwrap_or_default(),
                    "required": required.iter().any(|needed| needed == name),
                })
            })
            .collect();
        json!({ "name": self.name, "description": self.description, "arguments": arguments })
    }
}

/// Which of the three kinds a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Native,
    Inline,
    Wrapped,
}

/// See the module's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Surface {
    pub style: Style,
    pub tools: Vec<Tool>,
    pub resources: Vec<Resource>,
    pub prompts: Vec<Prompt>,
    /// Functions that are no tools for want of a schema.
    pub excluded: Vec<String>,
    native: Vec<(String, Function)>,
}

impl Surface {
    /// Reads the description of a service.
    ///
    /// # Errors
    /// The service claims the type `mcp` and has not its form.
    pub fn of(service: &Map, record: &ServiceRecord) -> Result<Self, SurfaceError> {
        let mut surface = Surface {
            style: Style::Wrapped,
            tools: Vec::new(),
            resources: Vec::new(),
            prompts: Vec::new(),
            excluded: Vec::new(),
            native: Vec::new(),
        };
        for name in NATIVE {
            let function = service
                .get(name)
                .and_then(|value| Function::read(value, name, record));
            surface
                .native
                .extend(function.map(|function| (name.to_owned(), function)));
        }
        let part = |name: &str| {
            let map = service.get(name).and_then(Value::as_map);
            map.filter(|map| !map.is_empty() && map.get_str("_rtype").is_none())
        };
        let parts = ["tools", "resources", "prompts"].map(part);
        let strict = record.kind == MCP;
        if !surface.native.is_empty() {
            surface.style = Style::Native;
        } else if parts.iter().any(Option::is_some) {
            surface.style = Style::Inline;
            let [tools, resources, prompts] = parts.map(|part| part.cloned().unwrap_or_default());
            surface.read_tools(&tools, record, strict)?;
            surface.read_resources(&resources, record)?;
            surface.read_prompts(&prompts, record)?;
        } else if strict {
            return Err(SurfaceError::Structure(record.id()));
        } else {
            surface.wrap(service, record);
        }
        let config = service.get("config");
        if config
            .and_then(|it| it.get("require_context"))
            .is_some_and(Value::truthy)
        {
            surface.functions().for_each(Function::without_context);
        }
        Ok(surface)
    }

    /// A function of a service that speaks the protocol.
    pub fn native(&self, name: &str) -> Option<&Function> {
        let mut known = self.native.iter();
        Some(&known.find(|(known, _)| known == name)?.1)
    }

    pub fn has_tools(&self) -> bool {
        !self.tools.is_empty() || self.native("list_tools").is_some()
    }

    pub fn has_resources(&self) -> bool {
        let native = ["list_resources", "list_resource_templates", "read_resource"];
        !self.resources.is_empty() || native.iter().any(|name| self.native(name).is_some())
    }

    pub fn has_prompts(&self) -> bool {
        !self.prompts.is_empty() || self.native("list_prompts").is_some()
    }

    /// All functions whose arguments clients are told.
    fn functions(&mut self) -> impl Iterator<Item = &mut Function> {
        let tools = self.tools.iter_mut().map(|tool| &mut tool.function);
        tools.chain(self.prompts.iter_mut().map(|prompt| &mut prompt.function))
    }

    fn read_tools(
        &mut self,
        tools: &Map,
        record: &ServiceRecord,
        strict: bool,
    ) -> Result<(), SurfaceError> {
        for (name, value) in tools.iter() {
            match Function::read(value, &format!("tools.{name}"), record) {
                Some(function) if function.schema.is_some() => self.tools.push(Tool {
                    name: name.to_owned(),
                    function,
                }),
                _ if strict => return Err(SurfaceError::ToolSchema(name.to_owned())),
                _ => self.excluded.push(name.to_owned()),
            }
        }
        Ok(())
    }

    fn read_resources(
        &mut self,
        resources: &Map,
        record: &ServiceRecord,
    ) -> Result<(), SurfaceError> {
        for (key, value) in resources.iter() {
            let function = reader("Resource", "resources", key, value, record)?;
            let text = |field: &str| value.get(field).and_then(Value::as_str);
            self.resources.push(Resource {
                uri: text("uri").unwrap_or(key).to_owned(),
                name: text("name").unwrap_or(key).to_owned(),
                description: text("description").unwrap_or_default().to_owned(),
                mime: text("mime_type").unwrap_or("text/plain").to_owned(),
                content: Content::Read(function),
            });
        }
        Ok(())
    }

    fn read_prompts(&mut self, prompts: &Map, record: &ServiceRecord) -> Result<(), SurfaceError> {
        for (key, value) in prompts.iter() {
            let function = reader("Prompt", "prompts", key, value, record)?;
            let text = |field: &str| value.get(field).and_then(Value::as_str);
            self.prompts.push(Prompt {
                key: key.to_owned(),
                name: text("name").unwrap_or(key).to_owned(),
                description: text("description").unwrap_or_default().to_owned(),
                function,
            });
        }
        Ok(())
    }

    fn wrap(&mut self, service: &Map, record: &ServiceRecord) {
        let mut texts = Vec::new();
        for (key, value) in service.iter().filter(|(key, _)| !key.starts_with('_')) {
            self.collect_tools(value, &[key.to_owned()], record);
            if !ABOUT.contains(&key) {
                collect_texts(value, key, 0, &mut texts);
            }
        }
        let title = service.get_str("name").unwrap_or(&record.name).to_owned();
        for (path, text) in texts {
            self.resources.push(Resource {
                uri: format!("resource://{path}"),
                name: titled(&path),
                description: format!("The text at {path} in service '{title}'"),
                mime: "text/plain".into(),
                content: Content::Text(text),
            });
        }
        if let Some(docs) = service.get_str("docs").filter(|docs| !docs.is_empty()) {
            self.resources.push(Resource {
                uri: "resource://docs".into(),
                name: format!("Documentation for {title}"),
                description: format!("What service '{title}' says about itself"),
                mime: "text/plain".into(),
                content: Content::Text(docs.to_owned()),
            });
        }
    }

    fn collect_tools(&mut self, value: &Value, steps: &[String], record: &ServiceRecord) {
        if steps.len() > MAX_DEPTH {
            return;
        }
        let mut inside = |step: String, value: &Value| {
            let steps = [steps, &[step]].concat();
            self.collect_tools(value, &steps, record);
        };
        match value {
            Value::Map(map) if map.get_str("_rtype").is_some() => {
                let name = steps.join("_");
                match Function::read(value, &steps.join("."), record) {
                    Some(function) if function.schema.is_some() => {
                        self.tools.push(Tool { name, function });
                    }
                    Some(_) => self.excluded.push(name),
                    None => {}
                }
            }
            Value::Map(map) => map
                .iter()
                .filter(|(key, _)| !key.starts_with('_'))
                .for_each(|(key, value)| inside(key.to_owned(), value)),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(at, value)| inside(at.to_string(), value)),
            _ => {}
        }
    }
}

/// The function of a resource or prompt.
fn reader(
    kind: &'static str,
    part: &str,
    key: &str,
    value: &Value,
    record: &ServiceRecord,
) -> Result<Function, SurfaceError> {
    value
        .get("read")
        .and_then(|read| Function::read(read, &format!("{part}.{key}.read"), record))
        .filter(|function| function.schema.is_some())
        .ok_or_else(|| SurfaceError::Read {
            kind,
            name: key.to_owned(),
        })
}

/// Texts in a value, with their paths.
fn collect_texts(value: &Value, path: &str, depth: usize, texts: &mut Vec<(String, String)>) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Str(text) => texts.push((path.to_owned(), text.clone())),
        Value::Map(map) if map.get_str("_rtype").is_none() => {
            for (key, value) in map.iter() {
                if !key.starts_with('_') && !ABOUT.contains(&key) {
                    collect_texts(value, &format!("{path}/{key}"), depth + 1, texts);
                }
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                collect_texts(value, &format!("{path}/{at}"), depth + 1, texts);
            }
        }
        _ => {}
    }
}

/// `settings/feature_flags` as `Settings Feature Flags`.
fn titled(path: &str) -> String {
    let words = path.split(['/', '_']).filter(|word| !word.is_empty());
    let words = words.map(|word| {
        let mut letters = word.chars();
        let first = letters
            .next()
            .map(|letter| letter.to_uppercase().to_string());
        first.unwrap_or_default() + letters.as_str()
    });
    words.collect::<Vec<_>>().join(" ")
}
