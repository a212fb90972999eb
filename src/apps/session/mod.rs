//! Running sessions of apps: one actor each, restarted after a crash.

mod actor;
mod entry;
mod launch;
mod table;

pub use actor::{ClientBack, ClientGone, EndSession, SeeService, SessionActor, WorkerGone};
pub use entry::{SessionEntry, SessionOrder, Settled};
pub use table::SessionTable;
