//! The handle of one open page.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::page::{
    CaptureScreenshotFormat, CaptureScreenshotParams, GetLayoutMetricsParams, Viewport,
};
use chromiumoxide::types::Command;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::devtools::DevtoolsError;
use super::engine::Engine;
use super::error::BrowserError;
use super::gate::Gate;
use super::open::Context;
use super::outfit::Outfit;
use super::pool::PageStart;
use super::state::{End, PageEvents, PageState};
use super::target::Target;

/// Most pixels of a side of a picture; Chromium draws no more.
const MAX_SIDE: f64 = 16384.0;

/// What to open.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// The address. It should hold no secrets.
    pub url: String,
    /// The page's config, which documents of the address's own origin find as `window.__rhizome`. Null for none. The
    /// values of `token` and `reconnection_token` are kept out of the page's logs and errors.
    pub init: Value,
    /// The session that the page belongs to.
    pub session: String,
    /// How long the page may take to become ready.
    pub timeout: Duration,
    /// What it gets to see of the world.
    pub outfit: Outfit,
    /// What may be used that was made in advance.
    pub start: PageStart,
}

/// A format for screenshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// Portable Network Graphics.
    Png,
    /// JPEG.
    Jpeg,
}

impl FromStr for ImageFormat {
    type Err = BrowserError;

    fn from_str(name: &str) -> Result<Self, BrowserError> {
        match name {
            "png" => Ok(Self::Png),
            "jpeg" => Ok(Self::Jpeg),
            _ => Err(BrowserError::ImageFormat(name.to_owned())),
        }
    }
}

/// An open page in a browser context of its own. Cheap to clone; closed when the last clone is dropped.
#[derive(Clone)]
pub struct Page(Arc<Core>);

struct Core {
    engine: Engine,
    page: Target,
    state: Arc<PageState>,
    events: Mutex<Option<PageEvents>>,
    /// What the page occupies: taken by whoever closes it.
    held: Mutex<Option<Held>>,
}

/// What a page occupies while it is open.
pub(super) struct Held {
    pub context: Context,
    pub _slot: OwnedSemaphorePermit,
    /// Its way out, where that is narrow.
    pub _gate: Option<Gate>,
}

impl Page {
    pub(super) fn new(
        engine: Engine,
        held: Held,
        page: Target,
        state: Arc<PageState>,
        events: PageEvents,
    ) -> Self {
        let held = Mutex::new(Some(held));
        Self(Arc::new(Core {
            engine,
            page,
            state,
            events: Mutex::new(Some(events)),
            held,
        }))
    }

    /// The events of the page, for the one who asks first.
    pub fn events(&self) -> Option<PageEvents> {
        self.0.events.lock().take()
    }

    /// The session that the page belongs to.
    pub fn session(&self) -> &str {
        self.0.state.session()
    }

    /// The id by which Chromium knows the page.
    pub fn target_id(&self) -> &str {
        self.0.page.id()
    }

    /// Waits until the page is ready, by its own word or, if it is not one of ours, by having loaded.
    pub async fn ready(&self) -> Result<(), BrowserError> {
        self.0.state.outcome().await
    }

    /// A picture of what the page shows, or of all there is of it.
    pub async fn screenshot(
        &self,
        format: ImageFormat,
        full_page: bool,
    ) -> Result<Vec<u8>, BrowserError> {
        let what = "take a screenshot";
        let format = match format {
            ImageFormat::Png => CaptureScreenshotFormat::Png,
            ImageFormat::Jpeg => CaptureScreenshotFormat::Jpeg,
        };
        let mut params = CaptureScreenshotParams::builder().format(format);
        if full_page {
            let metrics = GetLayoutMetricsParams::default();
            let size = self.command(what, metrics).await?.css_content_size;
            let (width, height) = (size.width.min(MAX_SIDE), size.height.min(MAX_SIDE));
            params = params.capture_beyond_viewport(true).clip(Viewport {
                x: 0.0,
                y: 0.0,
                width,
                height,
                scale: 1.0,
            });
        }
        let shot = self.command(what, params.build()).await?;
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &shot.data);
        bytes.map_err(|error| BrowserError::Refused {
            what,
            reason: error.to_string(),
        })
    }

    /// Closes the page and disposes of its context. What is still going on in it fails at once. Later calls do nothing.
    pub async fn close(&self) {
        self.0.state.end(End::Closed);
        self.0.engine.forget(self.target_id());
        let held = self.0.held.lock().take();
        if let Some(held) = held
            && let Err(error) = held.context.dispose().await
            && !matches!(error, BrowserError::Ended(_))
        {
            tracing::warn!(session = self.session(), %error, "a page was not closed properly");
        }
    }

    pub(super) fn state(&self) -> &Arc<PageState> {
        &self.0.state
    }

    pub(super) fn cdp(&self) -> &Target {
        &self.0.page
    }

    /// Runs a command of the page, within the usual time.
    pub(super) async fn command<C: Command>(
        &self,
        what: &'static str,
        command: C,
    ) -> Result<C::Response, BrowserError> {
        self.command_within(what, self.0.engine.0.settings.call_timeout, command)
            .await
    }

    /// Runs a command of the page, within `limit` and no longer than the page lives.
    pub(super) async fn command_within<C: Command>(
        &self,
        what: &'static str,
        limit: Duration,
        command: C,
    ) -> Result<C::Response, BrowserError> {
        let state = &self.0.state;
        let done = tokio::select! {
            biased;
            end = state.ended() => return Err(end.error()),
            done = tokio::time::timeout(limit, self.0.page.send(command)) => done,
        };
        match done {
            Ok(Ok(response)) => Ok(response),
            // The connection ends a moment before the page is told why.
            Ok(Err(DevtoolsError::Closed)) => {
                let end = tokio::time::timeout(Duration::from_secs(1), state.ended()).await;
                Err(end.unwrap_or(End::Closed).error())
            }
            Ok(Err(error)) => Err(BrowserError::Refused {
                what,
                reason: state.scrub(error.to_string()),
            }),
            Err(_) => Err(BrowserError::Timeout { what, limit }),
        }
    }

    pub(super) fn default_limit(&self) -> Duration {
        self.0.engine.0.settings.call_timeout
    }

    pub(super) fn scrub(&self, text: String) -> String {
        self.0.state.scrub(text)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // The context disposes of itself as it is dropped.
        self.state.end(End::Closed);
        self.engine.forget(self.page.id());
    }
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page")
            .field("session", &self.session())
            .field("target", &self.target_id())
            .finish()
    }
}
