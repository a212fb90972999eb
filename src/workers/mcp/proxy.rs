//! One MCP server elsewhere as a service: its tools, resources and prompts become functions.

use std::sync::Arc;

use futures::FutureExt;
use serde_json::{Map as JsonMap, Value as Json, json};

use crate::client::{Handler, OfferedFunction, Offering};
use crate::map;
use crate::mcp::{McpClient, McpClientError};
use crate::wire::{Map, Value};

/// An entry of `mcpServers` in a manifest.
pub struct ServerEntry {
    pub name: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// Who may use the service; everybody, unless the manifest says otherwise.
    pub visibility: String,
}

impl ServerEntry {
    /// Reads an entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(name: &str, entry: &Json) -> Result<Self, String> {
        let kind = entry["type"].as_str().unwrap_or("streamable-http");
        if kind != "streamable-http" {
            return Err(format!(
                "Unsupported MCP server type: {kind}; this server speaks streamable-http"
            ));
        }
        let url = entry["url"].as_str().filter(|url| !url.is_empty());
        let headers = entry["headers"].as_object().cloned().unwrap_or_default();
        Ok(ServerEntry {
            name: name.to_owned(),
            url: url
                .ok_or_else(|| format!("Missing URL for MCP server: {name}"))?
                .to_owned(),
            headers: headers
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
                .collect(),
            visibility: entry["visibility"].as_str().unwrap_or("public").to_owned(),
        })
    }
}

/// Connects to a server and describes it as a service of `app`.
///
/// # Errors
/// See [`McpClientError`].
pub async fn discover(entry: &ServerEntry, app: &str) -> Result<Offering, McpClientError> {
    let client = Arc::new(McpClient::connect(&entry.url, &entry.headers).await?);
    let mut functions = Vec::new();
    let tools = client.list("tools/list", "tools").await?;
    functions.extend(tools.iter().filter_map(|told| tool(&client, told)));
    let mut resources = Map::new();
    for told in client.list("resources/list", "resources").await? {
        if let Some((uri, about, function)) = resource(&client, &told) {
            resources.insert(uri, about);
            functions.push(function);
        }
    }
    let mut prompts = Map::new();
    for told in client.list("prompts/list", "prompts").await? {
        if let Some((name, about, function)) = prompt(&client, &told) {
            prompts.insert(name, about);
            functions.push(function);
        }
    }
    Ok(Offering {
        id: entry.name.clone(),
        fields: map! {
            "name" => format!("MCP Server for {}", entry.name),
            "description" => format!("Tools, resources and prompts of the MCP server {}", entry.name),
            "type" => "mcp",
            "config" => map! { "visibility" => entry.visibility.as_str() },
            "app_id" => app,
            "tools" => Map::new(),
            "resources" => resources,
            "prompts" => prompts,
        },
        functions,
    })
}

fn handler<F, Fut>(run: F) -> Handler
where
    F: Fn(Vec<Value>, Map) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value, String>> + Send + 'static,
{
    Arc::new(move |args, kwargs| run(args, kwargs).boxed())
}

fn text<'a>(told: &'a Json, key: &str) -> &'a str {
    told[key].as_str().unwrap_or_default()
}

/// Positional arguments by the names that the schema has for them.
fn arguments(args: Vec<Value>, mut kwargs: Map, schema: &Json) -> Json {
    let names = schema["properties"].as_object().map(JsonMap::keys);
    for (name, value) in names.into_iter().flatten().zip(args) {
        if !kwargs.contains_key(name) {
            kwargs.insert(name.as_str(), value);
        }
    }
    Value::Map(kwargs).to_json()
}

fn told(error: McpClientError) -> String {
    format!("Exception: {error}")
}

fn tool(client: &Arc<McpClient>, told_of: &Json) -> Option<OfferedFunction> {
    let name = told_of["name"].as_str()?.to_owned();
    let schema = told_of["inputSchema"].clone();
    let (client, called, input) = (client.clone(), name.clone(), schema.clone());
    Some(OfferedFunction {
        path: vec!["tools".into(), name.clone()],
        schema: json!({
            "name": name,
            "description": text(told_of, "description"),
            "parameters": schema,
        }),
        handler: handler(move |args, kwargs| {
            let params = json!({ "name": called, "arguments": arguments(args, kwargs, &input) });
            let client = client.clone();
            async move {
                let result = client.request("tools/call", &params).await.map_err(told)?;
                outcome(&result)
            }
        }),
    })
}

/// What a tool returned: texts that are JSON or numbers become what they say, as in the reference.
fn outcome(result: &Json) -> Result<Value, String> {
    let blocks = result["content"].as_array().cloned().unwrap_or_default();
    if result["isError"] == true {
        let texts: Vec<&str> = blocks.iter().map(|block| text(block, "text")).collect();
        return Err(format!("Exception: {}", texts.join("\n")));
    }
    let mut values = blocks.into_iter().map(value);
    Ok(match (values.next(), values.next()) {
        (None, _) => Value::from_json(result["structuredContent"].clone()),
        (Some(only), None) => only,
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(values);
            Value::Array(all.collect())
        }
    })
}

