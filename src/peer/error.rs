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
    /// A `RuntimeError` that passes by itself: too much is asked for at once.
    Busy,
    /// A `RuntimeError`: the disk or the bucket has no room.
    Full,
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
            ErrorClass::Runtime | ErrorClass::Busy | ErrorClass::Full => "RuntimeError",
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

/// The error that a peer answered with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct RemoteError {
    /// The message, often without the class of the error.
    pub text: String,
    /// The stack of the peer's interpreter, for finding out the class. It goes no further (V5).
    pub trace: String,
}

impl RemoteError {
    /// `Class: message` as far as the peer told the class, else its message alone.
    pub fn described(&self) -> String {
        // Python tells the class in the last line of the stack, JavaScript in the first.
        let told = self
            .trace
            .lines()
            .rfind(|line| is_error_line(line))
            .map(str::trim);
        match told {
            Some(line) => line.to_owned(),
            None => last_line(&self.text),
        }
    }
}

/// Whether a line of a stack is the one of the error, `KeyError: 'x'` or `ValueError`.
fn is_error_line(line: &str) -> bool {
    let class = line.split(':').next().unwrap_or_default().trim_end();
    line.starts_with(|c: char| c.is_ascii_alphabetic())
        && !class.is_empty()
        && class
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}

fn last_line(text: &str) -> String {
    text.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("unknown error")
        .to_owned()
}

impl From<String> for RemoteError {
    fn from(text: String) -> Self {
        RemoteError {
            text,
            trace: String::new(),
        }
    }
}

/// A call from the server to a client that did not return a value.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CallError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
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
        last_line(&self.to_string())
    }

    /// The same, with the class of the error where the peer's stack tells it.
    pub fn described(&self) -> String {
        match self {
            CallError::Remote(error) => error.described(),
            other => last_line(&other.to_string()),
        }
    }

    /// The whole stack of a remote error, for servers that are set to show it; else what
    /// [`CallError::described`] tells.
    pub fn detailed(&self) -> String {
        match self {
            CallError::Remote(error) if !error.trace.trim().is_empty() => error.trace.clone(),
            other => other.described(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_comes_from_the_stack() {
        for (trace, described) in [
            (
                "Traceback (most recent call last):\n  File \"x\", line 1\nKeyError: 'x'\n",
                "KeyError: 'x'",
            ),
            (
                "Traceback (most recent call last):\n  File \"x\", line 1\nStopIteration\n",
                "StopIteration",
            ),
            (
                "TypeError: a is not a function\n    at f (x.js:1:1)",
                "TypeError: a is not a function",
            ),
            ("", "the message"),
            ("    at f (x.js:1:1)", "the message"),
        ] {
            let error = RemoteError {
                text: "the message".into(),
                trace: trace.into(),
            };
            assert_eq!(error.described(), described, "{trace}");
        }
    }
}
