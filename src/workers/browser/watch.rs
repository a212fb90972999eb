//! The limits of one session: how much memory its page's process may hold, and for how long it may run.
//!
//! A page in a browser context of its own has a process of its own, with all its frames and workers. DevTools do not
//! say which one; a trace of the page does, so each page is traced for a moment after each of its navigations.

use std::sync::Arc;
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::page::EventFrameNavigated;
use chromiumoxide::cdp::browser_protocol::tracing::EventDataCollected;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::{Value, json};

use super::devtools::DevtoolsError;
use super::engine::Engine;
use super::options::BrowserOptions;
use super::raw::Raw;
use super::state::PageState;
use super::target::Target;

/// How often a process is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// How long a trace may take.
const TRACE: Duration = Duration::from_secs(5);
/// A page settles down before it is traced; its navigations come in quick succession.
const SETTLE: Duration = Duration::from_secs(1);
/// The event by which a trace begins.
const FIRST: &str = "TracingStartedInBrowser";

/// The limits of one session; zero means none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// Megabytes.
    memory: u64,
    time: Option<Duration>,
}

impl Limits {
    pub fn of(options: &BrowserOptions) -> Self {
        let time = Some(options.time_s).filter(|seconds| *seconds > 0.0);
        Self {
            memory: options.memory_mb,
            time: time.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        }
    }
}

/// Watches a page until it is gone, and ends it when it goes beyond its limits.
pub(super) async fn watch(engine: Engine, page: Target, state: Arc<PageState>, limits: Limits) {
    let time = async {
        match limits.time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
        format!(
            "the session ran for {} s, which is its time limit",
            limits.time.unwrap_or_default().as_secs_f64()
        )
    };
    let memory = async {
        match outgrown(&engine, &page, limits.memory).await {
            Some(used) => format!(
                "the page used {used} MB of memory, more than its limit of {} MB",
                limits.memory
            ),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = state.ended() => {}
        reason = time => state.over(reason),
        reason = memory => state.over(reason),
    }
}

/// Waits until the page's process holds more than `limit` megabytes, and says how many. `None` where nothing can be
/// watched.
async fn outgrown(engine: &Engine, page: &Target, limit: u64) -> Option<u64> {
    if limit == 0 {
        return None;
    }
    let mut moves = page.events::<EventFrameNavigated>();
    let mut process = None;
    let mut settling = SETTLE;
    let mut warned = false;
    loop {
        tokio::select! {
            biased;
            moved = moves.next() => {
                // The main frame may have gone to another process.
                if moved?.frame.parent_id.is_none() {
                    process = None;
                    settling = SETTLE;
                }
                continue;
            }
            () = tokio::time::sleep(settling) => settling = EVERY,
        }
        if process.is_none() {
            process = find_process(engine, page).await;
            if process.is_none() && !std::mem::replace(&mut warned, true) {
                tracing::warn!(
                    page = page.id(),
                    "the process of a page was not found; trying again"
                );
            }
        }
        // A process that is gone tells so by itself.
        let used = process.and_then(held).unwrap_or(0);
        if used > limit {
            return Some(used);
        }
    }
}

/// The memory that a process holds for itself, in megabytes.
fn held(pid: i64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes >> 10)
}

/// The id of the process that a page is drawn by.
async fn find_process(engine: &Engine, page: &Target) -> Option<i64> {
    // There is one trace at a time in a browser.
    let _turn = engine.tracing().await;
    let found = tokio::time::timeout(TRACE, trace(page)).await;
    match found {
        Ok(Ok(pid)) => pid,
        _ => {
            // It must not go on for ever, nor stand in the way of the next one.
            let end = page.send(Raw::new("Tracing.end", json!({})));
            let _ = tokio::time::timeout(TRACE, end).await;
            None
        }
    }
}

async fn trace(page: &Target) -> Result<Option<i64>, DevtoolsError> {
    let mut collected: BoxStream<'_, Arc<EventDataCollected>> = page.events().boxed();
    let config = json!({
        "transferMode": "ReportEvents",
        "traceConfig": { "includedCategories": ["disabled-by-default-devtools.timeline"], "excludedCategories": ["*"] },
    });
    page.send(Raw::new("Tracing.start", config)).await?;
    page.send(Raw::new("Tracing.end", json!({}))).await?;
    while let Some(part) = collected.next().await {
        let pid = part
            .value
            .iter()
            .find_map(|event| process_of(event, page.id()));
        if pid.is_some() {
            return Ok(pid);
        }
    }
    Ok(None)
}

fn process_of(event: &Value, frame: &str) -> Option<i64> {
    if event.get("name")?.as_str()? != FIRST {
        return None;
    }
    let frames = event.pointer("/args/data/frames")?.as_array()?;
    let own = frames
        .iter()
        .find(|known| known.get("frame").and_then(Value::as_str) == Some(frame))?;
    own.get("processId")?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_of_a_frame() {
        let event = json!({"name": FIRST, "args": {"data": {"frames": [
            {"frame": "A", "processId": 5}, {"frame": "B", "processId": 6}]}}});
        assert_eq!(process_of(&event, "B"), Some(6));
        assert_eq!(process_of(&event, "C"), None);
        assert_eq!(process_of(&json!({"name": "x"}), "B"), None);
    }

    #[test]
    fn this_process_holds_something() {
        assert!(held(i64::from(std::process::id())).is_some());
        assert_eq!(held(-1), None);
    }
}
