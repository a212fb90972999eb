//! `rhizome serve`.

use std::io::Write;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::settings::{self, DATABASE};
use super::{fail, logging};
use crate::config::{Arity, IGNORED_FLAGS, Loaded, LogFormat};
use crate::node;

pub(super) fn command() -> Command {
    let command = Command::new("serve").about("Runs the server").arg(
        Arg::new("print-config")
            .long("print-config")
            .action(ArgAction::SetTrue)
            .help("Shows each value and where it came from, and ends"),
    );
    let mut command = settings::with_flags(command);
    for (flag, arity, _) in IGNORED_FLAGS {
        let arg = Arg::new(*flag).long(*flag).hide(true);
        command = command.arg(match arity {
            Arity::Switch => arg.action(ArgAction::SetTrue),
            Arity::One => arg.num_args(1).action(ArgAction::Append),
        });
    }
    command
}

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let loaded = match settings::loaded(matches) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error.to_string()),
    };
    if matches.get_flag("print-config") {
        print_config(&loaded);
        return ExitCode::SUCCESS;
    }
    if let Err(error) = logging::init(&loaded.config) {
        return fail(&error);
    }
    for (flag, arity, instead) in IGNORED_FLAGS {
        let given = match arity {
            Arity::Switch => matches.get_flag(flag),
            Arity::One => matches.contains_id(flag),
        };
        if given {
            tracing::warn!("--{flag} has no effect here: {instead}");
        }
    }
    if let Some(uri) = matches.get_one::<String>(DATABASE)
        && settings::folder_of_database(uri).is_none()
    {
        tracing::warn!("--{DATABASE} has no effect here: records are kept in the data folder");
    }
    let system = actix_web::rt::System::new();
    let format = loaded.config.log.format;
    match system.block_on(node::serve(loaded.config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if format == LogFormat::Json => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
        Err(error) => fail(&error.to_string()),
    }
}

/// A reader that has seen enough closes the pipe, which is no failure.
fn print_config(loaded: &Loaded) {
    let mut out = std::io::stdout().lock();
    let Ok(toml::Value::Table(sections)) = toml::Value::try_from(&loaded.config) else {
        return;
    };
    for (section, values) in &sections {
        for (key, value) in values.as_table().into_iter().flatten() {
            let path = format!("{section}.{key}");
            let origin = loaded.origins.get(&path).map_or("default", String::as_str);
            let secret = matches!(
                path.as_str(),
                "auth.root_token"
                    | "auth.jwt_secret"
                    | "accounts.resend_api_key"
                    | "storage.secret_access_key"
                    | "browser.http_password"
                    | "browser.extra_http_headers"
            );
            let shown = match value.as_str() {
                Some(text) if secret && !text.is_empty() => "\"…\"".to_owned(),
                None if secret && value.as_table().is_some_and(|table| !table.is_empty()) => {
                    "\"…\"".to_owned()
                }
                _ => value.to_string(),
            };
            if writeln!(out, "{path} = {shown}  # {origin}").is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::flags;
    use super::*;

    #[test]
    fn flags_of_the_reference_are_accepted() {
        let matches = command()
            .try_get_matches_from([
                "serve",
                "--host=127.0.0.1",
                "--port",
                "9999",
                "--enable-server-apps",
                "--enable-s3",
                "--redis-uri=x",
                "--static-mounts",
                "/a:a",
                "/b:b",
                "--startup-functions=a:f",
                "--startup-functions",
                "b:g",
                "./c.py:h",
                "--triton-servers=x",
            ])
            .unwrap();
        let flags = flags(&matches);
        assert_eq!(flags["server.port"], "9999");
        assert_eq!(flags["apps.enabled"], "true");
        assert_eq!(flags["server.static_mounts"], "/a:a,/b:b");
        assert_eq!(flags["startup.functions"], "a:f\nb:g\n./c.py:h");
    }

    #[test]
    fn a_database_gives_the_data_folder_unless_one_is_named() {
        let folder = |args: &[&str]| {
            let matches = command()
                .try_get_matches_from([&["serve"], args].concat())
                .unwrap();
            flags(&matches).remove("server.data_dir")
        };
        let sqlite = "--database-uri=sqlite+aiosqlite:////tmp/x/app.db";
        assert_eq!(folder(&[sqlite]).unwrap(), "/tmp/x/app.db.rhizome");
        assert_eq!(folder(&[sqlite, "--data-dir=d"]).unwrap(), "d");
        assert_eq!(folder(&["--database-uri=sqlite:///:memory:"]), None);
        assert_eq!(folder(&["--database-uri=postgresql://host/db"]), None);
    }

    #[test]
    fn an_unknown_flag_names_the_closest_one() {
        let error = command()
            .try_get_matches_from(["serve", "--prot=1"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("--port"), "{error}");
    }
}
