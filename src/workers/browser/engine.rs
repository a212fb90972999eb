//! One Chromium and what is known of its pages.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::browser::CloseParams;
use chromiumoxide::cdp::browser_protocol::system_info::GetProcessInfoParams;
use chromiumoxide::cdp::browser_protocol::target::{EventTargetCrashed, SetDiscoverTargetsParams};
use chromiumoxide::types::Command;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::devtools::{self, Devtools, DevtoolsError};
use super::error::BrowserError;
use super::process::BrowserProcess;
use super::settings::BrowserSettings;
use super::state::{End, PageState};

/// How long an orderly end may take before it becomes a kill.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Crashes of targets that were no pages yet which are remembered.
const STRAYS: usize = 32;
/// The reason of an end that was asked for.
const SHUT_DOWN: &str = "it was shut down";

/// A running Chromium. Cheap to clone; the browser is killed when the last clone and the last page are dropped.
#[derive(Clone)]
pub struct Engine(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub browser: Devtools,
    pub settings: BrowserSettings,
    pub slots: Arc<Semaphore>,
    tracing: tokio::sync::Mutex<()>,
    shared: Arc<Shared>,
}

/// What outlives the handles: the supervising task needs it to clean up.
struct Shared {
    process: BrowserProcess,
    pages: Mutex<HashMap<String, Arc<PageState>>>,
    /// The last targets that crashed before they were known as pages, and how.
    strays: watch::Sender<VecDeque<(String, String)>>,
    ended: watch::Sender<Option<String>>,
    cleaned: watch::Sender<bool>,
}

/// One of the browser's processes.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessInfo {
    /// `browser`, `renderer`, `GPU`, …
    pub kind: String,
    /// The process id.
    pub pid: i64,
    /// Processor time used, in seconds.
    pub cpu_time: f64,
}

impl Engine {
    /// Starts Chromium and connects to it. Must be called within a tokio runtime, in which the engine's tasks then run.
    pub async fn launch(settings: BrowserSettings) -> Result<Self, BrowserError> {
        let process = BrowserProcess::start(&settings).await?;
        let connecting = devtools::connect(&process.address);
        let connected = tokio::time::timeout(settings.launch_timeout, connecting).await;
        let (browser, driver) = match connected {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(BrowserError::Launch(error)),
            Err(_) => {
                return Err(BrowserError::Launch(
                    "its DevTools do not answer".to_owned(),
                ));
            }
        };
        let shared = Arc::new(Shared {
            process,
            pages: Mutex::default(),
            strays: watch::Sender::default(),
            ended: watch::Sender::new(None),
            cleaned: watch::Sender::new(false),
        });
        tokio::spawn(supervise(shared.clone(), driver));
        let slots = Arc::new(Semaphore::new(settings.max_sessions));
        let engine = Self(Arc::new(Inner {
            browser,
            settings,
            slots,
            tracing: tokio::sync::Mutex::default(),
            shared,
        }));
        engine.watch_crashes().await?;
        Ok(engine)
    }

    /// Waits for the end of the browser and gives the reason.
    pub async fn ended(&self) -> String {
        self.0.shared.ended().await
    }

    /// Ends the browser in good order, by force where that takes too long. All pages are closed; returns when no
    /// process and no file is left.
    pub async fn shutdown(&self) {
        let shared = &self.0.shared;
        shared.end_pages(&End::Closed);
        let close = self.0.browser.send(CloseParams::default());
        let orderly = async {
            let _ = close.await;
            shared.process.exited().await;
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, orderly).await.is_err() {
            tracing::warn!("Chromium did not end when asked to; killing it");
        }
        shared.end(SHUT_DOWN.to_owned());
        let _ = shared
            .cleaned
            .subscribe()
            .wait_for(|cleaned| *cleaned)
            .await;
    }

    /// How many pages belong to sessions.
    pub fn page_count(&self) -> usize {
        let pages = self.0.shared.pages.lock();
        pages.values().filter(|state| state.is_owned()).count()
    }

    /// How many more pages sessions may open.
    pub(super) fn room(&self) -> usize {
        self.0.slots.available_permits()
    }

    /// The process id of the browser, which is also that of its process group.
    pub fn pid(&self) -> i32 {
        self.0.shared.process.pid
    }

    /// All processes of the browser.
    pub async fn processes(&self) -> Result<Vec<ProcessInfo>, BrowserError> {
        let found = self
            .command("list its processes", GetProcessInfoParams {})
            .await?;
        let info =
            |process: chromiumoxide::cdp::browser_protocol::system_info::ProcessInfo| ProcessInfo {
                kind: process.r#type,
                pid: process.id,
                cpu_time: process.cpu_time,
            };
        Ok(found.process_info.into_iter().map(info).collect())
    }

    /// Runs a command of the browser itself.
    pub(super) async fn command<C: Command>(
        &self,
        what: &'static str,
        command: C,
    ) -> Result<C::Response, BrowserError> {
        self.within(what, self.0.browser.send(command)).await
    }

