//! Startup functions: code of the operator that runs with the server (workspace.md 6.5).
//!
//! Each runs in a child process under a small host script, connected as root in `public`. The
//! whole boot waits for them, in order; afterwards each is a supervised actor.

mod actor;
mod auth;
mod entry;
mod function;

pub use actor::{RunFunction, StartupActor};
pub use entry::{EntryError, Runner, StartupEntry};
pub use function::Setting;
