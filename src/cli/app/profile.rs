//! Which server, and as whom: flags, the environment, then `~/.config/rhizome/client.toml`.

use std::path::PathBuf;

use clap::ArgMatches;
use serde::Deserialize;

use super::{AppError, arg};
use crate::client::Connect;

/// Server of a fresh installation.
const DEFAULT_SERVER: &str = "http://127.0.0.1:9527";

/// The file's keys.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Profile {
    server: Option<String>,
    token: Option<String>,
    workspace: Option<String>,
}

fn path() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(base.join("rhizome").join("client.toml"))
}

fn read() -> Result<Profile, AppError> {
    let Some(path) = path() else {
        return Ok(Profile::default());
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text)
            .map_err(|error| AppError::Usage(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Profile::default()),
        Err(source) => Err(AppError::File {
            path: path.display().to_string(),
            source,
        }),
    }
}

/// Where to connect to.
///
/// # Errors
/// The file cannot be read.
pub(super) fn connect(given: &ArgMatches) -> Result<Connect, AppError> {
    let profile = read()?;
    let filled = |name: &str, kept: Option<String>| {
        let given = arg(given, name).filter(|text| !text.is_empty());
        given.or(kept).filter(|text| !text.is_empty())
    };
    Ok(Connect {
        server_url: filled("server", profile.server).unwrap_or(DEFAULT_SERVER.to_owned()),
        token: filled("token", profile.token),
        workspace: filled("workspace", profile.workspace),
        client_id: None,
    })
}
