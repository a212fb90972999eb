//! The browser worker's engine room: Chromium processes, the pages in them, and the HTML that apps are compiled to.
//!
//! Nothing here knows of actors. The worker's actors own an [`Engine`] (one Chromium) and its [`Page`]s (one per
//! session, each in a browser context of its own) and hear of every loss: [`Engine::ended`] for the browser,
//! [`PageEvent::Crashed`] for a page.

pub mod actor;
pub mod compile;
pub mod engine;
pub mod error;
pub mod page;
pub mod pool;
pub mod service;
pub mod settings;
pub mod templates;
pub mod worker;

mod belongings;
mod devtools;
mod evaluate;
mod gate;
mod hosts;
mod journey;
mod notebook;
mod open;
pub mod options;
mod outfit;
mod process;
mod pump;
mod python;
mod raw;
mod render;
mod requests;
mod script;
mod startup_script;
mod state;
mod sweep;
mod target;
mod watch;

#[cfg(test)]
mod tests;

pub use super::log_ring::{self, LogEntry, LogKind, LogLine, LogPage, LogRing};
pub use actor::{BrowserActor, OpenPage, PageActor};
pub use compile::{AppFile, Compiler, SUPPORTED_TYPES, TEMPLATE_MARK};
pub use engine::{Engine, ProcessInfo};
pub use error::{BrowserError, CompileError};
pub use options::{BrowserOptions, OptionError};
pub use outfit::Outfit;
pub use page::{ImageFormat, Page, PageRequest};
pub use pool::{PageKind, PageStart, Pool, PoolSettings};
pub use service::BrowserService;
pub use settings::BrowserSettings;
pub use state::{PageEvent, PageEvents};
pub use worker::{BrowserWorker, SERVICE_ID};
