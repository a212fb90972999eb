//! Service ids: `workspace/client_id:service_id@app_id` (workspace.md 3.1), parsed once.

use std::fmt;

use thiserror::Error;

/// Why a text is no service id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServiceIdError {
    #[error("Service id must contain at most one '{0}'")]
    Repeated(char),
    #[error("App id must not contain '/' or ':': {0}")]
    App(String),
    #[error("Workspace must not contain ':': {0}")]
    Workspace(String),
    #[error("Service id must not be empty")]
    Empty,
    #[error(
        "You must specify a workspace for the service query, otherwise please call list_services \
         to find the service."
    )]
    AnyWorkspace,
    #[error("Invalid service id: {0}, a wildcard is not allowed here")]
    Wildcard(String),
    #[error(
        "Invalid service id: {0}, only letters, numbers, '.', '_' and '-' are allowed in the name"
    )]
    Characters(String),
}

/// What a lookup asks for. `None` means any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceId {
    pub workspace: String,
    pub client: Option<String>,
    pub service: String,
    pub app: Option<String>,
}

/// The parts of an id as they were written, before defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    pub workspace: Option<&'a str>,
    pub client: Option<&'a str>,
    pub service: &'a str,
    pub app: Option<&'a str>,
}

/// Splits `[workspace/][client:]service[@app]`.
///
/// # Errors
/// A separator occurs twice.
pub fn split(text: &str) -> Result<Parts<'_>, ServiceIdError> {
    for separator in ['/', ':', '@'] {
        if text.matches(separator).count() > 1 {
            return Err(ServiceIdError::Repeated(separator));
        }
    }
    let (text, app) = match text.split_once('@') {
        Some((_, app)) if app.contains(['/', ':']) => {
            return Err(ServiceIdError::App(app.to_owned()));
        }
        Some((text, app)) => (text, Some(app)),
        None => (text, None),
    };
    let (workspace, text) = match text.split_once('/') {
        Some((workspace, _)) if workspace.contains(':') => {
            return Err(ServiceIdError::Workspace(workspace.to_owned()));
        }
        Some((workspace, text)) => (Some(workspace), text),
        None => (None, text),
    };
    let (client, service) = match text.split_once(':') {
        Some((client, service)) => (Some(client), service),
        None => (None, text),
    };
    Ok(Parts {
        workspace,
        client,
        service,
        app,
    })
}

impl ServiceId {
    /// Completes what a caller in workspace `own` asks for.
    ///
    /// # Errors
    /// See [`ServiceIdError`]; the workspace and the service must be named.
    pub fn parse(text: &str, own: &str) -> Result<Self, ServiceIdError> {
        let parts = split(text)?;
        let workspace = parts.workspace.unwrap_or(own);
        if workspace == "*" {
            return Err(ServiceIdError::AnyWorkspace);
        }
        if parts.service.is_empty() {
            return Err(ServiceIdError::Empty);
        }
        if parts.service == "*" {
            return Err(ServiceIdError::Wildcard(text.to_owned()));
        }
        let named = |part: Option<&str>| {
            part.filter(|part| *part != "*" && !part.is_empty())
                .map(str::to_owned)
        };
        Ok(ServiceId {
            workspace: workspace.to_owned(),
            client: named(parts.client),
            service: parts.service.to_owned(),
            app: named(parts.app),
        })
    }

    /// The part before the app, as error texts name it.
    pub fn without_app(&self) -> String {
        let client = self.client.as_deref().unwrap_or("*");
        format!("{}/{client}:{}", self.workspace, self.service)
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = self.app.as_deref().unwrap_or("*");
        write!(f, "{}@{app}", self.without_app())
    }
}

/// Whether a name may be registered: nothing that the grammar gives a meaning to.
pub fn is_service_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && !name
            .chars()
            .any(|c| matches!(c, '/' | ':' | '@' | '*') || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match ServiceId::parse(text, "own") {
            Ok(id) => id.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn forms_of_the_grammar() {
        for (given, expected) in [
            ("svc", "own/*:svc@*"),
            ("cid:svc", "own/cid:svc@*"),
            ("ws/svc", "ws/*:svc@*"),
            ("ws/cid:svc", "ws/cid:svc@*"),
            ("svc@app", "own/*:svc@app"),
            ("ws/*:svc@app", "ws/*:svc@app"),
            ("svc@*", "own/*:svc@*"),
        ] {
            assert_eq!(shown(given), expected, "{given}");
        }
    }

    #[test]
    fn refusals() {
        assert_eq!(shown("a/b/c"), "Service id must contain at most one '/'");
        assert_eq!(shown("a:b:c"), "Service id must contain at most one ':'");
        assert_eq!(shown("a@b@c"), "Service id must contain at most one '@'");
        assert!(shown("*/pub").starts_with("You must specify a workspace"));
        assert!(shown("ws/*").contains("wildcard"));
        assert_eq!(shown(""), "Service id must not be empty");
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics_and_shown_ids_parse_to_themselves(text in ".{0,40}") {
            if let Ok(id) = ServiceId::parse(&text, "own") {
                let again = ServiceId::parse(&id.to_string(), "other");
                if !id.workspace.is_empty() {
                    proptest::prop_assert_eq!(again, Ok(id));
                }
            }
        }
    }
}
