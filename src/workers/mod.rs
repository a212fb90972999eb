//! Workers run sessions: the built-in browser, processes on this machine, MCP servers elsewhere, and whatever clients register with the type
//! `server-app-worker`.

mod actor;
pub mod browser;
mod contract;
pub mod log_ring;
pub mod mcp;
pub mod process;
mod remote;
mod table;

pub use actor::WorkerActor;
pub use contract::{
    LogQuery, Notice, Notices, Picture, SERVICE_TYPE, StartOrder, Started, Worker, WorkerInfo,
};
pub use remote::RemoteWorker;
pub use table::WorkerTable;
