//! Texts that are searched.

use std::fmt::{self, Write};
use std::io;

use serde_json::{Map, Value as Json};

/// Puts the JSON text of a manifest in lower case into a buffer that is used again and again.
pub(super) fn render(manifest: Option<&Map<String, Json>>, into: &mut String) {
    into.clear();
    let Some(manifest) = manifest else {
        return;
    };
    let mut bytes = std::mem::take(into).into_bytes();
    let written = serde_json::to_writer(&mut bytes as &mut dyn io::Write, manifest);
    let text = String::from_utf8(bytes).ok().filter(|_| written.is_ok());
    *into = text.unwrap_or_default();
    if into.is_ascii() {
        into.make_ascii_lowercase();
    } else {
        *into = into.to_lowercase();
    }
}

/// A text in which `*` stands for anything, whatever the case.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// Lower case.
    parts: Vec<String>,
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        let parts = text.to_lowercase().split('*').map(str::to_owned).collect();
        Pattern { parts }
    }

    /// Takes the first place for every part, which never costs a later part its own.
    pub fn fits(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| *only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for part in middle {
            let Some(at) = rest.find(part.as_str()) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

/// A value as text, for patterns: texts as they are, all else as JSON.
pub(super) struct Plain<'a>(pub &'a Json);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Json::String(text) => f.write_str(text),
            Json::Bool(true) => f.write_char('1'),
            Json::Bool(false) => f.write_char('0'),
            other => write!(f, "{other}"),
        }
    }
}
