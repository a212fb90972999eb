//! Workers whose sessions are processes on this machine: Python apps and terminals.
//!
//! Each process is the leader of its own group, dies with the server, and has an actor under
//! [`ProcessesActor`]. The code of users is kept apart from the server, not from the machine.

mod actor;
mod environments;
mod folder;
mod interpreter;
mod python_worker;
mod service;
mod session;
mod settings;
mod terminal;

pub use actor::ProcessesActor;
pub use python_worker::PythonWorker;
pub use service::ProcessService;
pub(in crate::workers) use service::{GET_LOGS, STOP, common, session_of};
pub(in crate::workers) use session::SessionLog;
pub use settings::ProcessSettings;
pub use terminal::{TerminalService, TerminalWorker};
