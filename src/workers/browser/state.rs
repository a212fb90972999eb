//! What is known of one page, shared by its handle, its event pump and the engine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::error::BrowserError;
use super::log_ring::LogLine;

/// Most log lines that wait for the reader of the events; more are dropped and counted.
const MAX_WAITING: usize = 4096;

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// What a page reports. After `Crashed` or `Closed` nothing follows.
#[derive(Debug, Clone, PartialEq)]
pub enum PageEvent {
    /// Something was logged.
    Log(LogLine),
    /// The page is up: by its own word (`signalled`, all of our templates), else because it has loaded.
    Ready {
        /// Whether the page itself said so.
        signalled: bool,
    },
    /// The page did not come up, or its code failed before it was ready.
    Failed(String),
    /// The page's process, or the whole browser, died.
    Crashed(String),
    /// The page went beyond a limit; the session is to be ended.
    Over(String),
    /// The page was closed, by us or by itself.
    Closed,
}

/// How a page ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    Closed,
    Crashed(String),
}

impl End {
    /// The end as the failure of whatever was still going on.
    pub fn error(&self) -> BrowserError {
        BrowserError::Gone(match self {
            Self::Closed => "it was closed".to_owned(),
            Self::Crashed(reason) => reason.clone(),
        })
    }
}

/// The receiving end of a page's events.
#[derive(Debug)]
pub struct PageEvents {
    receiver: mpsc::UnboundedReceiver<PageEvent>,
    waiting: Arc<AtomicUsize>,
}

impl PageEvents {
    /// The next event; `None` after the last one.
    pub async fn recv(&mut self) -> Option<PageEvent> {
        let event = self.receiver.recv().await;
        if matches!(event, Some(PageEvent::Log(_))) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        event
    }
}

/// Whose page it is.
struct Owner {
    session: String,
    /// What never appears in events or errors.
    secrets: Vec<String>,
}

pub(crate) struct PageState {
    /// Unknown for a page that was made in advance and waits.
    owner: OnceLock<Owner>,
    /// Whether a page that was made in advance says that it waits for its app.
    warm: watch::Sender<bool>,
    status: watch::Sender<Option<i64>>,
    outcome: watch::Sender<Option<Result<(), BrowserError>>>,
    ended: watch::Sender<Option<End>>,
    events: Mutex<Option<mpsc::UnboundedSender<PageEvent>>>,
    waiting: Arc<AtomicUsize>,
    dropped: AtomicUsize,
}

