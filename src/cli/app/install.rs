//! `rhizome app install`.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::{Map as JsonMap, Value as Json, json};

use super::{AppError, Session, arg, source, switch, text};
use crate::wire::{Map, Value};

/// What `install` and `dev` share.
pub(super) fn source_args(command: Command) -> Command {
    command
        .arg(
            Arg::new("path")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("A file, or a folder with a manifest.yaml"),
        )
        .arg(text("id", "Id of the app; made up when not given"))
        .arg(text("type", "Type of the app, e.g. web-worker or python"))
        .arg(text("name", "Name of the app"))
        .arg(
            Arg::new("manifest")
                .long("manifest")
                .value_parser(value_parser!(PathBuf))
                .help("Manifest file; its fields overrule the folder's"),
        )
}

pub(super) fn command() -> Command {
    source_args(
        Command::new("install").about("Installs an app, after it has started once for a trial"),
    )
    .arg(switch("overwrite", "Replaces an app of the same id"))
    .arg(switch("stage", "Installs it without committing a version"))
    .arg(text("version", "Label of the version"))
    .arg(text("timeout", "Seconds for the trial start").value_parser(value_parser!(f64)))
}

/// The fields that the flags set.
fn overrides(given: &ArgMatches) -> Result<JsonMap<String, Json>, AppError> {
    let mut fields = match given.get_one::<PathBuf>("manifest") {
        Some(path) => source::manifest(path)?,
        None => JsonMap::new(),
    };
    for name in ["type", "name"] {
        if let Some(value) = arg(given, name) {
            fields.insert(name.to_owned(), json!(value));
        }
    }
    Ok(fields)
}

/// The arguments of `install` for what is on disk.
pub(super) fn arguments(given: &ArgMatches) -> Result<Map, AppError> {
    let path = given
        .get_one::<PathBuf>("path")
        .ok_or_else(|| AppError::Usage("path is missing".into()))?;
    let mut kwargs = source::read(path)?.arguments(overrides(given)?);
    if let Some(id) = arg(given, "id") {
        kwargs.insert("app_id", id);
    }
    Ok(kwargs)
}

impl Session<'_> {
    pub(super) async fn install(&self, given: &ArgMatches) -> Result<(), AppError> {
        let mut kwargs = arguments(given)?;
        for (flag, name) in [("overwrite", "overwrite"), ("stage", "stage")] {
            if given.get_flag(flag) {
                kwargs.insert(name, true);
            }
        }
        if let Some(version) = arg(given, "version") {
            kwargs.insert("version", version);
        }
        if let Some(timeout) = given.get_one::<f64>("timeout") {
            kwargs.insert("timeout", *timeout);
        }
        let record: Value = self.with_progress("install", kwargs).await?;
        self.output
            .record(&record, &["id", "name", "type", "version"]);
        Ok(())
    }
}
