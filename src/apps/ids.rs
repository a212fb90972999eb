//! Names of apps, sessions and workers, parsed once into types.
//!
//! App ids are unique only within their workspace, so nothing here compares an alias alone: a full
//! name always carries the workspace.

use std::fmt;

use crate::identity::{four_words, readable_id};
use crate::router::SESSION_PREFIX;

/// Suffix that switches load counting on for a client.
pub const LOAD_SUFFIX: &str = "__rlb";
/// Longest accepted app id. Ids become keys, URL segments and folder names.
const MAX_APP_ID: usize = 255;

/// A name that does not have the form it should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("App id {0} is not a valid string, only alphanumeric characters, -, and _ are allowed")]
    App(String),
    #[error("App id is too long: {0} characters, at most 255 are allowed")]
    AppTooLong(usize),
    #[error("App reference {0} must be an app id or have the form workspace/app-id")]
    AppRef(String),
    #[error("Session id {0} must be a client id or have the form workspace/client-id")]
    Session(String),
    #[error("Worker id {0} must have the form workspace/client-id:service-id")]
    Worker(String),
}

impl IdError {
    /// Exception class under which clients see this error.
    pub fn class(&self) -> &'static str {
        "ValueError"
    }
}

/// The alias of an installed app, valid for installation: letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(String);

impl AppId {
    /// Checks an id given by a user.
    pub fn new(text: &str) -> Result<Self, IdError> {
        if text.len() > MAX_APP_ID {
            return Err(IdError::AppTooLong(text.chars().count()));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || !text.chars().all(fits) {
            return Err(IdError::App(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// A fresh readable id of four words, such as `quiet-otter-drifts-gently`.
    pub fn generate() -> Self {
        Self(four_words(&mut rand::rng()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for AppId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// An app as callers name it: a bare alias, or `workspace/alias`.
///
/// The alias is not held to the rule of [`AppId`]: records made through the artifact manager may carry
/// aliases with dots or spaces and must stay reachable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AppRef {
    pub workspace: Option<String>,
    pub alias: String,
}

impl AppRef {
    /// Splits `alias` or `workspace/alias`; more slashes or empty parts are refused.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let refuse = || IdError::AppRef(text.to_owned());
        let (workspace, alias) = match text.split_once('/') {
            Some((workspace, alias)) => (Some(workspace), alias),
            None => (None, text),
        };
        if alias.is_empty() || alias.contains('/') || alias.contains('\0') {
            return Err(refuse());
        }
        if workspace.is_some_and(str::is_empty) {
            return Err(refuse());
        }
        Ok(Self {
            workspace: workspace.map(str::to_owned),
            alias: alias.to_owned(),
        })
    }

    /// The named workspace, or `current` when the reference was bare.
    pub fn workspace_or<'a>(&'a self, current: &'a str) -> &'a str {
        self.workspace.as_deref().unwrap_or(current)
    }
}

/// `workspace/client_id` of one running session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    workspace: String,
    client_id: String,
}

impl SessionId {
    /// A new session in `workspace` under a generated client id.
    pub fn generate(workspace: &str) -> Self {
        Self {
            workspace: workspace.to_owned(),
            client_id: generate_session_client_id(),
        }
    }

    pub fn new(workspace: &str, client_id: &str) -> Result<Self, IdError> {
        if !is_part(workspace) || !is_part(client_id) {
            return Err(IdError::Session(format!("{workspace}/{client_id}")));
        }
        Ok(Self {
            workspace: workspace.to_owned(),
            client_id: client_id.to_owned(),
        })
    }

    /// Parses the full form, or a bare client id of the workspace `current`.
    pub fn parse(text: &str, current: &str) -> Result<Self, IdError> {
        let (workspace, client_id) = text.split_once('/').unwrap_or((current, text));
        Self::new(workspace, client_id).map_err(|_| IdError::Session(text.to_owned()))
    }

    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    pub fn client_id(&self) -> &str {
        &self.client_id
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workspace, self.client_id)
    }
}

/// `workspace/client_id:service_id` of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId {
    workspace: String,
    client_id: String,
    service_id: String,
}

impl WorkerId {
    pub fn new(workspace: &str, client_id: &str, service_id: &str) -> Result<Self, IdError> {
        if !(is_part(workspace) && is_part(client_id) && is_part(service_id)) {
            return Err(IdError::Worker(format!(
                "{workspace}/{client_id}:{service_id}"
            )));
        }
        Ok(Self {
            workspace: workspace.to_owned(),
            client_id: client_id.to_owned(),
            service_id: service_id.to_owned(),
        })
    }

    /// The worker that a service of an installed app would be: `workspace/*:service@app`.
    pub fn offered(workspace: &str, service: &str, app: &str) -> Result<Self, IdError> {
        let service_id = format!("{service}@{app}");
        if !(is_part(workspace) && is_part(service) && is_part(app)) {
            return Err(IdError::Worker(format!("{workspace}/*:{service_id}")));
        }
        Ok(Self {
            workspace: workspace.to_owned(),
            client_id: "*".to_owned(),
            service_id,
        })
    }

    /// Parses the full form; without a workspace, `current` is taken.
    pub fn parse(text: &str, current: &str) -> Result<Self, IdError> {
        let refuse = || IdError::Worker(text.to_owned());
        let (workspace, rest) = text.split_once('/').unwrap_or((current, text));
        let (client_id, service_id) = rest.split_once(':').ok_or_else(refuse)?;
        if let ("*", Some((service, app))) = (client_id, service_id.split_once('@')) {
            return Self::offered(workspace, service, app).map_err(|_| refuse());
        }
        Self::new(workspace, client_id, service_id).map_err(|_| refuse())
    }

    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub fn service_id(&self) -> &str {
        &self.service_id
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}:{}",
            self.workspace, self.client_id, self.service_id
        )
    }
}

/// Client id of a new session: readable words and eight digits between the two markers.
pub fn generate_session_client_id() -> String {
    format!("{SESSION_PREFIX}{}{LOAD_SUFFIX}", readable_id())
}

/// Whether a client id belongs to a running app.
pub fn is_session_client(client_id: &str) -> bool {
    client_id.starts_with(SESSION_PREFIX)
}

/// Whether requests to a client are counted as load.
pub fn counts_load(client_id: &str) -> bool {
    client_id.ends_with(LOAD_SUFFIX)
}

fn is_part(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', ':', '@', '*', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_ids_allow_letters_digits_dash_and_underscore_only() {
        for good in ["a", "team-calculator-v2", "A_b-9", "-", "0"] {
            assert_eq!(AppId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "a b", "ä", "a.b", "a@b", "..", "a\0"] {
            let error = AppId::new(bad).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "App id {bad} is not a valid string, only alphanumeric characters, -, and _ are allowed"
                )
            );
            assert_eq!(error.class(), "ValueError");
        }
        assert_eq!(AppId::new(&"a".repeat(256)), Err(IdError::AppTooLong(256)));
        assert!(AppId::new(&"a".repeat(255)).is_ok());
    }

