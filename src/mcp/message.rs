//! JSON-RPC 2.0 messages of MCP.

use serde_json::{Map as JsonMap, Value as Json, json};
use thiserror::Error;

/// Versions of the protocol that are spoken, newest first.
pub const PROTOCOL_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Not JSON (JSON-RPC 2.0, section 5.1).
pub const PARSE_ERROR: i64 = -32700;
/// A method that the service has nothing for.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// Wrong parameters. The reference answers so to methods it has never heard of, too.
pub const INVALID_PARAMS: i64 = -32602;
/// The service failed.
pub const INTERNAL_ERROR: i64 = -32603;
/// There is no such resource.
pub const RESOURCE_NOT_FOUND: i64 = -32002;

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{message}")]
pub struct Failure {
    pub code: i64,
    pub message: String,
    /// More about it, for programs.
    pub data: Option<Json>,
}

impl Failure {
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Failure {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The error as a JSON-RPC message. `id` is that of the request; messages without one are
    /// answered with a name of our own, as in the reference.
    pub fn to_json(&self, id: Option<&Json>) -> Json {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        let id = id.cloned().unwrap_or_else(|| "server-error".into());
        json!({ "jsonrpc": "2.0", "id": id, "error": error })
    }
}

/// A message of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    Request {
        id: Json,
        method: String,
        params: JsonMap<String, Json>,
    },
    /// A notification, or an answer to a request that we never make: nothing to be said.
    Silent,
}

/// Reads a message.
///
/// # Errors
/// No JSON, or no message of JSON-RPC 2.0.
pub fn parse(body: &[u8]) -> Result<Incoming, Failure> {
    let message: Json = serde_json::from_slice(body)
        .map_err(|error| Failure::new(PARSE_ERROR, format!("Parse error: {error}")))?;
    let invalid = |what: &str| Failure::new(INVALID_PARAMS, format!("Validation error: {what}"));
    let Json::Object(mut message) = message else {
        return Err(invalid("a message must be an object"));
    };
    if message.get("jsonrpc").and_then(Json::as_str) != Some("2.0") {
        return Err(invalid("jsonrpc must be \"2.0\""));
    }
    let id = message.remove("id");
    let Some(method) = message.remove("method") else {
        let answers = message.contains_key("result") || message.contains_key("error");
        return if answers && id.is_some() {
            Ok(Incoming::Silent)
        } else {
            Err(invalid("a message needs a method, a result or an error"))
        };
    };
    let Json::String(method) = method else {
        return Err(invalid("method must be a string"));
    };
    let params = match message.remove("params") {
        None | Some(Json::Null) => JsonMap::new(),
        Some(Json::Object(params)) => params,
        Some(_) => return Err(invalid("params must be an object")),
    };
    match id {
        None => Ok(Incoming::Silent),
        Some(id) if id.is_string() || id.is_i64() || id.is_u64() => {
            Ok(Incoming::Request { id, method, params })
        }
        Some(_) => Err(invalid("id must be a string or an integer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> i64 {
        parse(text.as_bytes()).unwrap_err().code
    }

    #[test]
    fn messages_are_told_apart() {
        let request = parse(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).unwrap();
        assert!(matches!(request, Incoming::Request { method, .. } if method == "ping"));
        for silent in [
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        ] {
            assert_eq!(parse(silent.as_bytes()).unwrap(), Incoming::Silent);
        }
        assert_eq!(code("{"), PARSE_ERROR);
        for wrong in [
            "[]",
            "{}",
            r#"{"invalid":"request"}"#,
            r#"{"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
        ] {
            assert_eq!(code(wrong), INVALID_PARAMS, "{wrong}");
        }
    }

    #[test]
    fn failures_name_the_request() {
        let failure = Failure::new(INTERNAL_ERROR, "no");
        assert_eq!(failure.to_json(Some(&7.into()))["id"], 7);
        assert_eq!(failure.to_json(None)["id"], "server-error");
    }
}
