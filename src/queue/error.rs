//! Why a queue refuses something.

use thiserror::Error;

use crate::peer::ServiceError;

/// See the variants.
#[derive(Debug, PartialEq, Error)]
pub enum QueueError {
    #[error(
        "Invalid queue name: '{0}'. Queue names must be 1-128 characters, start with \
         alphanumeric, and contain only alphanumeric, hyphens, underscores, and dots."
    )]
    Name(String),
    #[error("a task must be an object, got {0}")]
    NotAnObject(&'static str),
    #[error("Object of type bytes is not JSON serializable")]
    Bytes,
    #[error("{name} should be between {least} and {most}, got {got}")]
    Range {
        name: &'static str,
        least: u32,
        most: u32,
        got: f64,
    },
    #[error("the task has {size} bytes, the limit is {limit}")]
    TaskSize { size: usize, limit: usize },
    #[error("Queue limit exceeded: {0}")]
    Full(String),
}

impl From<QueueError> for ServiceError {
    fn from(error: QueueError) -> Self {
        let text = error.to_string();
        match error {
            QueueError::NotAnObject(_) | QueueError::Bytes => ServiceError::type_(text),
            QueueError::Full(_) => ServiceError::runtime(text),
            QueueError::Name(_) | QueueError::Range { .. } | QueueError::TaskSize { .. } => {
                ServiceError::value(text)
            }
        }
    }
}
