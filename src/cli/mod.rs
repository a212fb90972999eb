//! The command line. `rhizome serve` is the reference's `python -m hypha.server` with the flags
//! that make sense on one node; without a subcommand the flags mean `serve`.

mod app;
mod doctor;
mod logging;
mod redact;
mod serve;
mod settings;

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

/// Runs the program.
pub fn main() -> ExitCode {
    let matches = command().get_matches_from(arguments());
    match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("app", matches)) => app::run(matches),
        Some(("doctor", matches)) => doctor::run(matches),
        Some(("completions", matches)) => completions(matches),
        _ => ExitCode::FAILURE,
    }
}

fn command() -> Command {
    Command::new("rhizome")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A serverless app platform that speaks Hypha")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve::command())
        .subcommand(app::command())
        .subcommand(doctor::command())
        .subcommand(
            Command::new("completions")
                .about("Prints the completions for a shell")
                .arg(
                    Arg::new("shell")
                        .required(true)
                        .value_parser(value_parser!(Shell)),
                ),
        )
}

fn completions(matches: &ArgMatches) -> ExitCode {
    let Some(shell) = matches.get_one::<Shell>("shell") else {
        return ExitCode::FAILURE;
    };
    clap_complete::generate(*shell, &mut command(), "rhizome", &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// The arguments, with `serve` put in front of bare flags: the reference's test-suite, and its
/// users, start the server without a subcommand.
fn arguments() -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    let first = arguments.get(1).and_then(|first| first.to_str());
    let own = ["--help", "-h", "--version", "-V"];
    if first.is_some_and(|first| first.starts_with("--") && !own.contains(&first)) {
        arguments.insert(1, "serve".into());
    }
    arguments
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("rhizome: {reason}");
    ExitCode::FAILURE
}
