//! `rhizome app`: what developers of apps do from a shell.

mod call;
mod dev;
mod install;
mod logs;
mod output;
mod profile;
mod source;

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use thiserror::Error;

use crate::client::{ClientError, Connection, RemoteService};
use crate::map;
use crate::wire::{Map, Value};
use output::Output;

/// Why a command failed.
#[derive(Debug, Error)]
pub(super) enum AppError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{path}: {source}")]
    File {
        path: String,
        source: std::io::Error,
    },
    #[error("{0}")]
    Usage(String),
}

/// Id of the service that manages apps.
const CONTROLLER: &str = "public/server-apps";

fn text(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).num_args(1).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

fn named(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).required(true).help(help)
}

pub(super) fn command() -> Command {
    Command::new("app")
        .about("Installs, runs and watches apps")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            text("server", "URL of the server (HYPHA_SERVER_URL)")
                .env("HYPHA_SERVER_URL")
                .global(true),
        )
        .arg(
            text("token", "Token (HYPHA_TOKEN)")
                .env("HYPHA_TOKEN")
                .hide_env_values(true)
                .global(true),
        )
        .arg(
            text("workspace", "Workspace (HYPHA_WORKSPACE)")
                .env("HYPHA_WORKSPACE")
                .global(true),
        )
        .arg(switch("json", "Results as JSON").global(true))
        .subcommand(install::command())
        .subcommand(dev::command())
        .subcommand(
            Command::new("start")
                .about("Starts a session of an app")
                .arg(named("app", "Id of the app"))
                .arg(text("wait-for", "Service to wait for"))
                .arg(text("timeout", "Seconds to wait").value_parser(clap::value_parser!(f64))),
        )
        .subcommand(
            Command::new("stop")
                .about("Stops a session, or all sessions of an app")
                .arg(named("session-or-app", "Id of the session or the app")),
        )
        .subcommand(
            Command::new("list")
                .about("Lists the installed apps")
                .arg(switch("running", "Lists the running sessions"))
                .arg(switch("workers", "Lists the workers")),
        )
        .subcommand(
            Command::new("info")
                .about("Shows an app or a session")
                .arg(named("session-or-app", "Id of the session or the app")),
        )
        .subcommand(logs::command())
        .subcommand(call::command())
        .subcommand(call::exec_command())
        .subcommand(
            Command::new("uninstall")
                .about("Removes an app with all its versions")
                .arg(named("app", "Id of the app")),
        )
        .subcommand(
            Command::new("rollback")
                .about("Makes an earlier version of an app the current one")
                .arg(named("app", "Id of the app"))
                .arg(text("to", "Version; the one before when not given")),
        )
}

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match runtime.block_on(dispatch(matches)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("rhizome: {reason}");
    ExitCode::FAILURE
}

async fn dispatch(matches: &ArgMatches) -> Result<(), AppError> {
    let Some((name, given)) = matches.subcommand() else {
        return Err(AppError::Usage("no command".into()));
    };
    let output = Output::new(given.get_flag("json"));
    let connection = Connection::open(&profile::connect(given)?).await?;
    let session = Session {
        controller: connection.service(CONTROLLER).await?,
        connection: &connection,
        output,
    };
    match name {
        "install" => session.install(given).await,
        "dev" => session.dev(given).await,
        "start" => session.start(given).await,
        "stop" => session.stop(given).await,
        "list" => session.list(given).await,
        "info" => session.info(given).await,
        "logs" => session.logs(given).await,
        "call" => session.call(given).await,
        "exec" => session.exec(given).await,
        "uninstall" => session.uninstall(given).await,
        "rollback" => session.rollback(given).await,
        other => Err(AppError::Usage(format!("no command {other}"))),
    }
}

/// A connection with what the commands need.
struct Session<'a> {
    connection: &'a Connection,
    controller: RemoteService<'a>,
    output: Output,
}

fn arg(given: &ArgMatches, name: &str) -> Option<String> {
    given.get_one::<String>(name).cloned()
}

fn needed(given: &ArgMatches, name: &str) -> Result<String, AppError> {
    arg(given, name).ok_or_else(|| AppError::Usage(format!("{name} is missing")))
}

/// Whether an id is that of a session: sessions are clients with a name of their own.
fn is_session(id: &str) -> bool {
    let client = id.rsplit('/').next().unwrap_or(id);
    client.starts_with("_rapp_")
}

