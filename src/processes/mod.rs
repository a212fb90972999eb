//! Child processes of this server: each in its own process group, tied to the server's life.
//!
//! - [`Launch`]: what to run; [`Launch::spawn`] starts it.
//! - [`Process`]: the running child. Dropping the last handle kills its group.
//! - [`python`]: the Python interpreter that can speak to this server.
//! - [`sweep_orphans`]: ends what an earlier, killed server left behind.

mod control;
mod launch;
mod lines;
mod process;
pub mod python;
mod sweep;

pub use control::{Control, Incoming, Outgoing};
pub use launch::{Launch, Limits, Spawned, WindowSize};
pub use lines::each_line;
pub use process::{Exit, Process};
pub use sweep::{MARK, owner_of, sweep_orphans};

/// Environment variables that programs of users get to see; the server's others may hold secrets.
const ENVIRONMENT: [&str; 19] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PIP_INDEX_URL",
    "UV_INDEX_URL",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// The part of the server's own environment that programs of users get.
pub fn plain_environment() -> Vec<(String, String)> {
    ENVIRONMENT
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect()
}