fn value(block: Json) -> Value {
    let Some(text) = block["text"].as_str().filter(|_| block["type"] == "text") else {
        return Value::from_json(block);
    };
    match text {
        "True" => return true.into(),
        "False" => return false.into(),
        "None" => return Value::Nil,
        _ => {}
    }
    match serde_json::from_str(text) {
        Ok(parsed) => Value::from_json(parsed),
        Err(_) => text.into(),
    }
}

/// A function that reads something, as a schema without parameters.
fn reading(description: &str) -> Json {
    json!({
        "name": "read",
        "description": description,
        "parameters": { "type": "object", "properties": {}, "required": [] },
    })
}

fn resource(client: &Arc<McpClient>, told_of: &Json) -> Option<(String, Map, OfferedFunction)> {
    let uri = told_of["uri"].as_str()?.to_owned();
    let about = map! {
        "uri" => uri.as_str(),
        "name" => text(told_of, "name"),
        "description" => text(told_of, "description"),
        "mime_type" => told_of["mimeType"].as_str().unwrap_or("text/plain"),
    };
    let (client, read) = (client.clone(), uri.clone());
    let function = OfferedFunction {
        path: vec!["resources".into(), uri.clone(), "read".into()],
        schema: reading(text(told_of, "description")),
        handler: handler(move |_, _| {
            let (client, params) = (client.clone(), json!({ "uri": read }));
            async move {
                let result = client.request("resources/read", &params).await;
                let result = result.map_err(told)?;
                let contents = result["contents"].as_array().cloned().unwrap_or_default();
                Ok(match contents.as_slice() {
                    [only] if only["text"].is_string() => text(only, "text").into(),
                    _ => Value::Map(map! { "contents" => Value::from_json(contents.into()) }),
                })
            }
        }),
    };
    Some((uri, about, function))
}

fn prompt(client: &Arc<McpClient>, told_of: &Json) -> Option<(String, Map, OfferedFunction)> {
    let name = told_of["name"].as_str()?.to_owned();
    let about = map! {
        "name" => name.as_str(),
        "description" => text(told_of, "description"),
    };
    let given = told_of["arguments"].as_array().cloned().unwrap_or_default();
    let properties: JsonMap<String, Json> = given
        .iter()
        .map(|argument| {
            let property = json!({
                "type": "string",
                "description": text(argument, "description"),
            });
            (text(argument, "name").to_owned(), property)
        })
        .collect();
    let required: Vec<&str> = given
        .iter()
        .filter(|argument| argument["required"] == true)
        .map(|argument| text(argument, "name"))
        .collect();
    let schema = json!({
        "name": "read",
        "description": text(told_of, "description"),
        "parameters": { "type": "object", "properties": properties, "required": required },
    });
    let (client, asked, input) = (client.clone(), name.clone(), schema["parameters"].clone());
    let function = OfferedFunction {
        path: vec!["prompts".into(), name.clone(), "read".into()],
        schema,
        handler: handler(move |args, kwargs| {
            let params = json!({ "name": asked, "arguments": arguments(args, kwargs, &input) });
            let client = client.clone();
            async move {
                let result = client.request("prompts/get", &params).await.map_err(told)?;
                Ok(Value::from_json(result))
            }
        }),
    };
    Some((name, about, function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_manifests() {
        let read = |entry: Json| ServerEntry::read("a", &entry);
        let entry = json!({ "url": "http://x", "headers": { "X-Key": "k" } });
        let entry = read(entry).unwrap();
        assert_eq!(entry.headers, [("X-Key".to_owned(), "k".to_owned())]);
        assert_eq!(entry.visibility, "public");
        for wrong in [json!({}), json!({ "url": "http://x", "type": "websocket" })] {
            assert!(read(wrong).is_err());
        }
    }

    #[test]
    fn texts_of_tools_become_what_they_say() {
        let of = |texts: &[&str]| {
            let blocks: Vec<Json> = texts
                .iter()
                .map(|text| json!({ "type": "text", "text": text }))
                .collect();
            outcome(&json!({ "content": blocks })).unwrap()
        };
        assert_eq!(of(&["5"]), Value::from(5));
        assert_eq!(of(&["True"]), Value::from(true));
        assert_eq!(of(&["a b"]), Value::from("a b"));
        assert_eq!(
            of(&["1", "x"]),
            Value::from(vec![Value::from(1), "x".into()])
        );
        assert_eq!(of(&[]), Value::Nil);
        let failed = json!({ "content": [{ "type": "text", "text": "no" }], "isError": true });
        assert_eq!(outcome(&failed), Err("Exception: no".to_owned()));
    }
}
