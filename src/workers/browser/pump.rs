//! The events of one page: from what Chromium reports to what the session hears.

use std::collections::HashSet;
use std::sync::Arc;

use chromiumoxide::cdp::browser_protocol::log::{EventEntryAdded, LogEntryLevel, LogEntrySource};
use chromiumoxide::cdp::browser_protocol::network::{EventResponseReceived, ResourceType};
use chromiumoxide::cdp::browser_protocol::page::{
    DialogType, EventJavascriptDialogOpening, HandleJavaScriptDialogParams,
};
use chromiumoxide::cdp::js_protocol::runtime::{
    EventBindingCalled, EventConsoleApiCalled, EventExceptionThrown,
};
use futures::FutureExt;
use futures::stream::{BoxStream, SelectAll, StreamExt};
use serde::Deserialize;

use super::log_ring::{LogKind, LogLine};
use super::render;
use super::script::{BINDING, CAPTURE_MARK, WORKER_MARK};
use super::state::{PageState, now};
use super::target::Target;

/// One thing that Chromium reports about a page.
pub(crate) enum Seen {
    Console(Arc<EventConsoleApiCalled>),
    Exception(Arc<EventExceptionThrown>),
    Entry(Arc<EventEntryAdded>),
    Signal(Arc<EventBindingCalled>),
    Dialog(Arc<EventJavascriptDialogOpening>),
    Response(Arc<EventResponseReceived>),
}

pub(crate) type Stream = SelectAll<BoxStream<'static, Seen>>;

/// What the page says through its binding.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Signal {
    Ready,
    /// A page that was made in advance waits for its app.
    Warm,
    Failed {
        message: String,
    },
    /// A line that a worker forwards.
    Log {
        kind: String,
        level: String,
        text: String,
        ts: f64,
    },
}

/// Starts to listen. Nothing is missed from here on.
pub(crate) fn subscribe(page: &Target) -> Stream {
    let mut all = SelectAll::new();
    all.push(page.events().map(Seen::Console).boxed());
    all.push(page.events().map(Seen::Exception).boxed());
    all.push(page.events().map(Seen::Entry).boxed());
    all.push(page.events().map(Seen::Signal).boxed());
    all.push(page.events().map(Seen::Dialog).boxed());
    all.push(page.events().map(Seen::Response).boxed());
    all
}

/// Passes on what `stream` yields until the page is gone.
pub(crate) async fn run(page: Target, state: Arc<PageState>, mut stream: Stream) {
    // Workers whose console arrives through the binding, with its values intact.
    let mut forwarding = HashSet::new();
    while let Some(seen) = stream.next().await {
        let Some(outcome) = pass(&page, &state, &mut forwarding, seen) else {
            continue;
        };
        // The streams are not ordered among each other: let what was logged before go first.
        while let Some(Some(seen)) = stream.next().now_or_never() {
            if let Some(later) = pass(&page, &state, &mut forwarding, seen) {
                settle(&state, later);
            }
        }
        settle(&state, outcome);
    }
}

fn settle(state: &PageState, outcome: Result<(), String>) {
    match outcome {
        Ok(()) => state.ready(true),
        Err(message) => state.failed(message),
    }
}

/// Passes one event on; the page's verdict about its own start is returned instead.
fn pass(
    page: &Target,
    state: &Arc<PageState>,
    forwarding: &mut HashSet<String>,
    seen: Seen,
) -> Option<Result<(), String>> {
    match seen {
        Seen::Console(event) if is_mark(&event) => {}
        Seen::Console(event) => state.log(console(&event)),
        Seen::Exception(event) => state.log(uncaught(&event)),
        Seen::Entry(event) => state.log(entry(&event, forwarding)?),
        Seen::Signal(event) if event.name == BINDING => return signal(state, &event.payload),
        Seen::Signal(_) => {}
        Seen::Dialog(event) => dismiss(page, state, &event),
        Seen::Response(event) => status(page, state, &event),
    }
    None
}

