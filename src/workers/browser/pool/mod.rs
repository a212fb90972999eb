//! Pages made in advance, so that an app need not wait for its own.
//!
//! A page waits for one session and is destroyed with it. While it waits it holds nothing of anybody: no token, no
//! workspace, no code; all of that is handed over by a command to the page when a session claims it. What is made,
//! and for how long it waits, is decided in `stock`; this module makes and hands out.

mod app;
mod kind;
mod stock;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use app::{PageStart, WarmApp};
pub use kind::{PageKind, PoolSettings};
pub use stock::{Counts, Held};

use super::engine::Engine;
use super::error::BrowserError;
use super::open::Prepared;
use super::page::{Page, PageRequest};
use crate::metrics::machine;
use crate::supervision::{SharedClock, spawn_detached};
use stock::{Fit, Stock, Task};

/// Pages are made while no app starts, which would be slowed down by it; an app counts as starting for at most this
/// long.
const STARTING: Duration = Duration::from_secs(2);
/// After it has started an app has this long for itself.
const BREATHER: Duration = Duration::from_millis(200);
/// How often memory is looked at while pages wait, and apps that start are waited for.
const LOOK: Duration = Duration::from_secs(5);

impl Fit for Prepared {
    fn is_fit(&self) -> bool {
        self.state.is_open()
    }
}

/// The page that waits for an app of one kind: where it is found and what it consists of.
struct Shell {
    kind: PageKind,
    address: String,
    html: Bytes,
}

/// See the module's text. It outlives the browsers that its pages are in.
pub struct Pool {
    clock: SharedClock,
    min_memory: u64,
    shells: Vec<Shell>,
    kept: Mutex<Kept>,
    /// Apps that start.
    starting: AtomicUsize,
    changed: Notify,
}

struct Kept {
    stock: Stock<Prepared>,
    /// Which browser the pages are in: counts up with each.
    browser: u64,
}

/// While it lives, pages of a browser are made in advance; with it they go.
pub struct Attached {
    pool: Arc<Pool>,
    browser: u64,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.pool.detach(self.browser);
    }
}

/// An app that starts.
struct Starting(Arc<Pool>);

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.starting.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

impl Pool {
    /// An empty pool. `shells` are the pages that wait for an app, and `base` is the server's address for its own
    /// browser.
    pub fn new(
        settings: PoolSettings,
        shells: Vec<(PageKind, String)>,
        base: &str,
        clock: SharedClock,
    ) -> Arc<Self> {
        let shell = |(kind, html): (PageKind, String)| Shell {
            kind,
            address: format!("{base}/_pages/{WAITING}/{}.html", kind.name()),
            html: html.into(),
        };
        Arc::new(Self {
            clock,
            min_memory: settings.min_memory,
            shells: shells.into_iter().map(shell).collect(),
            kept: Mutex::new(Kept {
                stock: Stock::new(settings),
                browser: 0,
            }),
            starting: AtomicUsize::new(0),
            changed: Notify::new(),
        })
    }

    /// The page at `/_pages/waiting/{file}`. It holds no secrets.
    pub fn shell(&self, file: &str) -> Option<Bytes> {
        let kind = file.strip_suffix(".html")?;
        let shell = self.shells.iter().find(|shell| shell.kind.name() == kind)?;
        Some(shell.html.clone())
    }

    /// What waits, by kind.
    pub fn report(&self) -> Vec<Held> {
        self.kept.lock().stock.report()
    }

    /// Makes pages of `engine` in advance from now on, as they are asked for.
    pub fn attach(self: &Arc<Self>, engine: &Engine) -> Attached {
        let (gone, browser) = {
            let mut kept = self.kept.lock();
            kept.browser += 1;
            (kept.stock.clear(), kept.browser)
        };
        drop(gone);
        let keeper = keep(self.clone(), engine.clone(), browser);
        spawn_detached("pages in advance", keeper);
        Attached {
            pool: self.clone(),
            browser,
        }
    }

    fn detach(&self, browser: u64) {
        let gone = {
            let mut kept = self.kept.lock();
            if kept.browser != browser {
                return;
            }
            kept.browser += 1;
            kept.stock.clear()
        };
        drop(gone);
        self.changed.notify_one();
    }

