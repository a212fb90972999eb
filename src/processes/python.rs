//! The Python interpreter for startup functions and Python apps.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Names that are tried, in this order.
const NAMES: [&str; 6] = [
    "python3.11",
    "python3",
    "python3.12",
    "python3.13",
    "python3.10",
    "python",
];
/// How long an interpreter may take to say what it can.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Prints where the interpreter is, and whether the client library is there.
const QUESTION: &str = "import sys, importlib.util\n\
    print(sys.executable)\n\
    print(importlib.util.find_spec('hypha_rpc') is not None)";

/// Why there is no interpreter.
#[derive(Debug, Clone, Error)]
pub enum PythonError {
    #[error(
        "no Python with hypha-rpc was found (tried {tried}). Install it with \
         `python3 -m pip install hypha-rpc`, or name an interpreter that has it in startup.python"
    )]
    NoneHasClient { tried: String },
    #[error(
        "startup.python names {path}, which has no hypha-rpc; install it with \
         `{path} -m pip install hypha-rpc`"
    )]
    NoClient { path: String },
    #[error("startup.python names {path}, which cannot be run")]
    NotRunnable { path: String },
    #[error("no Python interpreter was found (tried {tried}); name one in startup.python")]
    None { tried: String },
}

/// What is known of the interpreters of this machine, found out when first asked.
pub struct Python {
    /// The setting; empty to search.
    named: String,
    found: OnceCell<Found>,
}

#[derive(Clone)]
struct Found {
    with_client: Option<PathBuf>,
    any: Option<PathBuf>,
    tried: String,
}

impl Python {
    /// Uses the interpreter `named`, or searches for one when that is empty.
    pub fn new(named: &str) -> Self {
        Python {
            named: named.trim().to_owned(),
            found: OnceCell::new(),
        }
    }

    /// An interpreter that can import `hypha_rpc`.
    ///
    /// # Errors
    /// There is none; the text says what to install.
    pub async fn with_client(&self) -> Result<PathBuf, PythonError> {
        let found = self.found().await;
        match (&found.with_client, &found.any) {
            (Some(path), _) => Ok(path.clone()),
            (None, _) if self.named.is_empty() => Err(PythonError::NoneHasClient {
                tried: found.tried.clone(),
            }),
            (None, Some(_)) => Err(PythonError::NoClient {
                path: self.named.clone(),
            }),
            (None, None) => Err(PythonError::NotRunnable {
                path: self.named.clone(),
            }),
        }
    }

    /// Any interpreter, one with `hypha_rpc` if there is one.
    ///
    /// # Errors
    /// There is none.
    pub async fn any(&self) -> Result<PathBuf, PythonError> {
        let found = self.found().await;
        let path = found.with_client.as_ref().or(found.any.as_ref());
        path.cloned().ok_or_else(|| PythonError::None {
            tried: found.tried.clone(),
        })
    }

    async fn found(&self) -> &Found {
        self.found
            .get_or_init(|| async {
                let candidates = self.candidates();
                let tried: Vec<_> = candidates
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                let mut found = Found {
                    with_client: None,
                    any: None,
                    tried: tried.join(", "),
                };
                for candidate in &candidates {
                    let Some((path, has_client)) = ask(candidate).await else {
                        continue;
                    };
                    if has_client {
                        found.with_client = Some(path);
                        break;
                    }
                    found.any.get_or_insert(path);
                }
                found
            })
            .await
    }

    fn candidates(&self) -> Vec<PathBuf> {
        if !self.named.is_empty() {
            return vec![PathBuf::from(&self.named)];
        }
        let active = std::env::var_os("VIRTUAL_ENV").map(|env| Path::new(&env).join("bin/python"));
        active
            .into_iter()
            .chain(NAMES.iter().map(PathBuf::from))
            .collect()
    }
}

/// Where an interpreter really is, and whether it has the client library; none when it does not
/// run.
async fn ask(program: &Path) -> Option<(PathBuf, bool)> {
    let answered = Command::new(program)
        .args(["-c", QUESTION])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(ANSWER_WITHIN, answered)
        .await
        .ok()?
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let path = lines.next().filter(|path| !path.is_empty())?;
    Some((path.into(), lines.next()? == "True"))
}