/// Whether a line is ours, for the end of what a script has said.
fn is_mark(event: &EventConsoleApiCalled) -> bool {
    let first = event.args.first().and_then(|first| first.value.as_ref());
    first
        .and_then(|text| text.as_str())
        .is_some_and(|text| text.starts_with(CAPTURE_MARK))
}

fn console(event: &EventConsoleApiCalled) -> LogLine {
    LogLine {
        kind: LogKind::Console,
        level: event.r#type.as_ref().to_owned(),
        text: render::arguments(&event.args),
        source: "page".to_owned(),
        ts: event.timestamp.inner() / 1000.0,
    }
}

fn uncaught(event: &EventExceptionThrown) -> LogLine {
    LogLine {
        kind: LogKind::Error,
        level: "error".to_owned(),
        text: render::exception(&event.exception_details),
        source: "page".to_owned(),
        ts: event.timestamp.inner() / 1000.0,
    }
}

/// What the browser itself noted: failed requests, and the console of workers that do not forward theirs.
fn entry(event: &EventEntryAdded, forwarding: &mut HashSet<String>) -> Option<LogLine> {
    let entry = &event.entry;
    let from_worker = entry.source == LogEntrySource::Worker;
    if from_worker && let Some(worker) = &entry.worker_id {
        if entry.text.starts_with(WORKER_MARK) {
            forwarding.insert(worker.clone());
        }
        if forwarding.contains(worker) {
            return None;
        }
    }
    // These come as console calls and exceptions as well.
    if entry.source == LogEntrySource::Javascript {
        return None;
    }
    let level = match entry.level {
        LogEntryLevel::Verbose => "debug",
        LogEntryLevel::Info => "log",
        LogEntryLevel::Warning => "warning",
        LogEntryLevel::Error => "error",
    };
    let uncaught = from_worker && level == "error" && entry.text.starts_with("Uncaught");
    let mut text = entry.text.clone();
    if let (false, Some(url)) = (from_worker, &entry.url) {
        text = format!("{text} ({})", without_query(url));
    }
    Some(LogLine {
        kind: if uncaught {
            LogKind::Error
        } else {
            LogKind::Console
        },
        level: level.to_owned(),
        text,
        source: entry.source.as_ref().to_owned(),
        ts: entry.timestamp.inner() / 1000.0,
    })
}

fn signal(state: &PageState, payload: &str) -> Option<Result<(), String>> {
    // The app's own code may call the binding too; what makes no sense is its own affair.
    match serde_json::from_str(payload).ok()? {
        // Before it has its app, a page can be nothing but warm.
        Signal::Ready if !state.is_owned() => {}
        Signal::Ready => return Some(Ok(())),
        Signal::Warm => state.set_warm(),
        Signal::Failed { message } => return Some(Err(message)),
        Signal::Log {
            kind,
            level,
            text,
            ts,
        } => {
            let kind = if kind == "error" {
                LogKind::Error
            } else {
                LogKind::Console
            };
            state.log(LogLine {
                kind,
                level,
                text,
                source: "worker".to_owned(),
                ts,
            });
        }
    }
    None
}

/// A dialog holds up the page and every command to it, and there is nobody to answer: it is dismissed, or, where it
/// asks whether the page may be left, accepted.
fn dismiss(page: &Target, state: &PageState, event: &EventJavascriptDialogOpening) {
    let leaving = event.r#type == DialogType::Beforeunload;
    if !leaving {
        let text = format!("{} dismissed: {}", event.r#type.as_ref(), event.message);
        state.log(LogLine {
            kind: LogKind::Console,
            level: "warning".to_owned(),
            text,
            source: "dialog".to_owned(),
            ts: now(),
        });
    }
    let page = page.clone();
    tokio::spawn(async move { page.send(HandleJavaScriptDialogParams::new(leaving)).await });
}

/// Notes the HTTP status of the page's own document.
fn status(page: &Target, state: &PageState, event: &EventResponseReceived) {
    // The main frame bears the id of its target.
    let own = event
        .frame_id
        .as_ref()
        .is_some_and(|frame| frame.inner() == page.id());
    if own && event.r#type == ResourceType::Document {
        state.set_status(event.response.status);
    }
}

/// An address without its query, which may hold a token.
pub(crate) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}
