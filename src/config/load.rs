//! Merging: flag, environment, config file, default, in this order of precedence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::{Table, Value};

use super::Config;
use super::settings::{Kind, SETTINGS, Setting};
use crate::workers::browser::OptionError;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read the config file {path}: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the config file {path} is not valid TOML: {source}")]
    Syntax {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("{origin}: {path} must be {expected}, got \"{text}\"")]
    Value {
        origin: String,
        path: &'static str,
        expected: &'static str,
        text: String,
    },
    #[error("{origin}: {error}")]
    Option { origin: String, error: OptionError },
    #[error("the configuration is not valid: {0}")]
    Shape(Box<toml::de::Error>),
}

/// A configuration and where each of its values came from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// By `section.key`; what is not listed is a default.
    pub origins: BTreeMap<String, String>,
}

/// Where values come from.
pub struct Sources<'a> {
    pub file: Option<&'a Path>,
    /// Text of a flag by the path of its setting.
    pub flags: &'a BTreeMap<&'static str, String>,
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// Reads and merges all sources.
///
/// # Errors
/// See [`ConfigError`]; the text names the source and what would be right.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, ConfigError> {
    let mut origins = BTreeMap::new();
    let mut table = match sources.file {
        Some(path) => read_file(path, &mut origins)?,
        None => Table::new(),
    };
    for setting in SETTINGS {
        let from_env = setting
            .env
            .iter()
            .find_map(|name| (sources.env)(name).map(|text| (format!("environment {name}"), text)));
        let from_flag = sources.flags.get(setting.path).map(|text| {
            let name = setting.flag.unwrap_or(setting.path);
            (format!("flag --{name}"), text.clone())
        });
        let Some((origin, text)) = from_flag.or(from_env) else {
            continue;
        };
        put(&mut table, setting.path, read(setting, &origin, &text)?);
        origins.insert(setting.path.to_owned(), origin);
    }
    let config: Config = table
        .try_into()
        .map_err(|error| ConfigError::Shape(Box::new(error)))?;
    config.browser.check().map_err(|error| {
        let path = format!("browser.{}", error.key);
        let origin = origins.get(&path).map_or("the default", String::as_str);
        ConfigError::Option {
            origin: origin.to_owned(),
            error,
        }
    })?;
    Ok(Loaded { config, origins })
}

fn read_file(path: &Path, origins: &mut BTreeMap<String, String>) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let table: Table = text.parse().map_err(|source| ConfigError::Syntax {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    for (section, values) in &table {
        for key in values.as_table().into_iter().flat_map(Table::keys) {
            origins.insert(
                format!("{section}.{key}"),
                format!("file {}", path.display()),
            );
        }
    }
    Ok(table)
}

fn put(table: &mut Table, path: &str, value: Value) {
    let (section, key) = path.split_once('.').unwrap_or(("", path));
    let section = table
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(key.to_owned(), value);
    }
}

fn read(setting: &Setting, origin: &str, text: &str) -> Result<Value, ConfigError> {
    let wrong = |expected| ConfigError::Value {
        origin: origin.to_owned(),
        path: setting.path,
        expected,
        text: text.to_owned(),
    };
    let trimmed = text.trim();
    Ok(match setting.kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Int => Value::Integer(trimmed.parse().map_err(|_| wrong("a whole number"))?),
        Kind::Float => Value::Float(trimmed.parse().map_err(|_| wrong("a number"))?),
        Kind::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "on" => Value::Boolean(true),
            "false" | "0" | "no" | "n" | "off" | "" => Value::Boolean(false),
            _ => return Err(wrong("true or false")),
        },
        Kind::Words => {
            let flag = origin.starts_with("flag");
            let apart = |c: char| match flag {
                true => c == '\n',
                false => c == ',' || c.is_whitespace(),
            };
            let words = text.split(apart).map(str::trim);
            Value::Array(
                words
                    .filter(|word| !word.is_empty())
                    .map(|word| Value::String(word.to_owned()))
                    .collect(),
            )
        }
        Kind::List => Value::Array(
            trimmed
                .split(',')
                .map(|part| Value::String(part.trim().to_owned()))
                .collect(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(flags: &[(&'static str, &str)], env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let flags = flags
            .iter()
            .map(|(path, text)| (*path, (*text).to_owned()))
            .collect();
        let env: BTreeMap<String, String> = env
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        load(&Sources {
            file: None,
            flags: &flags,
            env: &|name| env.get(name).cloned(),
        })
    }

    #[test]
    fn flags_win_over_the_environment_and_defaults_fill_the_rest() {
        let loaded = loaded(
            &[("server.port", "1234")],
            &[("HYPHA_PORT", "5"), ("HYPHA_HOST", "0.0.0.0")],
        )
        .unwrap();
        assert_eq!(loaded.config.server.port, 1234);
        assert_eq!(loaded.config.server.host, "0.0.0.0");
        assert_eq!(loaded.origins["server.port"], "flag --port");
        assert_eq!(loaded.origins["server.host"], "environment HYPHA_HOST");
        assert!(!loaded.origins.contains_key("log.level"));
    }

    #[test]
    fn words_of_a_flag_may_hold_what_separates_those_of_a_variable() {
        let words = loaded(&[("startup.functions", "my dir/a.py:f\nb:g")], &[]).unwrap();
        assert_eq!(words.config.startup.functions, ["my dir/a.py:f", "b:g"]);
        let words = loaded(&[], &[("HYPHA_STARTUP_FUNCTIONS", " a:f  b:g,c:h ")]).unwrap();
        assert_eq!(words.config.startup.functions, ["a:f", "b:g", "c:h"]);
    }

    #[test]
    fn wrong_values_are_named() {
        let error = loaded(&[], &[("HYPHA_PORT", "many")])
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "environment HYPHA_PORT: server.port must be a whole number, got \"many\""
        );
        assert!(loaded(&[], &[("HYPHA_ENABLE_SERVER_APPS", "maybe")]).is_err());
    }

    #[test]
    fn the_shipped_file_says_what_the_defaults_are() {
        let flags = BTreeMap::new();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rhizome.toml");
        let sources = Sources {
            file: Some(&path),
            flags: &flags,
            env: &|_| None,
        };
        let loaded = load(&sources).unwrap();
        assert_eq!(loaded.config, Config::default());
        let text = std::fs::read_to_string(&path).unwrap();
        let missing: Vec<_> = SETTINGS
            .iter()
            .map(|setting| setting.path)
            .filter(|path| !text.contains(path.split_once('.').unwrap().1))
            .collect();
        assert!(
            missing.is_empty(),
            "not explained in config/rhizome.toml: {missing:?}"
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        let dir = std::env::temp_dir().join(format!("rhizome-config-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("bad.toml");
        std::fs::write(&path, "[server]\nprot = 1\n").unwrap();
        let flags = BTreeMap::new();
        let error = load(&Sources {
            file: Some(&path),
            flags: &flags,
            env: &|_| None,
        })
        .unwrap_err()
        .to_string();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(error.contains("prot"), "{error}");
    }
}
