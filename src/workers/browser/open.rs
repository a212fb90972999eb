//! Opening a page: a browser context of its own, everything set up on a blank page, and then the navigation.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::browser::{BrowserContextId, GetVersionParams};
use chromiumoxide::cdp::browser_protocol::page::AddScriptToEvaluateOnNewDocumentParams;
use chromiumoxide::cdp::browser_protocol::target::{
    AttachToTargetParams, CreateBrowserContextParams, CreateTargetParams,
    DisposeBrowserContextParams,
};
use chromiumoxide::cdp::js_protocol::runtime::EvaluateParams;
use chromiumoxide::types::Command;
use futures::future::{OptionFuture, try_join_all};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::devtools::DevtoolsError;
use super::engine::Engine;
use super::error::BrowserError;
use super::gate::Gate;
use super::journey::{await_app, navigate};
use super::log_ring::{LogKind, LogLine};
use super::outfit::{self, Outfit};
use super::page::{Held, Page, PageRequest};
use super::pool::WarmApp;
use super::pump;
use super::raw::Raw;
use super::render;
use super::requests::{self, Extra};
use super::script::{self, BINDING};
use super::state::{PageEvents, PageState, now};
use super::target::Target;
use super::watch::{self, Limits};

/// How often a page is opened anew because its process died at once.
const BLANKS: u32 = 3;
/// How long a page that has loaded may take to wait for its app.
const WARM_UP: Duration = Duration::from_secs(60);
/// Hosts that a page could not reach which its log names.
const MAX_REFUSALS: usize = 50;
/// Takes from the documents of a page with a gate what would go past it.
const NO_DETOUR: &str =
    "for (const name of ['RTCPeerConnection', 'webkitRTCPeerConnection']) delete globalThis[name];";
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

/// A page that is listened to and belongs to no session yet, so it can be made in advance.
pub(super) struct Prepared {
    engine: Engine,
    context: Context,
    /// The way out, where that is narrow.
    gate: Option<Gate>,
    page: Target,
    pub state: Arc<PageState>,
    events: PageEvents,
}

impl Engine {
    /// Opens a page and starts its navigation. Whether it succeeds is an event of the page, and what
    /// [`Page::ready`] waits for.
    pub async fn open(&self, request: PageRequest) -> Result<Page, BrowserError> {
        let slot = self.slot()?;
        let prepared = self.prepare_for(&request).await?;
        Ok(prepared.launch(request, slot))
    }

    /// Room for one more page of a session.
    pub(super) fn slot(&self) -> Result<OwnedSemaphorePermit, BrowserError> {
        let full = |_| BrowserError::Full(self.0.settings.max_sessions);
        self.0.slots.clone().try_acquire_owned().map_err(full)
    }

    /// A blank page for a session that is not known yet, as the server's options want it.
    pub(super) async fn prepare(&self) -> Result<Prepared, BrowserError> {
        let usual = Outfit::of_server(&self.0.settings.options);
        self.dressed(&usual, "about:blank", None).await
    }

    /// A blank page that belongs to the session of `request` and has its config.
    pub(super) async fn prepare_for(
        &self,
        request: &PageRequest,
    ) -> Result<Prepared, BrowserError> {
        let config = config_script(request);
        let page = self
            .dressed(&request.outfit, &request.url, config.as_deref())
            .await?;
        page.assign(request);
        Ok(page)
    }

    /// A blank page that is going to `url`; another one when its process dies before there is a page to tell of it,
    /// since Chromium then never answers.
    async fn dressed(
        &self,
        outfit: &Outfit,
        url: &str,
        script: Option<&str>,
    ) -> Result<Prepared, BrowserError> {
        for _ in 0..BLANKS {
            tokio::select! {
                biased;
                blank = self.blank(outfit, url, script) => return blank,
                () = self.stray_crash() => {}
            }
        }
        self.blank(outfit, url, script).await
    }

    /// A way out for a page that may not reach everything.
    async fn gate(&self, outfit: &Outfit, url: &str) -> Result<Option<Gate>, BrowserError> {
        let settings = &self.0.settings;
        let allowed = outfit.options.allowed(&settings.options);
        if allowed.is_everything() {
            return Ok(None);
        }
        // An app that is a page elsewhere may at least open that page.
        let own = settings.server_urls.iter().cloned();
        let own: Vec<String> = own.chain([url.to_owned()]).collect();
        let gate = Gate::open(allowed, &own).await;
        gate.map(Some)
            .map_err(|error| BrowserError::Failed(format!("no way out for the page: {error}")))
    }

    /// A blank page in a context of its own, with listeners, binding and outfit in place, whose documents begin with
    /// `script`.
    async fn blank(
        &self,
        outfit: &Outfit,
        url: &str,
        script: Option<&str>,
    ) -> Result<Prepared, BrowserError> {
        let gate = self.gate(outfit, url).await?;
        let context = Context::create(self, gate.as_ref()).await?;
        let page = self.target(&context).await?;
        let stream = pump::subscribe(&page);
        // All commands are on their way before the first is answered, for that takes until the page has a process.
        let detour = gate.as_ref().map(|_| NO_DETOUR);
        let scripts = detour.into_iter().chain(script).collect();
        let listening = self.within("report events", try_join_all(listen(&page, scripts)));
        let own = self.0.settings.server_urls.first();
        let extra = Extra::new(outfit, url, own.map(String::as_str));
        let dressing = async {
            match &context.id {
                Some(context) => outfit::dress(self, context, &page, outfit, url).await,
                None => Ok(()),
            }
        };
        let headers = async {
            let enabled = OptionFuture::from(requests::add_headers(&page, extra));
            let enabled = async { enabled.await.unwrap_or(Ok(())) };
            self.within("change requests", enabled).await
        };
        tokio::try_join!(listening, dressing, headers)?;
        let (state, events) = PageState::new();
        self.register(page.id().to_owned(), state.clone());
        tokio::spawn(follow(self.clone(), page.clone(), state.clone(), stream));
        if let Some(gate) = &gate {
            tell_refusals(gate, &state);
        }
        Ok(Prepared {
            engine: self.clone(),
            context,
            gate,
            page,
            state,
            events,
        })
    }

