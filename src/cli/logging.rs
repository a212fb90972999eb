//! Where log lines go and what they look like.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::redact::Redacting;
use crate::config::{Config, Log, LogFormat};

/// Libraries that speak up only when they are named. Below `warn` they print what passes through
/// them, and some of that is for nobody's eyes.
const QUIET: &str = "warn,actix_server=warn,mio=warn,sled=warn,pagecache=warn";

/// Sets the logger up.
///
/// # Errors
/// The filter cannot be read.
pub fn init(config: &Config) -> Result<(), String> {
    let log = &config.log;
    let filter = EnvFilter::try_new(directives(log))
        .map_err(|error| format!("log.level \"{}\" cannot be read: {error}", log.level))?;
    let registry = tracing_subscriber::registry().with(filter);
    let secrets = [
        &config.auth.root_token,
        &config.auth.jwt_secret,
        &config.storage.secret_access_key,
        &config.browser.http_password,
    ];
    // Colours are for people; a file or a pipe gets plain text.
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(Redacting::new(secrets));
    let set = match log.format {
        LogFormat::Json => registry.with(layer.json()).try_init(),
        LogFormat::Text => registry.with(layer).try_init(),
    };
    if log.format == LogFormat::Json {
        log_panics();
    }
    set.map_err(|error| error.to_string())
}

/// The filter behind `log.level`: a level alone is that of the server's own code.
fn directives(log: &Log) -> String {
    // The reference writes levels in capitals.
    let level = log.level.to_ascii_lowercase().replace("warning", "warn");
    let parts = level
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let own = parts.map(|part| match part {
        "off" => "off".to_owned(),
        "error" => "error,rhizome=error".to_owned(),
        named if named.contains(['=', ':', '[']) || is_no_level(named) => named.to_owned(),
        level => format!("rhizome={level}"),
    });
    let own: Vec<_> = own.collect();
    // Requests are a matter of its own, whatever the level is.
    let access = if log.access { "debug" } else { "off" };
    format!("{QUIET},{},rhizome::access={access}", own.join(","))
}

fn is_no_level(part: &str) -> bool {
    part.parse::<tracing::Level>().is_err()
}

/// Panics of parts of the server are survived; their texts must not break the lines.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no text");
        tracing::error!(place, message, "panic");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(level: &str) -> String {
        let log = Log {
            level: level.into(),
            ..Log::default()
        };
        let whole = directives(&log);
        let own = whole.strip_prefix(QUIET).unwrap();
        let own = own.strip_suffix(",rhizome::access=off").unwrap();
        own.trim_start_matches(',').to_owned()
    }

    #[test]
    fn a_level_is_that_of_our_own_code() {
        assert_eq!(of("trace"), "rhizome=trace");
        assert_eq!(of("WARNING"), "rhizome=warn");
        assert_eq!(of("off"), "off");
        assert_eq!(
            of("info, rhizome::router=debug"),
            "rhizome=info,rhizome::router=debug"
        );
        assert_eq!(of("debug,hyper=trace"), "rhizome=debug,hyper=trace");
        assert_eq!(of("hyper"), "hyper");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (level, good) in [("info", true), ("rhizome=loud", false)] {
            let log = Log {
                level: level.into(),
                ..Log::default()
            };
            assert_eq!(
                EnvFilter::try_new(directives(&log)).is_ok(),
                good,
                "{level}"
            );
        }
    }
}
