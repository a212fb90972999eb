//! Running JavaScript in a page and giving back what a notebook would show: `{status, outputs, error}`, as the other
//! workers do. Callers ask for it with `structured` in the config of the call; without, they get the bare result.

use std::sync::Arc;
use std::time::Duration;

use chromiumoxide::cdp::js_protocol::runtime::{EvaluateParams, EventConsoleApiCalled};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::{Value as Json, json};

use super::error::BrowserError;
use super::page::Page;
use super::render;
use super::script::CAPTURE_MARK;
use crate::wire::Value;

/// Most text that all outputs of one script may hold, in bytes.
const MAX_TEXT: usize = 1 << 20;
/// How long the console may lag behind the end of a script.
const LAG: Duration = Duration::from_secs(1);

/// Whether the caller wants this.
pub(super) fn is_wanted(config: &Value) -> bool {
    config.get("structured").and_then(Value::as_bool) == Some(true)
}

/// Runs `script` in `page`.
///
/// # Errors
/// The page is gone.
pub(super) async fn execute(
    page: &Page,
    script: &str,
    limit: Duration,
) -> Result<Json, BrowserError> {
    let mut console = page.cdp().events::<EventConsoleApiCalled>().boxed();
    let outcome = page.evaluate_within(script, limit).await;
    let mut outputs = said(page, &mut console).await;
    let error = match outcome {
        Ok(Json::Null) => Json::Null,
        Ok(value) => {
            outputs.push(result(&value));
            Json::Null
        }
        Err(BrowserError::Script(text)) => thrown(&text),
        Err(BrowserError::Timeout { limit, .. }) => thrown(&format!(
            "TimeoutError: the script did not end within {} s",
            limit.as_secs_f64()
        )),
        Err(error @ BrowserError::TooBig { .. }) => thrown(&format!("RangeError: {error}")),
        Err(gone) => return Err(gone),
    };
    let status = if error.is_null() { "ok" } else { "error" };
    Ok(json!({ "status": status, "outputs": outputs, "error": error }))
}

/// What the page's console said up to now, as streams.
async fn said(page: &Page, console: &mut BoxStream<'_, Arc<EventConsoleApiCalled>>) -> Vec<Json> {
    // A line of our own comes after all others.
    let mark = format!("{CAPTURE_MARK}{}", uuid::Uuid::new_v4().simple());
    let ask = EvaluateParams::new(format!("console.debug({})", Json::from(mark.as_str())));
    let asked = page
        .command_within("end its outputs", LAG, ask)
        .await
        .is_ok();
    let mut streams = Streams::default();
    let wait = if asked { LAG } else { Duration::ZERO };
    let until = tokio::time::Instant::now() + wait;
    while let Ok(Some(event)) = tokio::time::timeout_at(until, console.next()).await {
        let text = render::arguments(&event.args);
        if text == mark {
            break;
        }
        streams.add(event.r#type.as_ref(), &page.scrub(text));
    }
    streams.done()
}

/// Lines on their way into the outputs: neighbours on the same stream become one.
#[derive(Default)]
struct Streams {
    outputs: Vec<(&'static str, String)>,
    held: usize,
    left_out: usize,
}

impl Streams {
    fn add(&mut self, level: &str, text: &str) {
        let name = if matches!(level, "error" | "warning" | "assert" | "trace") {
            "stderr"
        } else {
            "stdout"
        };
        if self.held + text.len() > MAX_TEXT {
            self.left_out += 1;
            return;
        }
        self.held += text.len() + 1;
        match self.outputs.last_mut() {
            Some((last, lines)) if *last == name => lines.push_str(&format!("{text}\n")),
            _ => self.outputs.push((name, format!("{text}\n"))),
        }
    }

    fn done(mut self) -> Vec<Json> {
        if self.left_out > 0 {
            let note = format!("{} more lines were left out\n", self.left_out);
            self.outputs.push(("stderr", note));
        }
        let stream = |(name, text)| json!({ "type": "stream", "name": name, "text": text });
        self.outputs.into_iter().map(stream).collect()
    }
}

fn result(value: &Json) -> Json {
    let plain = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    json!({
        "type": "execute_result",
        "data": { "text/plain": plain, "application/json": value },
        "metadata": {},
    })
}

/// What was thrown, from its text `Name: message` and the stack below.
fn thrown(text: &str) -> Json {
    let first = text.lines().next().unwrap_or_default();
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let (name, value) = match first.split_once(": ") {
        Some((name, value)) if is_name(name) => (name, value),
        _ => ("Error", first),
    };
    json!({ "ename": name, "evalue": value, "traceback": text.lines().collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_thrown() {
        let error = thrown("TypeError: x is: odd\n    at <anonymous>:1:1");
        assert_eq!(
            (error["ename"].as_str(), error["evalue"].as_str()),
            (Some("TypeError"), Some("x is: odd"))
        );
        assert_eq!(error["traceback"].as_array().map(Vec::len), Some(2));
        assert_eq!(thrown("just text: here")["ename"], "Error");
    }

    #[test]
    fn streams_are_joined_and_bounded() {
        let mut streams = Streams::default();
        for (level, text) in [("log", "a"), ("info", "b"), ("error", "c"), ("log", "d")] {
            streams.add(level, text);
        }
        streams.add("log", &"x".repeat(MAX_TEXT));
        let outputs = streams.done();
        let texts: Vec<_> = outputs
            .iter()
            .map(|output| (output["name"].as_str(), output["text"].as_str()))
            .collect();
        assert_eq!(
            texts,
            [
                (Some("stdout"), Some("a\nb\n")),
                (Some("stderr"), Some("c\n")),
                (Some("stdout"), Some("d\n")),
                (Some("stderr"), Some("1 more lines were left out\n"))
            ]
        );
    }
}
