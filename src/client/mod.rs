//! A small hypha-rpc client, for the command line: calls services, gives callbacks, listens.
//!
//! It offers nothing but the `built-in` service that every peer has (protocol 4.4).

mod connection;
mod error;
mod inbox;
mod long;
mod service;

pub use connection::{Connect, Connection};
pub use error::ClientError;
pub use inbox::Progress;
pub use service::RemoteService;