    /// Runs `work` within the time of one command, and no longer than the browser lives.
    pub(super) async fn within<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, DevtoolsError>>,
    ) -> Result<T, BrowserError> {
        let limit = self.0.settings.call_timeout;
        tokio::select! {
            biased;
            reason = self.ended() => Err(BrowserError::Ended(reason)),
            done = tokio::time::timeout(limit, work) => match done {
                Ok(done) => done.map_err(|error| BrowserError::refused(what, error)),
                Err(_) => Err(BrowserError::Timeout { what, limit }),
            },
        }
    }

    /// The right to trace: only one may at a time.
    pub(super) async fn tracing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.tracing.lock().await
    }

    /// Where files go that pages download, removed with the browser's profile.
    pub(super) fn download_dir(&self) -> String {
        let dir = self.0.shared.process.profile().join("downloads");
        dir.display().to_string()
    }

    /// Makes the engine tell `state` of the crash of a target, and of its own end.
    pub(super) fn register(&self, target: String, state: Arc<PageState>) {
        let pages = &self.0.shared.pages;
        pages.lock().insert(target.clone(), state.clone());
        // The browser may have ended before the page was on the list.
        if let Some(reason) = self.0.shared.ended.borrow().clone() {
            state.end(End::Crashed(reason));
        }
        // So may the page's process.
        let crash = self.0.shared.crash_of(&target);
        if let Some(reason) = crash {
            self.0.shared.end_page(&target, End::Crashed(reason));
        }
    }

    /// Resolves when a target crashes that is no known page: one that is just being opened.
    pub(super) fn stray_crash(&self) -> impl Future<Output = ()> + use<> {
        let mut strays = self.0.shared.strays.subscribe();
        async move {
            // The sender lives as long as the engine, whose end is noticed elsewhere.
            if strays.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) fn forget(&self, target: &str) {
        self.0.shared.pages.lock().remove(target);
    }

    /// Records that a page is gone, if nobody did so before.
    pub(super) fn page_gone(&self, target: &str) {
        self.0.shared.end_page(target, End::Closed);
    }

    /// Follows the crashes of pages, which are announced to the browser and not to the page.
    async fn watch_crashes(&self) -> Result<(), BrowserError> {
        let mut crashed = self.0.browser.events::<EventTargetCrashed>();
        let discover = SetDiscoverTargetsParams::new(true);
        self.command("report crashes", discover).await?;
        let shared = self.0.shared.clone();
        tokio::spawn(async move {
            while let Some(event) = crashed.next().await {
                let reason = format!(
                    "the page crashed ({}, code {})",
                    event.status, event.error_code
                );
                shared.crashed(event.target_id.as_ref(), reason);
            }
        });
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.end(SHUT_DOWN.to_owned());
    }
}

impl Shared {
    async fn ended(&self) -> String {
        let mut ended = self.ended.subscribe();
        let reason = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|reason| reason.clone());
        reason.unwrap_or_else(|| SHUT_DOWN.to_owned())
    }

    /// Records the end of the browser; the first reason counts.
    fn end(&self, reason: String) {
        self.ended.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(reason);
            }
            first
        });
    }

    fn end_page(&self, target: &str, end: End) {
        let state = self.pages.lock().remove(target);
        if let Some(state) = state {
            state.end(end);
        }
    }

    /// A target crashed. If it is no page yet that is kept for whoever is just opening it.
    fn crashed(&self, target: &str, reason: String) {
        self.strays.send_if_modified(|strays| {
            let pages = self.pages.lock();
            if pages.contains_key(target) {
                return false;
            }
            strays.push_back((target.to_owned(), reason.clone()));
            if strays.len() > STRAYS {
                strays.pop_front();
            }
            true
        });
        self.end_page(target, End::Crashed(reason));
    }

    fn crash_of(&self, target: &str) -> Option<String> {
        let strays = self.strays.borrow();
        let found = strays.iter().find(|(stray, _)| stray == target);
        found.map(|(_, reason)| reason.clone())
    }

    fn end_pages(&self, end: &End) {
        let pages = std::mem::take(&mut *self.pages.lock());
        for state in pages.into_values() {
            state.end(end.clone());
        }
    }
}

/// Waits for the end of the browser, in whichever way it shows first, and cleans up after it.
async fn supervise(shared: Arc<Shared>, mut driver: JoinHandle<String>) {
    let reason = tokio::select! {
        biased;
        reason = shared.ended() => reason,
        status = shared.process.exited() => status,
        reason = &mut driver => {
            let reason = reason.unwrap_or_else(|panic| format!("the task of its connection failed: {panic}"));
            // Mostly the process is just about to say how it ended, which tells more.
            tokio::time::timeout(Duration::from_millis(300), shared.process.exited()).await.unwrap_or(reason)
        }
    };
    shared.end(reason.clone());
    // With the connection every call that still waits fails.
    driver.abort();
    let end = if reason == SHUT_DOWN {
        End::Closed
    } else {
        End::Crashed(format!("the browser has ended: {reason}"))
    };
    shared.end_pages(&end);
    shared.process.kill();
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, shared.process.exited()).await;
    shared.process.remove_profile().await;
    shared.cleaned.send_replace(true);
}
