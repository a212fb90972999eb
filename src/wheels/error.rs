//! What can go wrong with packages for pages.

use thiserror::Error;

/// See the variants; the texts go to the authors of apps.
#[derive(Debug, Error)]
pub enum WheelError {
    /// The operator has switched the index off.
    #[error("this server has no package index; it is switched off by apps.wheel_index")]
    Disabled,
    /// No index has it.
    #[error("there is no package {0} with a wheel")]
    NotFound(String),
    /// The upstream index is away, and the cache does not have it.
    #[error(
        "the package index {index} cannot be reached, and {what} was never fetched before: {reason}"
    )]
    Unreachable {
        /// Its host.
        index: String,
        /// What was asked of it.
        what: String,
        /// Why it does not answer.
        reason: String,
    },
    /// The upstream index answers something else than PEP 691 demands.
    #[error("the package index {index} does not speak PEP 691 (JSON): {reason}")]
    Unexpected {
        /// Its host.
        index: String,
        /// What is wrong with its answer.
        reason: String,
    },
    /// A file is not the one whose hash the index tells.
    #[error("the file {0} is not the one that the package index promised")]
    Corrupt(String),
    /// A file does not fit into the cache.
    #[error("the file {0} is larger than the whole cache may be (apps.wheel_cache_mb)")]
    TooLarge(String),
    /// The disk failed.
    #[error("the package cache cannot be written: {0}")]
    Disk(#[from] std::io::Error),
}
