//! Keeps secrets out of the log, wherever they come from (rule S13).
//!
//! No line of our own prints a token on purpose. But people put tokens where names belong, and
//! names are printed.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use tracing_subscriber::fmt::MakeWriter;

const INSTEAD: &str = "<secret>";
/// How every JSON web token begins: `{"` in base64.
const TOKEN: &str = "eyJ";
/// Shorter configured secrets would blank out ordinary words.
const SHORTEST: usize = 8;

/// Makes writers to standard error that leave secrets out.
#[derive(Clone)]
pub struct Redacting(Arc<[String]>);

impl Redacting {
    /// Leaves out these secrets besides everything that looks like a token.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a String>) -> Self {
        let long = secrets
            .into_iter()
            .filter(|secret| secret.len() >= SHORTEST);
        Redacting(long.cloned().collect())
    }

    fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = without_tokens(text);
        for secret in &*self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), INSTEAD).into();
            }
        }
        text
    }
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Length of the token that a text begins with: at least two parts joined by a dot.
fn token_length(text: &str) -> Option<usize> {
    let end = text
        .find(|c| !is_base64(c) && c != '.')
        .unwrap_or(text.len());
    let token = text[..end].trim_end_matches('.');
    let parts = token.split('.').filter(|part| !part.is_empty());
    (parts.count() >= 2).then_some(token.len())
}

fn without_tokens(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    let mut done = 0;
    while let Some(at) = rest[done..].find(TOKEN).map(|at| at + done) {
        match token_length(&rest[at..]) {
            Some(length) => {
                out.push_str(&rest[..at]);
                out.push_str(INSTEAD);
                rest = &rest[at + length..];
                done = 0;
            }
            None => done = at + TOKEN.len(),
        }
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

impl Write for Redacting {
    /// The formatter hands over whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        io::stderr()
            .lock()
            .write_all(self.clean(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Redacting {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_secrets_are_left_out() {
        let secrets = ["root-secret".to_owned(), "short".to_owned()];
        let clean = |text: &str| Redacting::new(&secrets).clean(text).into_owned();
        for (text, expected) in [
            ("nothing here", "nothing here"),
            ("a eyJh.eyJi.c-_9 b", "a <secret> b"),
            ("\"eyJh.b.c\"", "\"<secret>\""),
            ("x=eyJh.b.c&y=eyJd.e.f", "x=<secret>&y=<secret>"),
            ("eyJh.b.c.", "<secret>."),
            ("eyJ and eyJh.b", "eyJ and <secret>"),
            ("a key: eyJ", "a key: eyJ"),
            ("root-secret, short", "<secret>, short"),
            ("é eyJh.b.c é", "é <secret> é"),
        ] {
            assert_eq!(clean(text), expected);
        }
    }
}
