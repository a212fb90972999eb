//! Server apps: what they are, how they are installed, started, watched and stopped.
//!
//! The supervision tree in files: `workspaces_actor` → `workspace_actor` → `app_actor` →
//! `session::actor`. What they decide is in pure files beside them: `lifecycle`, `readiness`,
//! `selection`, `startup`.

mod app_actor;
pub mod autoscaler;
mod controller;
mod copying;
mod daemons;
mod deploy;
mod download;
mod editing;
pub mod files;
mod handed;
pub mod history;
mod host;
pub mod ids;
pub mod imjoy;
mod install;
mod lazy_limit;
pub mod lifecycle;
pub mod manifest;
pub mod pages;
pub mod progress;
pub mod readiness;
pub mod selection;
pub mod session;
pub mod source;
pub mod source_hash;
mod start;
pub mod startup;
pub mod store;
mod trial;
pub mod validate;
mod workspace_actor;
mod workspaces_actor;
pub mod xml;

pub use controller::Controller;
pub use handed::Handed;
pub use host::Host;
pub use pages::{PageGrant, PageGrants};
pub use workspaces_actor::WorkspacesActor;
