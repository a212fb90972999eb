//! Services that a client offers itself.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value as Json;

use crate::map;
use crate::wire::{Map, Value};

/// What runs when somebody calls a function: positional and keyword arguments in, a value or
/// `Class: message` out.
pub type Handler =
    Arc<dyn Fn(Vec<Value>, Map) -> BoxFuture<'static, Result<Value, String>> + Send + Sync>;

/// A function of an offered service.
pub struct OfferedFunction {
    /// Its keys in the service, from the outside in.
    pub path: Vec<String>,
    /// `{name, description, parameters}`
    pub schema: Json,
    pub handler: Handler,
}

/// A service to be offered.
pub struct Offering {
    pub id: String,
    /// All that is no function: `name`, `type`, `description`, `config`, `app_id`, and more.
    pub fields: Map,
    pub functions: Vec<OfferedFunction>,
}

impl Offering {
    /// What the workspace manager is told.
    pub(super) fn registration(&self, address: &str) -> Map {
        let known = ["name", "type", "description", "config", "app_id", "docs"];
        let mut info: Map = self
            .fields
            .iter()
            .filter(|(key, _)| known.contains(key))
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect();
        info.insert("id", format!("{address}:{}", self.id));
        let mut schema = Map::new();
        for function in &self.functions {
            let told = Value::from_json(function.schema.clone());
            let entry = map! { "type" => "function", "function" => told };
            insert(&mut schema, &function.path, entry.into());
        }
        info.insert("service_schema", schema);
        info
    }

    /// What whoever gets the service is told.
    pub(super) fn description(&self, address: &str) -> Map {
        let mut description = self.fields.clone();
        description.insert("id", format!("{address}:{}", self.id));
        for function in &self.functions {
            let schema = Value::from_json(function.schema.clone());
            let method = map! {
                "_rtype" => "method",
                "_rtarget" => address,
                "_rmethod" => format!("services.{}", self.method(function)),
                "_rpromise" => "*",
                "_rname" => function.path.last().map_or("", String::as_str),
                "_rasync" => true,
                "_rdoc" => schema.get("description").cloned().unwrap_or_default(),
                "_rschema" => schema,
            };
            insert(&mut description, &function.path, method.into());
        }
        description
    }

    pub(super) fn handlers(&self) -> HashMap<String, Handler> {
        let functions = self.functions.iter();
        functions
            .map(|function| (self.method(function), function.handler.clone()))
            .collect()
    }

    fn method(&self, function: &OfferedFunction) -> String {
        format!("{}.{}", self.id, function.path.join("."))
    }
}

/// Puts a value at a path, making the maps on the way.
fn insert(map: &mut Map, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            map.insert(last.as_str(), value);
        }
        [first, rest @ ..] => {
            if !map.contains_key(first) {
                map.insert(first.as_str(), Map::new());
            }
            if let Some(Value::Map(inner)) = map.get_mut(first) {
                insert(inner, rest, value);
            }
        }
    }
}

/// The offered services of a connection.
#[derive(Default)]
pub(super) struct Offerings {
    descriptions: HashMap<String, Map>,
    handlers: HashMap<String, Handler>,
}

impl Offerings {
    pub fn add(&mut self, offering: &Offering, address: &str) {
        let description = offering.description(address);
        self.descriptions.insert(offering.id.clone(), description);
        self.handlers.extend(offering.handlers());
    }

    pub fn describe(&self, id: &str) -> Option<Map> {
        self.descriptions.get(id).cloned()
    }

    pub fn handler(&self, method: &str) -> Option<Handler> {
        self.handlers.get(method).cloned()
    }
}
