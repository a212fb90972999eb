//! A small hypha-rpc client: calls services, gives callbacks, listens, and offers services beside
//! the `built-in` one that every peer has (protocol 4.4). The command line and the MCP worker use it.

mod connection;
mod error;
mod inbox;
mod long;
mod offering;
mod service;

pub use connection::{Connect, Connection};
pub use error::ClientError;
pub use inbox::Progress;
pub use offering::{Handler, OfferedFunction, Offering};
pub use service::RemoteService;
