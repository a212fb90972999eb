//! The built-in terminal worker: sessions are programs in a terminal, a shell if none is named.

mod screen;
mod service;
mod tty;
mod worker;

pub use service::TerminalService;
pub use worker::TerminalWorker;