    /// A new target in `context` that is attached to.
    async fn target(&self, context: &Context) -> Result<Target, BrowserError> {
        let what = "open a page";
        let mut params = CreateTargetParams::new("about:blank");
        params.browser_context_id = context.id.clone();
        let made = self.command(what, params).await?;
        let mut attach = AttachToTargetParams::new(made.target_id.clone());
        attach.flatten = Some(true);
        let attached = self.command(what, attach).await?;
        let session = self.0.browser.with_session(attached.session_id.inner());
        Ok(Target::new(made.target_id.inner(), session))
    }
}

/// Has a page report what the server wants to know of it, and run `scripts` at the start of each document.
fn listen(
    page: &Target,
    scripts: Vec<&str>,
) -> Vec<impl Future<Output = Result<Value, DevtoolsError>> + Send + use<>> {
    let mut commands = vec![
        Raw::new("Page.enable", json!({})),
        Raw::new("Page.setLifecycleEventsEnabled", json!({ "enabled": true })),
        Raw::new("Runtime.enable", json!({})),
        Raw::new("Runtime.addBinding", json!({ "name": BINDING })),
        Raw::new("Network.enable", json!({})),
        Raw::new("Log.enable", json!({})),
    ];
    commands.extend(scripts.into_iter().map(|script| {
        Raw::new(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": script }),
        )
    }));
    commands
        .into_iter()
        .map(|command| page.send(command))
        .collect()
}

/// The script by which the documents of a session's page get its config.
fn config_script(request: &PageRequest) -> Option<String> {
    let origin = origin(&request.url).filter(|_| !request.init.is_null())?;
    Some(script::init_script(&origin, &request.init))
}

impl Prepared {
    /// Gives a blank page to the session of `request`, with its config.
    pub async fn introduce(&self, request: &PageRequest) -> Result<(), BrowserError> {
        self.assign(request);
        if let Some(script) = config_script(request) {
            let script = AddScriptToEvaluateOnNewDocumentParams::new(script);
            self.command("take its configuration", script).await?;
        }
        Ok(())
    }

    /// Brings a blank page that was introduced to its address.
    pub fn launch(self, request: PageRequest, slot: OwnedSemaphorePermit) -> Page {
        let deadline = tokio::time::Instant::now() + request.timeout;
        let page = self.into_page(&request, slot);
        tokio::spawn(navigate(
            page.cdp().clone(),
            page.state().clone(),
            request,
            deadline,
        ));
        page
    }

    /// Loads the page that waits for an app, and waits until it does.
    pub async fn warm_up(&self, address: &str) -> Result<(), BrowserError> {
        self.engine
            .within("load a page in advance", self.page.go_to(address))
            .await?;
        tokio::select! {
            biased;
            outcome = self.state.outcome() => outcome,
            warmed = tokio::time::timeout(WARM_UP, self.state.warmed()) => {
                warmed.map_err(|_| BrowserError::Timeout { what: "warm up", limit: WARM_UP })
            }
        }
    }

    /// Gives a page that waits for an app to the session of `request`, and the app to the page.
    pub async fn claim(&self, request: &PageRequest, app: &WarmApp) -> Result<(), BrowserError> {
        self.assign(request);
        let handed = json!({
            "app": app.app,
            "config": request.init,
            "address": request.url,
            "title": app.title,
        });
        let done = self
            .command("take its app", EvaluateParams::new(script::claim(&handed)))
            .await?;
        match done.exception_details {
            None => Ok(()),
            Some(details) => Err(BrowserError::Script(
                self.state.scrub(render::exception(&details)),
            )),
        }
    }

    /// The page of a session, after [`Prepared::claim`].
    pub fn claimed(self, request: &PageRequest, slot: OwnedSemaphorePermit) -> Page {
        let (state, timeout) = (self.state.clone(), request.timeout);
        tokio::spawn(async move {
            let deadline = tokio::time::Instant::now() + timeout;
            await_app(&state, timeout, deadline).await;
        });
        self.into_page(request, slot)
    }

    fn assign(&self, request: &PageRequest) {
        self.state
            .assign(request.session.clone(), secrets(&request.init));
    }

    /// Runs a command of the page, no longer than it lives.
    async fn command<C: Command>(
        &self,
        what: &'static str,
        command: C,
    ) -> Result<C::Response, BrowserError> {
        tokio::select! {
            biased;
            end = self.state.ended() => Err(end.error()),
            done = self.engine.within(what, self.page.send(command)) => done,
        }
    }

    fn into_page(self, request: &PageRequest, slot: OwnedSemaphorePermit) -> Page {
        tokio::spawn(watch::watch(
            self.engine.clone(),
            self.page.clone(),
            self.state.clone(),
            Limits::of(&request.outfit.options),
        ));
        let held = Held {
            context: self.context,
            _slot: slot,
            _gate: self.gate,
        };
        Page::new(self.engine, held, self.page, self.state, self.events)
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
async fn follow(engine: Engine, page: Target, state: Arc<PageState>, stream: pump::Stream) {
    pump::run(page.clone(), state, stream).await;
    // The events end with the page, and with the browser. The engine itself tells of the latter.
    if engine
        .command("say that it is there", GetVersionParams {})
        .await
        .is_ok()
    {
        engine.page_gone(page.id());
    }
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
}
