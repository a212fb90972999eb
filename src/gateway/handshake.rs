//! The first frame of a connection, and how one is refused.

use serde::Deserialize;

use crate::router::Transport;

/// What a client says of itself in its first text frame (protocol 1.1).
#[derive(Clone, Default, Deserialize)]
pub struct Hello {
    #[serde(default)]
    pub client_id: Option<String>,
    #[serde(default)]
    pub workspace: Option<String>,
    #[serde(default)]
    pub token: Option<String>,
    #[serde(default)]
    pub reconnection_token: Option<String>,
    /// Address of the peer; filled in by the gateway.
    #[serde(skip)]
    pub remote: String,
    /// Filled in by the gateway.
    #[serde(skip)]
    pub transport: Transport,
}

/// Longest reason that fits into a close frame.
const MAX_REASON: usize = 123;

/// What is wrong with a connection, as far as a transport tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The token is bad.
    Token,
    /// The reconnection token is bad, and there is no other.
    ReconnectionToken,
    /// The user may not do this.
    Denied,
    /// There is no such workspace.
    NotFound,
    /// A living connection has the client id.
    InUse,
    /// There are too many connections.
    Limit,
    /// The request itself makes no sense.
    Invalid,
}

/// A connection that is not let in. Clients show `reason` to their users and never retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Close code of a WebSocket.
    pub code: u16,
    /// The text of a WebSocket's refusal.
    pub reason: String,
    pub kind: RefusalKind,
    /// The reason without the words that WebSocket clients expect around it.
    pub detail: String,
}

impl Refusal {
    /// Close code 1008: what the client sent is not acceptable.
    pub fn policy(kind: RefusalKind, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Refusal {
            code: 1008,
            detail: reason.clone(),
            reason,
            kind,
        }
    }

    /// A bad token.
    pub fn authentication(detail: impl std::fmt::Display) -> Self {
        Refusal {
            code: 1008,
            reason: format!("Authentication error: {detail}"),
            kind: RefusalKind::Token,
            detail: detail.to_string(),
        }
    }

    /// Everything else that goes wrong while a connection is set up.
    pub fn setup(kind: RefusalKind, detail: impl std::fmt::Display) -> Self {
        Refusal {
            code: 1001,
            reason: format!("Failed to establish connection: {detail}"),
            kind,
            detail: detail.to_string(),
        }
    }

    /// The user has no right to enter this workspace.
    pub fn denied(workspace: &str) -> Self {
        Refusal {
            detail: format!("Permission denied for workspace {workspace}"),
            ..Self::setup(
                RefusalKind::Denied,
                format_args!("Permission denied for workspace: {workspace}"),
            )
        }
    }

    /// The text frame that precedes the close.
    pub fn text(&self) -> String {
        serde_json::json!({ "type": "error", "message": self.reason }).to_string()
    }

    /// The reason as it fits into a close frame.
    pub fn close_reason(&self) -> &str {
        truncate(&self.reason, MAX_REASON)
    }
}

/// Cuts a text at a character boundary.
pub(super) fn truncate(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Query keys of the old protocol, which carried secrets in the URL.
const QUERY_AUTH: [&str; 4] = ["workspace", "client_id", "token", "reconnection_token"];

/// Whether an upgrade request tries to authenticate by its query string.
pub(super) fn authenticates_by_query(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(key, _)| QUERY_AUTH.contains(&key.as_ref()))
}

/// Reads the first text frame.
///
/// # Errors
/// It is not a JSON object of the expected fields.
pub(super) fn parse_hello(text: &str) -> Result<Hello, Refusal> {
    // A list would pass for the fields in order; only an object will do.
    let fields: serde_json::Result<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(text);
    fields
        .and_then(|fields| serde_json::from_value(fields.into()))
        .map_err(|error| {
            // The error's own text quotes the frame, and what is in it is a token.
            let (kind, column) = (error.classify(), error.column());
            tracing::debug!(?kind, column, "unreadable authentication frame");
            undecodable()
        })
}

/// The refusal for a first frame that is no JSON object.
pub(super) fn undecodable() -> Refusal {
    Refusal {
        code: 1003,
        ..Refusal::policy(
            RefusalKind::Invalid,
            "Failed to decode authentication information",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_are_null_and_unknown_ones_ignored() {
        let hello = parse_hello(r#"{"client_id":"c","later":1}"#).unwrap();
        assert_eq!(hello.client_id.as_deref(), Some("c"));
        assert!(hello.token.is_none() && hello.workspace.is_none());
        for bad in ["[]", "1", "nonsense", r#"{"client_id":5}"#] {
            assert_eq!(parse_hello(bad).err().unwrap().code, 1003, "{bad}");
        }
    }

    #[test]
    fn reasons_fit_a_close_frame_without_breaking_characters() {
        let refusal = Refusal::policy(RefusalKind::Invalid, "é".repeat(100));
        assert_eq!(refusal.close_reason().len(), 122);
        assert!(refusal.text().contains(&refusal.reason));
    }

    #[test]
    fn secrets_in_the_query_are_noticed() {
        assert!(authenticates_by_query("token=x"));
        assert!(authenticates_by_query("a=1&client%5Fid=x"));
        assert!(!authenticates_by_query("a=1&tokens=x"));
        assert!(!authenticates_by_query(""));
    }
}