impl Session<'_> {
    async fn ask(&self, method: &str, kwargs: Map) -> Result<Value, AppError> {
        Ok(self.controller.call(method, Vec::new(), kwargs).await?)
    }

    /// The running sessions of an app.
    async fn sessions_of(&self, app: &str) -> Result<Vec<String>, AppError> {
        let running = self.ask("list_running", Map::new()).await?;
        let app = app.rsplit('/').next().unwrap_or(app);
        Ok(running
            .as_array()
            .unwrap_or_default()
            .iter()
            .filter(|session| session.get("app_id").and_then(Value::as_str) == Some(app))
            .filter_map(|session| session.get("id").and_then(Value::as_str).map(str::to_owned))
            .collect())
    }

    /// A session by its id, or the newest of an app.
    async fn session(&self, id: &str) -> Result<String, AppError> {
        if is_session(id) {
            return Ok(id.to_owned());
        }
        let mut sessions = self.sessions_of(id).await?;
        sessions
            .pop()
            .ok_or_else(|| AppError::Usage(format!("no session of {id} is running")))
    }

    async fn start(&self, given: &ArgMatches) -> Result<(), AppError> {
        let app = needed(given, "app")?;
        let mut kwargs = map! { "app_id" => app };
        if let Some(service) = arg(given, "wait-for") {
            kwargs.insert("wait_for_service", service);
        }
        if let Some(timeout) = given.get_one::<f64>("timeout") {
            kwargs.insert("timeout", *timeout);
        }
        let record = self.with_progress("start", kwargs).await?;
        self.output.record(&record, &["id", "app_id", "workspace"]);
        Ok(())
    }

    /// Calls a method of the controller and shows its progress.
    async fn with_progress(&self, method: &str, kwargs: Map) -> Result<Value, AppError> {
        let progress = self.output.progress();
        let done = self
            .controller
            .call_with_progress(method, kwargs, progress.callback())
            .await;
        progress.finish();
        Ok(done?)
    }

    async fn stop(&self, given: &ArgMatches) -> Result<(), AppError> {
        let id = needed(given, "session-or-app")?;
        let sessions = match is_session(&id) {
            true => vec![id],
            false => self.sessions_of(&id).await?,
        };
        for session in &sessions {
            self.ask("stop", map! { "session_id" => session.as_str() })
                .await?;
        }
        let stopped: Vec<Value> = sessions.iter().map(|id| id.as_str().into()).collect();
        self.output
            .lines(&Value::Array(stopped), "nothing was running");
        Ok(())
    }

    async fn list(&self, given: &ArgMatches) -> Result<(), AppError> {
        let (method, columns, none): (_, &[&str], _) = if given.get_flag("running") {
            (
                "list_running",
                &["id", "app_id", "status"],
                "no session is running",
            )
        } else if given.get_flag("workers") {
            (
                "list_workers",
                &["id", "name", "supported_types"],
                "no worker is registered",
            )
        } else {
            (
                "list_apps",
                &["id", "name", "type", "version"],
                "no app is installed",
            )
        };
        let found = self.ask(method, Map::new()).await?;
        self.output.table(&found, columns, none);
        Ok(())
    }

    async fn info(&self, given: &ArgMatches) -> Result<(), AppError> {
        let id = needed(given, "session-or-app")?;
        let found = if is_session(&id) {
            self.ask("get_session_info", map! { "session_id" => id })
                .await?
        } else {
            self.ask("get_app_info", map! { "app_id" => id }).await?
        };
        self.output.whole(&found);
        Ok(())
    }

    async fn uninstall(&self, given: &ArgMatches) -> Result<(), AppError> {
        let app = needed(given, "app")?;
        self.ask("uninstall", map! { "app_id" => app.as_str() })
            .await?;
        self.output.say(&format!("uninstalled {app}"));
        Ok(())
    }

    async fn rollback(&self, given: &ArgMatches) -> Result<(), AppError> {
        let app = needed(given, "app")?;
        let mut kwargs = map! { "app_id" => app };
        if let Some(version) = arg(given, "to") {
            kwargs.insert("version", version);
        }
        let record = self.ask("rollback", kwargs).await?;
        self.output.record(&record, &["id", "version"]);
        Ok(())
    }
}
