//! `rhizome doctor`: looks at a data folder that no server uses.

use std::io::Write;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::{logging, settings};
use crate::artifacts::doctor::Report;
use crate::config::{Config, LogFormat};
use crate::node::{self, NodeError};
use crate::store::StoreError;

/// Exit code when something is wrong with the data.
const FOUND: u8 = 1;
/// Exit code when nothing could be said.
const NO_VERDICT: u8 = 2;

fn switch(name: &'static str, help: &'static str) -> Arg {
    let switch = Arg::new(name).long(name).action(ArgAction::SetTrue);
    switch.help(help)
}

pub(super) fn command() -> Command {
    let command = Command::new("doctor")
        .about("Looks for damage in the data folder of a server that does not run")
        .after_help(
            "Exit codes: 0 all is well, 1 there are errors, 2 nothing could be said. Takes the \
             settings of `serve`.",
        )
        .arg(switch(
            "artifacts",
            "Whether records of artifacts and contents of files agree",
        ))
        .arg(switch(
            "deep",
            "Reads all contents and compares their hashes",
        ))
        .arg(switch("json", "Prints the findings as JSON"));
    settings::with_flags(command)
}

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    if !matches.get_flag("artifacts") {
        return no_verdict("say what to look at: --artifacts");
    }
    let mut config = match settings::loaded(matches) {
        Ok(loaded) => loaded.config,
        Err(error) => return no_verdict(&error.to_string()),
    };
    config.log.format = LogFormat::Text;
    if let Err(error) = logging::init(&config) {
        return no_verdict(&error);
    }
    let system = actix_web::rt::System::new();
    let examined = system.block_on(node::examine(&config, matches.get_flag("deep")));
    let report = match examined {
        Ok(report) => report,
        Err(NodeError::Store(StoreError::InUse { path })) => {
            let text = "a server uses the data folder; stop it first";
            return no_verdict(&format!("{text} ({})", path.display()));
        }
        Err(error) => return no_verdict(&error.to_string()),
    };
    // A reader that has seen enough closes the pipe, which is no failure.
    let _ = match matches.get_flag("json") {
        true => as_json(&config, &report),
        false => as_text(&config, &report),
    };
    match report.errors() {
        0 => ExitCode::SUCCESS,
        _ => FOUND.into(),
    }
}

fn no_verdict(reason: &str) -> ExitCode {
    super::fail(reason);
    NO_VERDICT.into()
}

fn engine(config: &Config) -> &'static str {
    match config.storage.s3 {
        true => "s3",
        false => "folder",
    }
}

fn as_json(config: &Config, report: &Report) -> std::io::Result<()> {
    let out = std::io::stdout().lock();
    let whole = json!({
        "data_dir": config.server.data_dir,
        "engine": engine(config),
        "errors": report.errors(),
        "notes": report.findings.len() - report.errors(),
        "counts": report.counts,
        "findings": report.findings,
    });
    serde_json::to_writer_pretty(out, &whole)?;
    println!();
    Ok(())
}

fn as_text(config: &Config, report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let counts = report.counts;
    writeln!(
        out,
        "{} ({}): {} artifacts with {} versions and {} files, {} files of workspaces, {} uploads \
         under way, {} contents with {} bytes",
        config.server.data_dir.display(),
        engine(config),
        counts.artifacts,
        counts.versions,
        counts.files,
        counts.workspace_files,
        counts.uploads,
        counts.blobs,
        counts.bytes,
    )?;
    for one in &report.findings {
        let (severity, kind) = (one.severity, one.kind);
        writeln!(out, "{severity:5} {kind:23} {}: {}", one.subject, one.text)?;
    }
    let (errors, notes) = (report.errors(), report.findings.len() - report.errors());
    writeln!(out, "{errors} errors, {notes} notes")
}
