//! Opening a page: a browser context of its own, everything set up on a blank page, and then the navigation.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chromiumoxide::Page as CdpPage;
use chromiumoxide::cdp::browser_protocol::browser::{BrowserContextId, GetVersionParams};
use chromiumoxide::cdp::browser_protocol::page::AddScriptToEvaluateOnNewDocumentParams;
use chromiumoxide::cdp::browser_protocol::target::{
    CreateBrowserContextParams, CreateTargetParams, DisposeBrowserContextParams,
};
use chromiumoxide::cdp::js_protocol::runtime::{AddBindingParams, EvaluateParams};
use parking_lot::Mutex;
use serde_json::Value;
use url::Url;

use super::engine::Engine;
use super::error::BrowserError;
use super::gate::Gate;
use super::hosts::Allowed;
use super::log_ring::{LogKind, LogLine};
use super::outfit;
use super::page::{Held, Page, PageRequest};
use super::pump::{self, without_query};
use super::requests::{self, Extra};
use super::script::{self, BINDING};
use super::state::{PageState, now};
use super::watch::{self, Limits};

/// How often a page is opened anew because its process died at once.
const BLANKS: u32 = 3;
/// How long the status of a document that has loaded may lag behind.
const STATUS_LAG: Duration = Duration::from_secs(1);
/// Finds the element that all templates have.
const LOOK: &str = "document.getElementById('rhizome-app') !== null";
/// Hosts that a page could not reach which its log names.
const MAX_REFUSALS: usize = 50;
/// Keys of a page's config whose values must not show up in logs.
const SECRET_KEYS: [&str; 2] = ["token", "reconnection_token"];

/// A browser context, disposed with all that is in it unless it is handed on.
pub(super) struct Context {
    engine: Engine,
    id: Option<BrowserContextId>,
}

impl Context {
    /// A context, whose requests go through `gate` if there is one.
    async fn create(engine: &Engine, gate: Option<&Gate>) -> Result<Self, BrowserError> {
        let mut params = CreateBrowserContextParams::builder().dispose_on_detach(true);
        if let Some(gate) = gate {
            // Without this, what is on this machine would be reached directly.
            params = params
                .proxy_server(&gate.address)
                .proxy_bypass_list("<-loopback>");
        }
        let params = params.build();
        let made = engine.command("make a browser context", params).await?;
        Ok(Self {
            engine: engine.clone(),
            id: Some(made.browser_context_id),
        })
    }

    /// Disposes the context; true when this call did it.
    pub async fn dispose(mut self) -> Result<(), BrowserError> {
        let Some(id) = self.id.take() else {
            return Ok(());
        };
        self.engine
            .command("close the page", DisposeBrowserContextParams::new(id))
            .await
            .map(drop)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) {
            let engine = self.engine.clone();
            runtime.spawn(async move {
                engine
                    .command("close the page", DisposeBrowserContextParams::new(id))
                    .await
            });
        }
    }
}

/// A blank page that is listened to. It knows of no session yet, so it can be made in advance.
pub(super) struct Blank {
    pub context: Context,
    pub page: CdpPage,
    stream: pump::Stream,
}

impl Engine {
    /// Opens a page and starts its navigation. Whether it succeeds is an event of the page, and what
    /// [`Page::ready`] waits for.
    pub async fn open(&self, request: PageRequest) -> Result<Page, BrowserError> {
        let full = |_| BrowserError::Full(self.0.settings.max_sessions);
        let slot = self.0.slots.clone().try_acquire_owned().map_err(full)?;
        let deadline = tokio::time::Instant::now() + request.timeout;
        let options = &request.outfit.options;
        let allowed = options.allowed(&self.0.settings.options);
        let gate = match allowed.is_everything() {
            true => None,
            false => Some(self.gate(allowed, &request).await?),
        };
        let blank = self.blank_page(gate.as_ref()).await?;
        let (state, events) = PageState::new(request.session.clone(), secrets(&request.init));
        self.register(blank.page.target_id().inner().clone(), state.clone());
        tokio::spawn(follow(
            self.clone(),
            blank.page.clone(),
            state.clone(),
            blank.stream,
        ));
        if let Some(gate) = &gate {
            tell_refusals(gate, &state);
        }
        if let Some(context) = &blank.context.id {
            outfit::dress(self, context, &blank.page, &request.outfit, &request.url).await?;
        }
        let extra = Extra::new(
            &request.outfit,
            &request.url,
            self.0.settings.server_urls.first().map(String::as_str),
        );
        self.within("change requests", requests::add_headers(&blank.page, extra))
            .await?;
        tokio::spawn(watch::watch(
            self.clone(),
            blank.page.clone(),
            state.clone(),
            Limits::of(options),
        ));
        let held = Held {
            context: blank.context,
            _slot: slot,
            _gate: gate,
        };
        let page = Page::new(self.clone(), held, blank.page, state.clone(), events);
        if let (false, Some(origin)) = (request.init.is_null(), origin(&request.url)) {
            let script = script::init_script(&origin, &request.init);
            page.command(
                "take its configuration",
                AddScriptToEvaluateOnNewDocumentParams::new(script),
            )
            .await?;
        }
        tokio::spawn(navigate(page.cdp().clone(), state, request, deadline));
        Ok(page)
    }

