//! Rhizome: a Hypha server on a supervised actor system. ARCHITECTURE.md is the map of its rooms.

pub mod admin;
pub mod apps;
pub mod artifacts;
pub mod cli;
pub mod client;
pub mod config;
pub mod gateway;
pub mod http;
pub mod identity;
pub mod login;
pub mod mcp;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod processes;
pub mod queue;
pub mod router;
pub mod skills;
pub mod startup;
pub mod store;
pub mod supervision;
pub mod wheels;
pub mod wire;
pub mod workers;
pub mod workspace;
