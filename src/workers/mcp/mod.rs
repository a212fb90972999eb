//! Apps of type `mcp-server`: MCP servers elsewhere, offered as services of a workspace.

mod proxy;
mod service;
mod worker;

pub use service::McpService;
pub use worker::McpWorker;
