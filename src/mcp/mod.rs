//! MCP, the Model Context Protocol: services of the server's clients, and its own, as MCP servers
//! (http.md 10).
//!
//! Serving is stateless: every message is answered for itself, from the description that the
//! service's provider gives at that moment. So nothing is cached that another caller may not see.

mod client;
mod content;
mod message;
mod provider;
mod server;
mod surface;

pub use client::{McpClient, McpClientError};
pub use message::{Failure, INTERNAL_ERROR, Incoming, PROTOCOL_VERSIONS, parse};
pub use provider::Provider;
pub use server::answer;
pub use surface::{Content, Function, Prompt, Resource, Style, Surface, SurfaceError, Tool};
