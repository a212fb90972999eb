//! Running sessions of apps: one actor each, restarted after a crash.

mod actor;
mod entry;
mod launch;
mod messages;
mod table;

pub use actor::SessionActor;
pub use entry::{SessionEntry, SessionOrder, Settled};
pub(super) use launch::stop_on;
pub use messages::{ClientBack, ClientGone, EndSession, SeeService, WorkerGone};
pub use table::SessionTable;
