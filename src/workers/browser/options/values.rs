//! Kinds of values that options have beside numbers and texts.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// A number that may be missing; in files and variables, an empty text.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measure(pub Option<f64>);

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(number) => serializer.serialize_f64(number),
            None => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for Measure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Number(f64),
            Text(String),
        }
        let wrong = || D::Error::custom("must be a number");
        match Given::deserialize(deserializer).map_err(|_| wrong())? {
            Given::Number(number) => Ok(Self(Some(number))),
            Given::Text(text) if text.trim().is_empty() => Ok(Self(None)),
            Given::Text(text) => text
                .trim()
                .parse()
                .map(|number| Self(Some(number)))
                .map_err(|_| wrong()),
        }
    }
}

// The values may be keys.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Names and values of HTTP headers: a table, or the same as JSON text.
#[derive(Clone, PartialEq, Default)]
pub struct Headers(pub BTreeMap<String, String>);

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Table(BTreeMap<String, String>),
            Text(String),
        }
        let wrong = || {
            D::Error::custom(
                "must be an object of header names and texts, such as {\"X-API-Key\": \"secret\"}",
            )
        };
        match Given::deserialize(deserializer).map_err(|_| wrong())? {
            Given::Table(table) => Ok(Self(table)),
            Given::Text(text) if text.trim().is_empty() => Ok(Self::default()),
            Given::Text(text) => serde_json::from_str(&text).map(Self).map_err(|_| wrong()),
        }
    }
}
