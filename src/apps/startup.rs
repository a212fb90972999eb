//! How an app is to be started: arguments of the call over the manifest over the defaults.

use std::time::Duration;

use serde_json::{Map, Value};

use super::manifest::Manifest;

/// Budget of a start when nobody says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle time after which a session is stopped when nobody says otherwise.
pub const DEFAULT_INACTIVITY: Duration = Duration::from_secs(600);
/// Name of the service an app is expected to register.
pub const DEFAULT_SERVICE: &str = "default";
/// Longer times mean "never" and only risk overflow.
const LONGEST: f64 = 1e9;

/// Why startup settings were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StartupError {
    #[error("{field} must be {expected}")]
    Field {
        field: &'static str,
        expected: &'static str,
    },
    #[error("Inactive period must be at least 1 second")]
    TooShort,
    #[error("Daemon apps should not have stop_after_inactive set.")]
    Daemon,
}

impl StartupError {
    /// Exception class under which clients see this error.
    pub fn class(&self) -> &'static str {
        "ValueError"
    }
}

/// `wait_for_service` as it was given. It must survive storage unchanged: `false` is not the same as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitSetting {
    /// `true`: the default service.
    On,
    /// `false`: no waiting at all.
    Off,
    /// A name; the empty one means the connection of the client.
    Name(String),
}

impl WaitSetting {
    fn read(value: &Value) -> Result<Option<Self>, StartupError> {
        match value {
            Value::Null => Ok(None),
            Value::Bool(true) => Ok(Some(Self::On)),
            Value::Bool(false) => Ok(Some(Self::Off)),
            Value::String(name) => Ok(Some(Self::Name(name.clone()))),
            _ => Err(StartupError::Field {
                field: "wait_for_service",
                expected: "a service name or a boolean",
            }),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::On => true.into(),
            Self::Off => false.into(),
            Self::Name(name) => name.as_str().into(),
        }
    }

    /// What is waited for. Only the service's own name counts: its client does not exist yet.
    pub fn wait_for(&self) -> WaitFor {
        match self {
            Self::On => WaitFor::Service(DEFAULT_SERVICE.to_owned()),
            Self::Off => WaitFor::Nothing,
            Self::Name(name) if name.is_empty() => WaitFor::Client,
            Self::Name(name) => {
                let without_app = name.split('@').next().unwrap_or(name);
                let own = without_app.rsplit([':', '/']).next().unwrap_or(without_app);
                WaitFor::Service(own.to_owned())
            }
        }
    }
}

/// The event that makes a session count as started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitFor {
    Service(String),
    /// The connection of the session's client.
    Client,
    /// Detached.
    Nothing,
}

impl WaitFor {
    /// Name of the awaited service.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Service(name) => Some(name),
            _ => None,
        }
    }
}

/// Startup settings of a manifest or of a call; absent ones say nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StartupConfig {
    pub timeout: Option<f64>,
    pub wait_for_service: Option<WaitSetting>,
    pub stop_after_inactive: Option<f64>,
    pub additional_kwargs: Option<Map<String, Value>>,
    /// Fields the server does not know, kept as given.
    pub other: Map<String, Value>,
}

impl StartupConfig {
    /// Reads `startup_config`, or the keyword arguments of the same names.
    pub fn read(fields: &Map<String, Value>) -> Result<Self, StartupError> {
        let mut config = Self::default();
        for (key, value) in fields {
            match key.as_str() {
                "timeout" => config.timeout = number("timeout", value)?,
                "wait_for_service" => config.wait_for_service = WaitSetting::read(value)?,
                "stop_after_inactive" => {
                    config.stop_after_inactive = number("stop_after_inactive", value)?;
                }
                "additional_kwargs" => config.additional_kwargs = object(value)?,
                _ => {
                    config.other.insert(key.clone(), value.clone());
                }
            }
        }
        Ok(config)
    }

