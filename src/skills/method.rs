//! A function of a service as its JSON schema tells it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::stub;

/// A function, ready to be written down.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodDoc {
    /// Name in the service; dots walk into nested objects.
    pub name: String,
    pub doc: String,
    pub params: Vec<ParamDoc>,
    /// The function as Python would declare it; none when its names are not Python's.
    pub signature: Option<String>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParamDoc {
    pub name: String,
    /// Types that fit, as JSON schema calls them.
    pub kind: String,
    pub doc: String,
    pub required: bool,
    /// What it is when not given; none also when that is null.
    pub default: Option<Value>,
    /// The only values that fit, where there are such.
    pub choices: Vec<Value>,
}

impl MethodDoc {
    /// Reads the `function` part of a schema entry. `with_context` says that the server fills in
    /// the parameter `context`, which callers then must not.
    pub fn read(name: &str, function: &Map<String, Value>, with_context: bool) -> Self {
        let parameters = function.get("parameters");
        let required: Vec<&str> = parameters
            .and_then(|parameters| parameters.get("required")?.as_array())
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let properties =
            parameters.and_then(|parameters| parameters.get("properties")?.as_object());
        let params: Vec<ParamDoc> = properties
            .into_iter()
            .flatten()
            .filter(|(name, _)| !(with_context && *name == "context"))
            .map(|(name, schema)| ParamDoc::read(name, schema, required.contains(&name.as_str())))
            .collect();
        MethodDoc {
            name: name.to_owned(),
            doc: text(function.get("description")),
            signature: stub::signature(name, &params),
            params,
        }
    }

    /// Whether there is anything to say about it. Clients register a schema for every function;
    /// that of an undocumented one is empty.
    pub fn is_documented(&self) -> bool {
        !self.doc.is_empty() || !self.params.is_empty()
    }
}

impl ParamDoc {
    fn read(name: &str, schema: &Value, required: bool) -> Self {
        ParamDoc {
            name: name.to_owned(),
            kind: kind_of(schema),
            doc: text(schema.get("description")),
            required,
            default: schema
                .get("default")
                .filter(|value| !value.is_null())
                .cloned(),
            choices: schema
                .get("enum")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
        }
    }
}

fn text(value: Option<&Value>) -> String {
    value
        .and_then(Value::as_str)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The types of a schema in words: `string`, `integer or null`, `any`.
fn kind_of(schema: &Value) -> String {
    let mut kinds: Vec<String> = Vec::new();
    let mut note = |kind: String| {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    };
    match schema.get("type") {
        Some(Value::String(kind)) => note(kind.clone()),
        Some(Value::Array(several)) => {
            several
                .iter()
                .filter_map(Value::as_str)
                .for_each(|kind| note(kind.to_owned()));
        }
        _ => {}
    }
    for alternatives in ["anyOf", "oneOf"] {
        let several = schema.get(alternatives).and_then(Value::as_array);
        several
            .into_iter()
            .flatten()
            .for_each(|one| note(kind_of(one)));
    }
    if kinds.is_empty() {
        return if schema.get("$ref").is_some() {
            "object"
        } else {
            "any"
        }
        .to_owned();
    }
    kinds.join(" or ")
}

/// All functions of a `service_schema`, those of nested objects with dotted names.
pub fn methods_of(schema: &Value, with_context: bool) -> Vec<MethodDoc> {
    let mut found = Vec::new();
    collect(schema, "", with_context, &mut found);
    found
}

/// Services may be nested, but not without end.
const MAX_DEPTH: usize = 8;

fn collect(schema: &Value, prefix: &str, with_context: bool, found: &mut Vec<MethodDoc>) {
    if prefix.matches('.').count() > MAX_DEPTH {
        return;
    }
    for (key, entry) in schema.as_object().into_iter().flatten() {
        let name = format!("{prefix}{key}");
        let is_function = entry.get("type").and_then(Value::as_str) == Some("function");
        match entry.get("function").and_then(Value::as_object) {
            Some(function) if is_function => {
                found.push(MethodDoc::read(&name, function, with_context));
            }
            _ if entry.is_object() => {
                collect(entry, &format!("{name}."), with_context, found);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_of_clients_are_read() {
        let schema = json!({
            "answer": 42,
            "math": { "add": { "type": "function", "function": {
                "name": "add", "description": " Adds. ", "parameters": {
                    "properties": {
                        "a": { "type": "integer", "description": "first" },
                        "b": { "anyOf": [{ "type": "integer" }, { "type": "null" }], "default": 2 },
                        "how": { "enum": ["fast", "slow"], "default": null },
                        "context": { "type": "object" },
                    },
                    "required": ["a", "context"],
                } } } },
            "plain": { "type": "function", "function": { "name": "plain", "description": "",
                "parameters": { "type": "object", "properties": {} } } },
        });
        let methods = methods_of(&schema, true);
        let names: Vec<_> = methods
            .iter()
            .map(|m| (&*m.name, m.is_documented()))
            .collect();
        assert_eq!(names, [("math.add", true), ("plain", false)]);
        let kinds: Vec<_> = methods[0]
            .params
            .iter()
            .map(|p| (&*p.name, &*p.kind, p.required))
            .collect();
        assert_eq!(
            kinds,
            [
                ("a", "integer", true),
                ("b", "integer or null", false),
                ("how", "any", false)
            ]
        );
        assert_eq!(methods[0].doc, "Adds.");
        assert_eq!(methods[0].params[2].choices.len(), 2);
        assert_eq!(methods_of(&schema, false)[0].params.len(), 4);
    }

    #[test]
    fn broken_schemas_say_nothing() {
        for schema in [
            json!(null),
            json!([1]),
            json!({ "f": { "type": "function" } }),
        ] {
            assert!(methods_of(&schema, false).is_empty(), "{schema}");
        }
        let mut deep = json!({});
        for _ in 0..100 {
            deep = json!({ "x": deep });
        }
        assert!(methods_of(&deep, false).is_empty());
    }
}