impl PageState {
    /// The state of a page that belongs to nobody yet.
    pub fn new() -> (Arc<Self>, PageEvents) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let state = Self {
            owner: OnceLock::new(),
            warm: watch::Sender::new(false),
            status: watch::Sender::new(None),
            outcome: watch::Sender::new(None),
            ended: watch::Sender::new(None),
            events: Mutex::new(Some(sender)),
            waiting: waiting.clone(),
            dropped: AtomicUsize::new(0),
        };
        (Arc::new(state), PageEvents { receiver, waiting })
    }

    /// Gives the page to a session, once. `secrets` never appear in events or errors.
    pub fn assign(&self, session: String, secrets: Vec<String>) {
        if self.owner.set(Owner { session, secrets }).is_err() {
            tracing::error!("a page was given to a second session");
        }
    }

    /// The session that the page belongs to; empty while it belongs to none.
    pub fn session(&self) -> &str {
        self.owner.get().map_or("", |owner| &owner.session)
    }

    /// Whether the page belongs to a session.
    pub fn is_owned(&self) -> bool {
        self.owner.get().is_some()
    }

    /// Records that the page waits for its app.
    pub fn set_warm(&self) {
        self.warm.send_replace(true);
    }

    /// Waits until the page waits for its app.
    pub async fn warmed(&self) {
        // The sender is a part of this state, so it cannot be gone.
        let _ = self.warm.subscribe().wait_for(|warm| *warm).await;
    }

    /// `text` without the secrets of the page.
    pub fn scrub(&self, mut text: String) -> String {
        let secrets = self.owner.get().map_or(&[][..], |owner| &owner.secrets);
        for secret in secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "***");
            }
        }
        text
    }

    /// Passes a line on. What happens before the page belongs to a session is nobody's.
    pub fn log(&self, mut line: LogLine) {
        if !self.is_owned() {
            return;
        }
        if self.waiting.load(Ordering::Relaxed) >= MAX_WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let text = format!(
                "{dropped} log lines were dropped: they came faster than they could be stored"
            );
            self.push_log(LogLine {
                text,
                level: "warning".to_owned(),
                source: "server".to_owned(),
                ..line.clone()
            });
        }
        line.text = self.scrub(line.text);
        self.push_log(line);
    }

    fn push_log(&self, line: LogLine) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.send(PageEvent::Log(line));
    }

    fn send(&self, event: PageEvent) {
        if let Some(events) = self.events.lock().as_ref() {
            // The reader may have left; the page goes on.
            let _ = events.send(event);
        }
    }

    /// Records that the page is up, once.
    pub fn ready(&self, signalled: bool) {
        if self.settle(Ok(())) {
            self.send(PageEvent::Ready { signalled });
        }
    }

    /// Records that the page will not come up, once.
    pub fn failed(&self, reason: String) {
        let reason = self.scrub(reason);
        if self.settle(Err(BrowserError::Failed(reason.clone()))) {
            self.send(PageEvent::Failed(reason));
        }
    }

    /// Records that the page went beyond a limit.
    pub fn over(&self, reason: String) {
        self.send(PageEvent::Over(reason));
    }

    fn settle(&self, outcome: Result<(), BrowserError>) -> bool {
        self.outcome.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(outcome);
            }
            first
        })
    }

    /// Records the end of the page; true for the first to do so.
    pub fn end(&self, end: End) -> bool {
        let error = end.error();
        let event = match &end {
            End::Closed => PageEvent::Closed,
            End::Crashed(reason) => PageEvent::Crashed(reason.clone()),
        };
        let first = self.ended.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(end);
            }
            first
        });
        if first {
            self.settle(Err(error));
            self.send(event);
            self.events.lock().take();
        }
        first
    }

    /// The HTTP status of the document, once known.
    pub fn status(&self) -> Option<i64> {
        *self.status.borrow()
    }

    pub fn set_status(&self, status: i64) {
        self.status.send_replace(Some(status));
    }

    /// Waits for a document whose status is as `wanted`.
    pub async fn known_status(&self, wanted: impl Fn(i64) -> bool) -> i64 {
        let mut status = self.status.subscribe();
        let known = status
            .wait_for(|status| status.is_some_and(&wanted))
            .await
            .ok()
            .and_then(|status| *status);
        match known {
            Some(status) => status,
            // The sender is a part of this state, so this is out of reach.
            None => std::future::pending().await,
        }
    }

    /// Whether nothing is known yet of how the page turns out: it is neither up nor lost.
    pub fn is_open(&self) -> bool {
        self.outcome.borrow().is_none()
    }

    /// Waits for the end of the page.
    pub async fn ended(&self) -> End {
        let mut ended = self.ended.subscribe();
        let end = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|end| end.clone());
        end.unwrap_or(End::Closed)
    }

    /// Waits until the page is up, or known not to come up.
    pub async fn outcome(&self) -> Result<(), BrowserError> {
        let mut outcome = self.outcome.subscribe();
        let outcome = outcome
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| Err(End::Closed.error()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_ring::LogKind;
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            kind: LogKind::Console,
            level: "log".into(),
            text: text.into(),
            source: "page".into(),
            ts: 0.0,
        }
    }

    fn owned(secrets: &[&str]) -> (Arc<PageState>, PageEvents) {
        let (state, events) = PageState::new();
        state.assign(
            "ws/a".into(),
            secrets.iter().map(|secret| secret.to_string()).collect(),
        );
        (state, events)
    }

    #[tokio::test]
    async fn what_comes_before_the_owner_is_nobodys() {
        let (state, mut events) = PageState::new();
        state.log(line("early"));
        assert_eq!((state.session(), state.is_owned()), ("", false));
        state.set_warm();
        state.warmed().await;
        state.assign("ws/a".into(), vec![]);
        state.log(line("late"));
        assert_eq!(events.recv().await, Some(PageEvent::Log(line("late"))));
        assert_eq!(state.session(), "ws/a");
    }

    #[tokio::test]
    async fn secrets_stay_secret() {
        let (state, mut events) = owned(&["s3cret"]);
        state.log(line("token=s3cret"));
        state.failed("no s3cret".into());
        assert_eq!(events.recv().await, Some(PageEvent::Log(line("token=***"))));
        assert_eq!(
            events.recv().await,
            Some(PageEvent::Failed("no ***".into()))
        );
    }

    #[tokio::test]
    async fn a_flood_is_counted_and_states_still_pass() {
        let (state, mut events) = owned(&[]);
        for _ in 0..MAX_WAITING + 5 {
            state.log(line("x"));
        }
        state.ready(true);
        for _ in 0..MAX_WAITING {
            assert_eq!(events.recv().await, Some(PageEvent::Log(line("x"))));
        }
        assert_eq!(
            events.recv().await,
            Some(PageEvent::Ready { signalled: true })
        );
        state.log(line("y"));
        let Some(PageEvent::Log(note)) = events.recv().await else {
            panic!("a note was due")
        };
        assert!(note.text.starts_with("5 log lines were dropped"));
    }

    #[tokio::test]
    async fn the_first_end_counts_and_is_the_last_event() {
        let (state, mut events) = owned(&[]);
        assert!(state.end(End::Crashed("boom".into())));
        assert!(!state.end(End::Closed));
        state.log(line("late"));
        assert_eq!(events.recv().await, Some(PageEvent::Crashed("boom".into())));
        assert_eq!(events.recv().await, None);
        assert_eq!(
            state.outcome().await,
            Err(BrowserError::Gone("boom".into()))
        );
    }
}
