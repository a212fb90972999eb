//! `rhizome app call` and `rhizome app exec`.

use std::io::Read;

use clap::{Arg, ArgMatches, Command};

use super::{AppError, Session, named, needed, text};
use crate::map;
use crate::wire::{Map, Value};

pub(super) fn command() -> Command {
    Command::new("call")
        .about("Calls a function of a service; service@app starts the app")
        .arg(named("service", "Id of the service, e.g. default@my-app"))
        .arg(Arg::new("function").help("Function; without it the functions are listed"))
        .arg(
            Arg::new("arguments")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .help("JSON values, or name=value for keyword arguments"),
        )
}

pub(super) fn exec_command() -> Command {
    Command::new("exec")
        .about("Runs code in a session, or in the newest one of an app")
        .arg(named("session-or-app", "Id of the session or the app"))
        .arg(named("script", "The code; - reads it from standard input"))
        .arg(text("timeout", "Seconds it may take").value_parser(clap::value_parser!(f64)))
}

/// A word as JSON, or as the text it is.
fn value(word: &str) -> Value {
    serde_json::from_str(word).map_or_else(|_| word.into(), Value::from_json)
}

/// Words as arguments: `name=value` are keyword arguments.
fn arguments<'a>(words: impl Iterator<Item = &'a String>) -> (Vec<Value>, Map) {
    let (mut args, mut kwargs) = (Vec::new(), Map::new());
    for word in words {
        match word.split_once('=') {
            Some((name, given)) if is_name(name) => {
                kwargs.insert(name, value(given));
            }
            _ => args.push(value(word)),
        }
    }
    (args, kwargs)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Session<'_> {
    pub(super) async fn call(&self, given: &ArgMatches) -> Result<(), AppError> {
        let service = self.connection.service(&needed(given, "service")?).await?;
        let Some(function) = super::arg(given, "function") else {
            let names: Vec<Value> = service.functions().into_iter().map(Value::from).collect();
            self.output
                .lines(&Value::Array(names), "the service has no functions");
            return Ok(());
        };
        let words = given.get_many::<String>("arguments");
        let (args, kwargs) = arguments(words.into_iter().flatten());
        let result = service.call(&function, args, kwargs).await?;
        self.output.result(&result);
        Ok(())
    }

    pub(super) async fn exec(&self, given: &ArgMatches) -> Result<(), AppError> {
        let session = self.session(&needed(given, "session-or-app")?).await?;
        let mut script = needed(given, "script")?;
        if script == "-" {
            script.clear();
            std::io::stdin()
                .read_to_string(&mut script)
                .map_err(|source| AppError::File {
                    path: "standard input".into(),
                    source,
                })?;
        }
        let mut kwargs = map! { "session_id" => session, "script" => script };
        if let Some(timeout) = given.get_one::<f64>("timeout") {
            kwargs.insert("config", map! { "timeout" => *timeout });
        }
        let result = self.with_progress("execute", kwargs).await?;
        self.output.result(&result);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_arguments() {
        let words = ["5", "text", "a=1", "b={\"c\":2}", "d=x=y", "1=2", "[1,2]"].map(str::to_owned);
        let (args, kwargs) = arguments(words.iter());
        assert_eq!(
            args,
            [5.into(), "text".into(), "1=2".into(), vec![1, 2].into()]
        );
        assert_eq!(
            kwargs,
            map! { "a" => 1, "b" => map! { "c" => 2 }, "d" => "x=y" }
        );
    }
}
