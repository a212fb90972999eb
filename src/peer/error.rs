//! Failures of service methods, in the shape that client libraries and their users match on.

use thiserror::Error;

/// Class names that clients, and the HTTP layer's status mapping, know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    Key,
    Permission,
    Value,
    Type,
    Assertion,
    FileExists,
    FileNotFound,
    WorkerNotFound,
    Timeout,
    Runtime,
    /// `Exception`: a failure without a more specific class.
    Plain,
    /// Any other class name.
    Named(&'static str),
}

impl ErrorClass {
    /// The class name as it stands in front of the message.
    pub fn name(self) -> &'static str {
        match self {
            ErrorClass::Key => "KeyError",
            ErrorClass::Permission => "PermissionError",
            ErrorClass::Value => "ValueError",
            ErrorClass::Type => "TypeError",
            ErrorClass::Assertion => "AssertionError",
            ErrorClass::FileExists => "FileExistsError",
            ErrorClass::FileNotFound => "FileNotFoundError",
            ErrorClass::WorkerNotFound => "WorkerNotFoundError",
            ErrorClass::Timeout => "TimeoutError",
            ErrorClass::Runtime => "RuntimeError",
            ErrorClass::Plain => "Exception",
            ErrorClass::Named(name) => name,
        }
    }
}

/// A failed service method. Its text is `Class: message`, the form that the reference's remote
/// errors end in (protocol 4.5).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {message}", class.name())]
pub struct ServiceError {
    pub class: ErrorClass,
    pub message: String,
}

impl ServiceError {
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        ServiceError {
            class,
            message: message.into(),
        }
    }

    /// A missing thing. The text of a KeyError arrives in single quotes (workspace.md 3.1).
    pub fn key(message: impl std::fmt::Display) -> Self {
        Self::new(ErrorClass::Key, format!("'{message}'"))
    }

    pub fn permission(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permission, message)
    }

    pub fn value(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Value, message)
    }

    pub fn type_(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Type, message)
    }

    pub fn assertion(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Assertion, message)
    }

    pub fn runtime(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Runtime, message)
    }

    pub fn plain(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Plain, message)
    }
}

/// A call from the server to a client that did not return a value.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CallError {
    /// The peer answered with an error; the text is the peer's.
    #[error("{0}")]
    Remote(String),
    #[error("Method call timed out: {method} after {seconds:.1} s")]
    Timeout { method: String, seconds: f64 },
    #[error("Target peer {0} is not connected")]
    NotConnected(String),
    /// The caller's deadline or session ended the call.
    #[error("Call cancelled: {0}")]
    Cancelled(String),
}

impl CallError {
    /// The last line of a remote error: peers send whole tracebacks, of which only
    /// `Class: message` may travel further (rule V5).
    pub fn last_line(&self) -> String {
        let text = self.to_string();
        text.lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("unknown error")
            .to_owned()
    }
}

impl From<CallError> for ServiceError {
    fn from(error: CallError) -> Self {
        let class = match error {
            CallError::Timeout { .. } => ErrorClass::Timeout,
            _ => ErrorClass::Plain,
        };
        ServiceError::new(class, error.last_line())
    }
}
