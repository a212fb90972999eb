//! Where log lines go and what they look like.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Log;

/// Noisy parts of libraries, which follow the level only when they are named.
const QUIET: &str = "chromiumoxide=error,actix_server=warn,mio=warn,sled=warn,pagecache=warn";

/// Sets the logger up.
///
/// # Errors
/// The filter cannot be read.
pub fn init(log: &Log) -> Result<(), String> {
    // The reference writes levels in capitals.
    let level = log.level.to_ascii_lowercase().replace("warning", "warn");
    let filter = EnvFilter::try_new(format!("{QUIET},{level}"))
        .map_err(|error| format!("log.level \"{}\" cannot be read: {error}", log.level))?;
    let registry = tracing_subscriber::registry().with(filter);
    // Colours are for people; a file or a pipe gets plain text.
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let set = if log.json {
        registry.with(layer.json()).try_init()
    } else {
        registry.with(layer).try_init()
    };
    set.map_err(|error| error.to_string())
}
