//! The settings of a server as flags: for `serve`, and for what works on its data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::{ConfigError, Kind, Loaded, SETTINGS, Sources, load};

/// Config file that is read when none is named and it exists.
const DEFAULT_FILE: &str = "config/rhizome.toml";
/// Flag of the reference for the place of its records.
pub(super) const DATABASE: &str = "database-uri";

/// Adds a flag for each setting.
pub(super) fn with_flags(command: Command) -> Command {
    let mut command = command.arg(
        Arg::new("config")
            .long("config")
            .value_parser(value_parser!(PathBuf))
            .help("Config file; config/rhizome.toml when it exists"),
    );
    command = command.arg(
        Arg::new(DATABASE)
            .long(DATABASE)
            .hide(true)
            .help("The reference's database; its name gives the data folder's"),
    );
    for setting in SETTINGS {
        let Some(flag) = setting.flag else {
            continue;
        };
        let arg = Arg::new(setting.path).long(flag).help(setting.help);
        command = command.arg(match setting.kind {
            // `--flag` alone, and `--flag=false`.
            Kind::Bool => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
            Kind::List | Kind::Words => arg.num_args(1..).action(ArgAction::Append),
            _ => arg.num_args(1),
        });
    }
    command
}

pub(super) fn flags(matches: &ArgMatches) -> BTreeMap<&'static str, String> {
    let mut flags = given_settings(matches);
    // Two servers that had two databases must not end in one data folder.
    if let Some(uri) = matches.get_one::<String>(DATABASE)
        && let Some(folder) = folder_of_database(uri)
    {
        flags.entry("server.data_dir").or_insert(folder);
    }
    flags
}

/// The data folder that stands for a SQLite database: beside it, under its name.
pub(super) fn folder_of_database(uri: &str) -> Option<String> {
    let (scheme, path) = uri.split_once(":///")?;
    let path = path.split('?').next().unwrap_or_default();
    let usable = scheme.starts_with("sqlite") && !path.is_empty() && path != ":memory:";
    usable.then(|| format!("{path}.rhizome"))
}

fn given_settings(matches: &ArgMatches) -> BTreeMap<&'static str, String> {
    SETTINGS
        .iter()
        .filter(|setting| setting.flag.is_some())
        .filter_map(|setting| {
            // Only lists are given more than once.
            let texts: Vec<_> = matches.get_many::<String>(setting.path)?.cloned().collect();
            let joint = match setting.kind {
                Kind::Words => "\n",
                _ => ",",
            };
            Some((setting.path, texts.join(joint)))
        })
        .collect()
}

/// The settings from all their sources.
///
/// # Errors
/// One of them cannot be read.
pub(super) fn loaded(matches: &ArgMatches) -> Result<Loaded, ConfigError> {
    let default = PathBuf::from(DEFAULT_FILE);
    let named = matches.get_one::<PathBuf>("config").cloned();
    let file = named.or_else(|| default.exists().then_some(default));
    load(&Sources {
        file: file.as_deref(),
        flags: &flags(matches),
        env: &|name| std::env::var(name).ok(),
    })
}