    /// A way out for a page that may reach `allowed` hosts, and this server.
    async fn gate(&self, allowed: Allowed, request: &PageRequest) -> Result<Gate, BrowserError> {
        let own = &self.0.settings.server_urls;
        // An app that is a page elsewhere may at least open that page.
        let own: Vec<String> = own.iter().cloned().chain([request.url.clone()]).collect();
        let gate = Gate::open(allowed, &own).await;
        gate.map_err(|error| BrowserError::Failed(format!("no way out for the page: {error}")))
    }

    /// A blank page; another one when its process dies before there is a page to tell of it, since
    /// Chromium then never answers.
    async fn blank_page(&self, gate: Option<&Gate>) -> Result<Blank, BrowserError> {
        for _ in 0..BLANKS {
            tokio::select! {
                biased;
                blank = self.blank(gate) => return blank,
                () = self.stray_crash() => {}
            }
        }
        self.blank(gate).await
    }

    /// A blank page in a context of its own, with listeners and binding in place.
    async fn blank(&self, gate: Option<&Gate>) -> Result<Blank, BrowserError> {
        let context = Context::create(self, gate).await?;
        let mut params = CreateTargetParams::new("about:blank");
        params.browser_context_id = context.id.clone();
        let page = self
            .within("open a page", self.0.browser.new_page(params))
            .await?;
        let stream = self.within("report events", pump::subscribe(&page)).await?;
        self.within(
            "add a binding",
            page.execute(AddBindingParams::new(BINDING)),
        )
        .await?;
        Ok(Blank {
            context,
            page,
            stream,
        })
    }
}

/// Has the page's log tell which hosts it could not reach, each once.
fn tell_refusals(gate: &Gate, state: &Arc<PageState>) {
    let state = Arc::downgrade(state);
    let told = Mutex::new(HashSet::new());
    gate.on_refusal(move |host, port| {
        let place = format!("{host}:{port}");
        let mut told = told.lock();
        if told.len() < MAX_REFUSALS
            && told.insert(place.clone())
            && let Some(state) = state.upgrade()
        {
            state.log(LogLine {
                kind: LogKind::Console,
                level: "warning".to_owned(),
                text: format!("{place} was not reached: it is not among the app's allowed_hosts"),
                source: "network".to_owned(),
                ts: now(),
            });
        }
    });
}

/// Passes on the events of a page until it is gone, and then says so.
async fn follow(engine: Engine, page: CdpPage, state: Arc<PageState>, stream: pump::Stream) {
    pump::run(page.clone(), state, stream).await;
    // The events end with the page, and with the browser. The engine itself tells of the latter.
    if engine
        .command("say that it is there", GetVersionParams {})
        .await
        .is_ok()
    {
        engine.page_gone(page.target_id().inner());
    }
}

/// Brings the page to its address and judges the result.
async fn navigate(
    page: CdpPage,
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
        loaded = tokio::time::timeout_at(deadline, page.goto(request.url.as_str())) => loaded,
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
    let judged = async {
        if !has_template(&page).await {
            return state.ready(false);
        }
        // It says itself when it is ready.
        let _ = state.outcome().await;
    };
    if tokio::time::timeout_at(deadline, judged).await.is_err() {
        state.failed(format!(
            "the app was not ready within {} s",
            request.timeout.as_secs_f64()
        ));
    }
}

/// Whether the loaded page is made from one of our templates.
async fn has_template(page: &CdpPage) -> bool {
    let mut look = EvaluateParams::new(LOOK);
    look.return_by_value = Some(true);
    // A page that has already moved on to another address is not ours.
    page.execute(look)
        .await
        .is_ok_and(|seen| seen.result.result.value == Some(Value::Bool(true)))
}

fn is_bad(status: i64) -> bool {
    !(200..300).contains(&status) && status != 304
}

fn bad_status(status: i64, url: &str) -> String {
    format!("Failed to start browser app instance, status: {status}, url: {url}")
}

/// The origin whose documents may see the page's config: none for `data:` and the like.
fn origin(url: &str) -> Option<String> {
    let origin = Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

fn secrets(init: &Value) -> Vec<String> {
    let long = |text: &&str| text.len() >= 8;
    SECRET_KEYS
        .iter()
        .filter_map(|key| init.get(key)?.as_str())
        .filter(long)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_origins_count() {
        assert_eq!(
            origin("http://localhost:9527/ws/x?y"),
            Some("http://localhost:9527".to_owned())
        );
        assert_eq!(origin("data:text/html,x"), None);
        assert_eq!(origin("not a url"), None);
    }

    #[test]
    fn statuses() {
        assert!(![200, 204, 304].into_iter().any(is_bad));
        assert!([301, 404, 500].into_iter().all(is_bad));
    }
}
