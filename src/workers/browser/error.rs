//! What can go wrong with the browser, its pages, and the compiling of apps.

use std::time::Duration;

use thiserror::Error;

use super::belongings::BelongingsError;
use super::devtools::DevtoolsError;
use super::options::OptionError;

/// A failure of the browser or of one page.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum BrowserError {
    /// There is no Chromium to start.
    #[error("no Chromium was found on this machine; name one with HYPHA_CHROMIUM_PATH")]
    NoExecutable,
    /// Chromium did not come up.
    #[error("Chromium could not be started: {0}")]
    Launch(String),
    /// As many pages are open as the settings allow.
    #[error(
        "Maximum concurrent sessions ({0}) reached. Stop a session before starting another one."
    )]
    Full(usize),
    /// The browser is gone, with the reason.
    #[error("the browser has ended: {0}")]
    Ended(String),
    /// The page is gone, with the reason.
    #[error("the page is gone: {0}")]
    Gone(String),
    /// The page did not become ready, with the reason.
    #[error("{0}")]
    Failed(String),
    /// A script threw; its message and stack.
    #[error("{0}")]
    Script(String),
    /// The result of a script is too big to be passed on.
    #[error("the result has {size} bytes, more than the {most} that may be returned")]
    TooBig {
        /// Its size as JSON.
        size: usize,
        /// The most.
        most: usize,
    },
    /// The browser took too long.
    #[error("the browser did not {what} within {} s", .limit.as_secs_f64())]
    Timeout {
        /// What was asked of it.
        what: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// Chromium refused a command.
    #[error("the browser refused to {what}: {reason}")]
    Refused {
        /// What was asked of it.
        what: &'static str,
        /// Its answer.
        reason: String,
    },
    /// Chromium refused the value of an option.
    #[error("{option} cannot be used: {reason}")]
    Option {
        /// The option.
        option: &'static str,
        /// Chromium's answer.
        reason: String,
    },
    /// An image format other than png and jpeg.
    #[error("Invalid format '{0}'. Must be 'png' or 'jpeg'")]
    ImageFormat(String),
}

impl BrowserError {
    pub(crate) fn refused(what: &'static str, error: DevtoolsError) -> Self {
        Self::Refused {
            what,
            reason: error.to_string(),
        }
    }
}

/// A failure to turn the files of an app into a page.
#[derive(Debug, Error)]
pub enum CompileError {
    /// A `web-app` without the address to open.
    #[error("web-app type requires 'entry_point' field in manifest")]
    MissingEntryPoint,
    /// A type that this worker does not run.
    #[error("the browser worker does not run apps of type '{0}'")]
    UnsupportedType(String),
    /// Markup where the type wants a script.
    #[error("an app of type '{0}' needs a script, but its source is markup")]
    Markup(String),
    /// A source file that is not text.
    #[error("the source file '{0}' is not valid UTF-8")]
    NotText(String),
    /// An option in the manifest cannot be used.
    #[error("{0}")]
    Option(#[from] OptionError),
    /// Its cookies, storage or authorization cannot be used.
    #[error("{0}")]
    Belongings(#[from] BelongingsError),
    /// A template does not render, or could not be read.
    #[error("the page template is broken: {0}")]
    Template(String),
}
