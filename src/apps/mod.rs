//! Server apps: what they are, how they are installed, started, watched and stopped.

pub mod files;
pub mod history;
pub mod ids;
pub mod imjoy;
pub mod lifecycle;
pub mod manifest;
pub mod progress;
pub mod readiness;
pub mod selection;
pub mod source;
pub mod source_hash;
pub mod startup;
pub mod validate;
mod words;
pub mod xml;
