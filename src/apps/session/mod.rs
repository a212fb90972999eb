//! Running sessions of apps: one actor each, restarted after a crash.

mod actor;
mod entry;
mod journal;
mod launch;
mod messages;
mod record;
mod table;
mod tail;

pub use actor::SessionActor;
pub use entry::{SessionEntry, SessionOrder, Settled};
pub use journal::SessionJournal;
pub(super) use launch::stop_on;
pub use messages::{ClientBack, ClientGone, EndSession, SeeService, WorkerGone};
pub use record::SessionRecord;
pub use table::SessionTable;
pub use tail::follow;