    /// Settings of a call over the own ones, field by field.
    pub fn overridden_by(mut self, call: StartupConfig) -> Self {
        self.other.extend(call.other);
        Self {
            timeout: call.timeout.or(self.timeout),
            wait_for_service: call.wait_for_service.or(self.wait_for_service),
            stop_after_inactive: call.stop_after_inactive.or(self.stop_after_inactive),
            additional_kwargs: call.additional_kwargs.or(self.additional_kwargs),
            other: self.other,
        }
    }

    /// The form stored in the manifest: only what was said.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(key.to_owned(), value);
            }
        };
        put("timeout", self.timeout.map(plain_number));
        let wait = self.wait_for_service.as_ref();
        put("wait_for_service", wait.map(WaitSetting::to_json));
        let inactive = self.stop_after_inactive;
        put("stop_after_inactive", inactive.map(plain_number));
        let kwargs = self.additional_kwargs.clone();
        put("additional_kwargs", kwargs.map(Value::Object));
        fields.extend(self.other.clone());
        fields
    }

    /// Settles every question for one start of the app.
    pub fn plan(&self, manifest: &Manifest) -> Result<StartPlan, StartupError> {
        let implied = WaitSetting::On;
        let said = match &self.wait_for_service {
            None if manifest.detached() => Some(&WaitSetting::Off),
            said => said.as_ref(),
        };
        Ok(StartPlan {
            timeout: self.timeout()?,
            wait: said.unwrap_or(&implied).wait_for(),
            implied: said.is_none(),
            stop_after_inactive: self.inactivity(manifest.daemon())?,
            additional_kwargs: self.additional_kwargs.clone().unwrap_or_default(),
        })
    }

    fn timeout(&self) -> Result<Duration, StartupError> {
        match self.timeout {
            None => Ok(DEFAULT_TIMEOUT),
            Some(seconds) if seconds > 0.0 => Ok(Duration::from_secs_f64(seconds.min(LONGEST))),
            Some(_) => Err(StartupError::Field {
                field: "timeout",
                expected: "greater than 0",
            }),
        }
    }

    /// Zero and less mean never; a daemon never idles out.
    fn inactivity(&self, daemon: bool) -> Result<Option<Duration>, StartupError> {
        match self.stop_after_inactive {
            Some(seconds) if daemon && seconds > 0.0 => Err(StartupError::Daemon),
            None if daemon => Ok(None),
            None => Ok(Some(DEFAULT_INACTIVITY)),
            Some(seconds) if seconds <= 0.0 => Ok(None),
            Some(seconds) if seconds < 1.0 => Err(StartupError::TooShort),
            Some(seconds) => Ok(Some(Duration::from_secs_f64(seconds.min(LONGEST)))),
        }
    }
}

/// Everything one start needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct StartPlan {
    /// One deadline for the whole start.
    pub timeout: Duration,
    pub wait: WaitFor,
    /// Whether the default service is awaited only because nobody said anything.
    pub implied: bool,
    pub stop_after_inactive: Option<Duration>,
    pub additional_kwargs: Map<String, Value>,
}

fn number(field: &'static str, value: &Value) -> Result<Option<f64>, StartupError> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(number.as_f64()),
        _ => Err(StartupError::Field {
            field,
            expected: "a number of seconds",
        }),
    }
}

fn object(value: &Value) -> Result<Option<Map<String, Value>>, StartupError> {
    match value {
        Value::Null => Ok(None),
        Value::Object(fields) => Ok(Some(fields.clone())),
        _ => Err(StartupError::Field {
            field: "additional_kwargs",
            expected: "a dict",
        }),
    }
}

/// Whole seconds are written as integers, as they were most likely given.
fn plain_number(seconds: f64) -> Value {
    if seconds.fract() == 0.0 && seconds.abs() < 1e15 {
        (seconds as i64).into()
    } else {
        seconds.into()
    }
}

#[cfg(test)]
#[path = "startup_tests.rs"]
mod tests;
