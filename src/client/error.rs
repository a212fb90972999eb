//! What can go wrong between the command line and a server.

use thiserror::Error;

/// See the variants.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error("{0} is no server URL: use http://, https://, ws:// or wss://")]
    Url(String),
    #[error("cannot connect to {url}: {reason}")]
    Connect { url: String, reason: String },
    /// The server's own words.
    #[error("the server refused the connection: {0}")]
    Refused(String),
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// What a call was answered with, `Class: message`.
    #[error("{0}")]
    Remote(String),
    #[error("{service} has no function {function}")]
    NoFunction { service: String, function: String },
    #[error("the server sent what cannot be read: {0}")]
    Protocol(String),
}
