//! The way of a page to its address, and whether it arrived.

use std::sync::Arc;
use std::time::Duration;

use chromiumoxide::cdp::js_protocol::runtime::EvaluateParams;
use serde_json::Value;

use super::page::PageRequest;
use super::pump::without_query;
use super::state::PageState;
use super::target::Target;

/// How long the status of a document that has loaded may lag behind.
const STATUS_LAG: Duration = Duration::from_secs(1);
/// Finds the element that all templates have.
const LOOK: &str = "document.getElementById('rhizome-app') !== null";

/// Brings the page to its address and judges the result.
pub(super) async fn navigate(
    page: Target,
    state: Arc<PageState>,
    request: PageRequest,
    deadline: tokio::time::Instant,
) {
    let url = without_query(&request.url).to_owned();
    // The load event may be late or never come, and the page may be ready before: whichever is first.
    let loaded = tokio::select! {
        biased;
        _ = state.outcome() => return,
        status = state.known_status(is_bad) => return state.failed(bad_status(status, &url)),
        loaded = tokio::time::timeout_at(deadline, page.go_to(&request.url)) => loaded,
    };
    match loaded {
        Err(_) => {
            return state.failed(format!(
                "the page did not load within {} s: {url}",
                request.timeout.as_secs_f64()
            ));
        }
        Ok(Err(error)) => return state.failed(format!("Failed to load URL: {url}: {error}")),
        Ok(Ok(_)) => {}
    }
    // The response is reported apart from the load event.
    if request.url.starts_with("http") {
        let _ = tokio::time::timeout(STATUS_LAG, state.known_status(|_| true)).await;
    }
    if let Some(status) = state.status().filter(|status| is_bad(*status)) {
        return state.failed(bad_status(status, &url));
    }
    let ours = tokio::time::timeout_at(deadline, has_template(&page)).await;
    match ours {
        Ok(false) => state.ready(false),
        _ => await_app(&state, request.timeout, deadline).await,
    }
}

/// Waits for the app of a page that says itself when it is ready.
pub(super) async fn await_app(
    state: &PageState,
    timeout: Duration,
    deadline: tokio::time::Instant,
) {
    if tokio::time::timeout_at(deadline, state.outcome())
        .await
        .is_err()
    {
        state.failed(format!(
            "the app was not ready within {} s",
            timeout.as_secs_f64()
        ));
    }
}

/// Whether the loaded page is made from one of our templates.
async fn has_template(page: &Target) -> bool {
    let mut look = EvaluateParams::new(LOOK);
    look.return_by_value = Some(true);
    // A page that has already moved on to another address is not ours.
    page.send(look)
        .await
        .is_ok_and(|seen| seen.result.value == Some(Value::Bool(true)))
}

fn is_bad(status: i64) -> bool {
    !(200..300).contains(&status) && status != 304
}

fn bad_status(status: i64, url: &str) -> String {
    format!("Failed to start browser app instance, status: {status}, url: {url}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        assert!(![200, 204, 304].into_iter().any(is_bad));
        assert!([301, 404, 500].into_iter().all(is_bad));
    }
}
