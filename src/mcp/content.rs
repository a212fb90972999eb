//! Values of services in the forms that MCP knows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Value as Json, json};

use crate::wire::Value;

/// Kinds of content that clients know.
const KINDS: [&str; 5] = ["text", "image", "audio", "resource", "resource_link"];

/// A value without the tags of Python models: `types.Tool` arrives as what it holds.
pub fn plain(value: &Value) -> Json {
    match value {
        Value::Map(map) => match (map.get_str("_rtype"), map.get("_rvalue")) {
            (Some("pydantic_model"), Some(held)) => plain(held),
            _ => map
                .iter()
                .map(|(key, value)| (key.to_owned(), plain(value)))
                .collect::<JsonMap<_, _>>()
                .into(),
        },
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.to_json(),
    }
}

/// An object as clients want it: what is not given is not there, and `meta` has its own name.
pub fn tidy(value: Json) -> Json {
    let Json::Object(map) = value else {
        return value;
    };
    let kept = map.into_iter().filter(|(_, value)| !value.is_null());
    kept.map(|(key, value)| match key.as_str() {
        "meta" => ("_meta".to_owned(), value),
        "annotations" | "resource" => (key, tidy(value)),
        _ => (key, value),
    })
    .collect::<JsonMap<_, _>>()
    .into()
}

/// A value as text: texts as they are, all else as JSON.
pub fn text_of(value: &Value) -> String {
    match plain(value) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// A block of text.
pub fn text_block(text: impl Into<String>) -> Json {
    json!({ "type": "text", "text": text.into() })
}

fn block(value: &Value) -> Json {
    let found = plain(value);
    let kind = found.get("type").and_then(Json::as_str);
    match kind {
        Some(kind) if KINDS.contains(&kind) => tidy(found),
        _ => text_block(text_of(value)),
    }
}

/// The result of a tool. `each`: the items of a list are blocks of their own.
pub fn tool_result(value: &Value, each: bool) -> Json {
    // A whole result, as the protocol has it.
    let whole = plain(value);
    if whole.get("content").is_some_and(Json::is_array) && whole.get("isError").is_some() {
        return tidy(whole);
    }
    let blocks = match value {
        Value::Array(items) if each => items.iter().map(block).collect(),
        other => vec![block(other)],
    };
    json!({ "content": blocks, "isError": false })
}

/// What a tool failed with. Clients show it to the model, which may do better then.
pub fn tool_failure(text: &str) -> Json {
    json!({ "content": [text_block(text)], "isError": true })
}

/// The result of reading a resource.
pub fn resource_result(value: &Value, uri: &str, mime: &str) -> Json {
    let one = |value: &Value| match value {
        Value::Bin(bytes) => json!({
            "uri": uri,
            "mimeType": mime,
            "blob": STANDARD.encode(bytes),
        }),
        other => json!({ "uri": uri, "mimeType": mime, "text": text_of(other) }),
    };
    let whole = plain(value);
    let contents = match whole.get("contents").unwrap_or(&whole) {
        Json::Array(items) if items.iter().all(is_content) => items
            .iter()
            .map(|item| {
                let mut item = tidy(item.clone());
                if let Json::Object(item) = &mut item {
                    item.remove("type");
                    item.entry("uri").or_insert_with(|| uri.into());
                    item.entry("mimeType").or_insert_with(|| mime.into());
                }
                item
            })
            .collect(),
        _ => vec![one(value)],
    };
    json!({ "contents": contents })
}

fn is_content(item: &Json) -> bool {
    item["text"].is_string() || item["blob"].is_string()
}

/// The result of a prompt.
pub fn prompt_result(value: &Value, name: &str) -> Json {
    let whole = plain(value);
    let Some(messages) = whole.get("messages").and_then(Json::as_array) else {
        return json!({
            "description": format!("Prompt for {name}"),
            "messages": [{ "role": "user", "content": text_block(text_of(value)) }],
        });
    };
    let messages: Vec<Json> = messages
        .iter()
        .map(|message| {
            let content = match &message["content"] {
                Json::String(text) => text_block(text.as_str()),
                Json::Object(_) => tidy(message["content"].clone()),
                other => text_block(other.to_string()),
            };
            let role = message["role"].as_str().unwrap_or("user");
            json!({ "role": role, "content": content })
        })
        .collect();
    let mut result = json!({ "messages": messages });
    if let Some(description) = whole["description"].as_str() {
        result["description"] = description.into();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map;

    fn model(held: crate::wire::Map) -> Value {
        let schema = map! { "type" => "object" };
        Value::Map(map! { "_rtype" => "pydantic_model", "_rvalue" => held, "_rschema" => schema })
    }

    #[test]
    fn results_of_tools() {
        let text = |value: Value, each| tool_result(&value, each)["content"].clone();
        assert_eq!(text("a".into(), false), json!([text_block("a")]));
        assert_eq!(text(Value::from(8.0), false)[0]["text"], "8.0");
        let list = Value::from(vec![Value::from(1), 2.into()]);
        assert_eq!(text(list.clone(), false), json!([text_block("[1,2]")]));
        assert_eq!(text(list, true), json!([text_block("1"), text_block("2")]));
        let image = map! { "type" => "image", "data" => "eA==", "mimeType" => "image/png" };
        assert_eq!(text(image.into(), false)[0]["type"], "image");
        let odd = map! { "type" => "odd" };
        assert_eq!(text(odd.into(), false)[0]["text"], r#"{"type":"odd"}"#);
        let held = map! { "type" => "text", "text" => "x", "annotations" => Value::Nil };
        let blocks = Value::from(vec![model(held)]);
        assert_eq!(text(blocks, true), json!([text_block("x")]));
        let whole = map! { "content" => vec![Value::Map(map! { "type" => "text", "text" => "no" })], "isError" => true };
        assert_eq!(tool_result(&whole.into(), true)["isError"], true);
    }

    #[test]
    fn contents_of_resources() {
        let of = |value: Value| resource_result(&value, "u", "text/plain")["contents"].clone();
        assert_eq!(of("x".into())[0]["text"], "x");
        let bytes = Value::from(bytes::Bytes::from_static(b"x"));
        assert_eq!(of(bytes)[0]["blob"], "eA==");
        let item = map! { "type" => "text", "text" => "x", "meta" => Value::Nil };
        let whole = map! { "contents" => vec![Value::Map(item)] };
        assert_eq!(
            of(whole.into()),
            json!([{ "text": "x", "uri": "u", "mimeType": "text/plain" }])
        );
        assert_eq!(of(map! { "a" => 1 }.into())[0]["text"], r#"{"a":1}"#);
    }

    #[test]
    fn messages_of_prompts() {
        let simple = prompt_result(&"hi".into(), "p");
        assert_eq!(simple["messages"][0]["content"]["text"], "hi");
        let message = map! { "role" => "assistant", "content" => "yes" };
        let whole = map! { "messages" => vec![Value::Map(message)], "description" => Value::Nil };
        let result = prompt_result(&whole.into(), "p");
        assert_eq!(result["messages"][0]["role"], "assistant");
        assert_eq!(result["messages"][0]["content"], text_block("yes"));
        assert!(result.get("description").is_none());
    }
}