    #[test]
    fn generated_app_ids_are_valid_and_differ() {
        let made: std::collections::HashSet<_> = (0..50).map(|_| AppId::generate()).collect();
        assert!(made.len() > 45);
        for id in made {
            assert_eq!(AppId::new(id.as_str()).unwrap(), id);
            assert_eq!(id.as_str().split('-').count(), 4);
        }
    }

    #[test]
    fn app_references_split_into_workspace_and_alias() {
        let table = [
            ("calc", Some((None, "calc"))),
            ("ws-user-1/calc", Some((Some("ws-user-1"), "calc"))),
            ("my app.v2", Some((None, "my app.v2"))),
            ("", None),
            ("/calc", None),
            ("ws/", None),
            ("a/b/c", None),
        ];
        for (text, expected) in table {
            let got = AppRef::parse(text).ok();
            let got = got.as_ref().map(|r| (r.workspace.as_deref(), &*r.alias));
            assert_eq!(got, expected, "{text}");
        }
        assert_eq!(AppRef::parse("calc").unwrap().workspace_or("me"), "me");
        assert_eq!(AppRef::parse("w/calc").unwrap().workspace_or("me"), "w");
    }

    #[test]
    fn session_ids_take_the_full_and_the_bare_form() {
        let full = SessionId::parse("ws/client", "other").unwrap();
        assert_eq!((full.workspace(), full.client_id()), ("ws", "client"));
        let bare = SessionId::parse("client", "other").unwrap();
        assert_eq!(bare.to_string(), "other/client");
        for bad in ["", "ws/", "/c", "a/b/c", "ws/a:b", "ws/*"] {
            assert!(SessionId::parse(bad, "w").is_err(), "{bad}");
        }
    }

    #[test]
    fn session_client_ids_carry_both_markers() {
        let id = SessionId::generate("ws");
        let middle = id
            .client_id()
            .strip_prefix("_rapp_")
            .and_then(|rest| rest.strip_suffix("__rlb"))
            .unwrap();
        let (words, digits) = middle.rsplit_once('-').unwrap();
        assert!(words.contains('-'));
        assert_eq!(digits.len(), 8);
        assert!(digits.chars().all(|c| c.is_ascii_digit()));
        assert!(is_session_client(id.client_id()) && counts_load(id.client_id()));
        assert!(!is_session_client("browser-1") && !counts_load("browser-1"));
    }

    #[test]
    fn worker_ids_need_one_slash_and_one_colon() {
        let id = WorkerId::parse("public/server:browser-worker", "ws").unwrap();
        assert_eq!(
            (id.workspace(), id.client_id(), id.service_id()),
            ("public", "server", "browser-worker")
        );
        assert_eq!(WorkerId::parse("c:w", "ws").unwrap().to_string(), "ws/c:w");
        let offered = WorkerId::parse("ws/*:worker@app", "x").unwrap();
        assert_eq!(offered.to_string(), "ws/*:worker@app");
        for bad in [
            "",
            "w",
            "ws/w",
            "ws/*:w",
            "ws/*:w@a@b",
            "a/b/c:d",
            "a/b:c:d",
            "a/b:",
            "a/:c",
            "a/b:c@d",
        ] {
            assert!(WorkerId::parse(bad, "ws").is_err(), "{bad}");
        }
    }
}