    /// Opens a page for a session: one that waits, if there is one that fits, else a new one.
    pub async fn open(
        self: &Arc<Self>,
        engine: &Engine,
        request: PageRequest,
    ) -> Result<Page, BrowserError> {
        let slot = engine.slot()?;
        self.starting.fetch_add(1, Ordering::AcqRel);
        let starting = Starting(self.clone());
        let page = match self.waiting(&request).await {
            Some(Waiting::Claimed(page)) => page.claimed(&request, slot),
            Some(Waiting::Blank(page)) => page.launch(request, slot),
            None => {
                let page = engine.prepare_for(&request).await?;
                page.launch(request, slot)
            }
        };
        let (state, clock) = (page.state().clone(), self.clock.clone());
        spawn_detached("start of a page", async move {
            // How the start turns out is for the page's session.
            let _ = tokio::time::timeout(STARTING, state.outcome()).await;
            clock.sleep(BREATHER).await;
            drop(starting);
        });
        Ok(page)
    }

    /// A page that waits and now belongs to the session of `request`. One that turns out to be broken is dropped, for
    /// there are others.
    async fn waiting(&self, request: &PageRequest) -> Option<Waiting> {
        if let PageStart::Warm(app) = &request.start
            && let Some(page) = self.take(app.kind)
        {
            match page.claim(request, app).await {
                Ok(()) => return Some(Waiting::Claimed(page)),
                Err(error) => tracing::debug!(%error, "a page in advance was of no use"),
            }
        }
        if !matches!(request.start, PageStart::Fresh)
            && let Some(page) = self.take(PageKind::Blank)
        {
            match page.introduce(request).await {
                Ok(()) => return Some(Waiting::Blank(page)),
                Err(error) => tracing::debug!(%error, "a page in advance was of no use"),
            }
        }
        None
    }

    fn take(&self, kind: PageKind) -> Option<Prepared> {
        let now = self.clock.now();
        let taken = self.kept.lock().stock.take(kind, now);
        if taken.is_none() {
            self.changed.notify_one();
        }
        taken
    }

    /// Closes what should not wait any longer; what to do then. `None` when the browser is another one.
    fn tend(&self, browser: u64, room: usize) -> Option<Task> {
        let short = machine::available_memory().is_some_and(|free| free < self.min_memory);
        let now = self.clock.now();
        let (gone, task) = {
            let mut kept = self.kept.lock();
            if kept.browser != browser {
                return None;
            }
            match short {
                true => (kept.stock.clear(), Task::Wait(Some(LOOK))),
                false => kept.stock.tend(now, room),
            }
        };
        if short && !gone.is_empty() {
            tracing::info!(pages = gone.len(), "memory is short: no page waits");
        }
        Some(match task {
            Task::Make(_) if self.starting.load(Ordering::Acquire) > 0 => Task::Wait(Some(LOOK)),
            Task::Wait(Some(pause)) => Task::Wait(Some(pause.min(LOOK))),
            other => other,
        })
    }

    async fn make(self: &Arc<Self>, engine: &Engine, kind: PageKind, browser: u64) {
        let made = async {
            let page = engine.prepare().await?;
            if let Some(shell) = self.shells.iter().find(|shell| shell.kind == kind) {
                page.warm_up(&shell.address).await?;
            }
            Ok::<_, BrowserError>(page)
        };
        let made = made.await;
        let now = self.clock.now();
        let mut kept = self.kept.lock();
        if kept.browser != browser {
            return;
        }
        match made {
            Ok(page) => {
                let (state, pool) = (page.state.clone(), self.clone());
                kept.stock.put(kind, page, now);
                // A page that dies while it waits is replaced.
                spawn_detached("a page in advance", async move {
                    let _ = state.outcome().await;
                    pool.changed.notify_one();
                });
            }
            Err(error) => {
                tracing::debug!(kind = kind.name(), %error, "no page in advance");
                kept.stock.failed(kind, now);
            }
        }
    }
}

/// A page that a session took.
enum Waiting {
    Claimed(Prepared),
    Blank(Prepared),
}

/// Stands for a session's key in the addresses of pages that wait.
pub const WAITING: &str = "waiting";

/// Makes pages of one browser, as long as they are wanted of it.
async fn keep(pool: Arc<Pool>, engine: Engine, browser: u64) {
    while let Some(task) = pool.tend(browser, engine.room()) {
        match task {
            Task::Make(kind) => pool.make(&engine, kind, browser).await,
            Task::Wait(pause) => {
                let over = async {
                    match pause {
                        Some(pause) => pool.clock.sleep(pause).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = pool.changed.notified() => {}
                    () = over => {}
                    _ = engine.ended() => return,
                }
            }
        }
    }
}
