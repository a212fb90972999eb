//! The one Chromium of the node, and an actor per page in it.
//!
//! `BrowserActor` launches Chromium when the first page is wanted and ends with it; its
//! supervisor starts it again. `PageActor`s are temporary: a page that died is not revived, its
//! session is restarted by its own supervisor with a new page.

use std::sync::Arc;

use actix::prelude::*;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use super::pool::{Attached, Pool};
use super::{
    BrowserError, BrowserSettings, Engine, LogRing, Page, PageEvent, PageEvents, PageRequest,
};
use crate::supervision::{
    AddrSlot, ChildEvent, ChildSpec, Children, ExitReason, ExitSlot, GetTree, Restart, SharedClock,
    Stop, Supervising, TreeNode,
};
use crate::workers::{Notice, Notices};

type Opened = Result<Page, BrowserError>;

/// Opens a page for a session.
#[derive(Message)]
#[rtype(result = "Opened")]
pub struct OpenPage {
    pub request: PageRequest,
    pub notices: Notices,
    pub logs: Arc<Mutex<LogRing>>,
}

/// See the module's text.
pub struct BrowserActor {
    settings: BrowserSettings,
    exit: ExitSlot,
    children: Children<Self>,
    pool: Arc<Pool>,
    engine: Option<Engine>,
    /// Keeps the pool on the engine.
    attached: Option<Attached>,
    /// Who waits for Chromium to come up.
    waiting: Vec<oneshot::Sender<Result<Engine, String>>>,
    launching: bool,
}

impl BrowserActor {
    pub fn new(
        settings: BrowserSettings,
        pool: Arc<Pool>,
        clock: SharedClock,
        exit: ExitSlot,
    ) -> Self {
        BrowserActor {
            settings,
            exit,
            children: Children::new(clock),
            pool,
            engine: None,
            attached: None,
            waiting: Vec::new(),
            launching: false,
        }
    }

    /// The running Chromium, or the promise of one.
    fn engine(&mut self, ctx: &mut Context<Self>) -> oneshot::Receiver<Result<Engine, String>> {
        let (sender, receiver) = oneshot::channel();
        match &self.engine {
            Some(engine) => {
                // The receiver is returned below and cannot be gone.
                let _ = sender.send(Ok(engine.clone()));
            }
            None => {
                self.waiting.push(sender);
                self.launch(ctx);
            }
        }
        receiver
    }

    fn launch(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.launching, true) {
            return;
        }
        let launched = Engine::launch(self.settings.clone());
        ctx.spawn(launched.into_actor(self).map(|launched, actor, ctx| {
            actor.launching = false;
            let outcome = match launched {
                Ok(engine) => {
                    tracing::info!(pid = engine.pid(), "Chromium is up");
                    actor.watch(engine.clone(), ctx);
                    actor.attached = Some(actor.pool.attach(&engine));
                    actor.engine = Some(engine.clone());
                    Ok(engine)
                }
                Err(error) => {
                    tracing::error!(%error, "Chromium does not start");
                    Err(error.to_string())
                }
            };
            for waiter in actor.waiting.drain(..) {
                // A session that was stopped meanwhile does not wait any more.
                let _ = waiter.send(outcome.clone());
            }
        }));
    }

    /// Ends this actor when Chromium ends.
    fn watch(&self, engine: Engine, ctx: &mut Context<Self>) {
        let ended = async move { engine.ended().await };
        ctx.spawn(ended.into_actor(self).map(|reason, actor, ctx| {
            tracing::warn!(reason, "Chromium is gone");
            actor.exit.set(ExitReason::Lost(reason));
            ctx.stop();
        }));
    }

    fn adopt(
        &mut self,
        page: &Page,
        notices: Notices,
        logs: Arc<Mutex<LogRing>>,
        ctx: &mut Context<Self>,
    ) {
        let Some(events) = page.events() else {
            return;
        };
        let parts = Arc::new(Mutex::new(Some((page.clone(), events, notices, logs))));
        let slot = AddrSlot::new();
        let spec = ChildSpec::actor(page.target_id(), "page", &slot, move |args, _| {
            let parts = parts.lock().take();
            PageActor::new(parts, args.exit)
        })
        .restart(Restart::Temporary);
        if let Err(error) = self.children.start(spec, ctx) {
            tracing::error!(%error, "no actor for a page");
        }
    }
}

impl Actor for BrowserActor {
    type Context = Context<Self>;
}

impl Supervising for BrowserActor {
    fn children(&mut self) -> &mut Children<Self> {
        &mut self.children
    }

    fn exit_slot(&self) -> &ExitSlot {
        &self.exit
    }

    fn child_event(&mut self, event: &ChildEvent, _: &mut Self::Context) {
        if let ChildEvent::Stopped { id } | ChildEvent::Failed { id, .. } = event {
            self.children.remove(id);
        }
    }
}

impl Handler<OpenPage> for BrowserActor {
    type Result = ResponseActFuture<Self, Opened>;

    fn handle(&mut self, order: OpenPage, ctx: &mut Self::Context) -> Self::Result {
        let (engine, pool) = (self.engine(ctx), self.pool.clone());
        let OpenPage {
            request,
            notices,
            logs,
        } = order;
        let opened = async move {
            let engine = engine
                .await
                .unwrap_or_else(|_| Err("the browser is restarting".into()))
                .map_err(BrowserError::Launch)?;
            pool.open(&engine, request).await
        };
        Box::pin(opened.into_actor(self).map(|opened, actor, ctx| {
            if let Ok(page) = &opened {
                actor.adopt(page, notices, logs, ctx);
            }
            opened
        }))
    }
}

impl Handler<Stop> for BrowserActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        let Some(engine) = self.engine.take() else {
            return self.shut_down(ExitReason::Shutdown, ctx);
        };
        self.exit.set(ExitReason::Shutdown);
        self.attached = None;
        let down = async move { engine.shutdown().await };
        ctx.spawn(down.into_actor(self).map(|(), actor, ctx| {
            actor.shut_down(ExitReason::Shutdown, ctx);
        }));
    }
}

impl Handler<GetTree> for BrowserActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, question: GetTree, _: &mut Self::Context) -> Self::Result {
        let detail = json!({
            "chromium": self.engine.as_ref().map(Engine::pid),
            "pages": self.engine.as_ref().map_or(0, Engine::page_count),
            "waiting_pages": self.pool.report().iter().map(|held| held.ready).sum::<usize>(),
        });
        let children = self.children.tree(question);
        Box::pin(async move { TreeNode::own(detail, children.await) })
    }
}

type PageParts = (Page, PageEvents, Notices, Arc<Mutex<LogRing>>);

/// Carries the events of one page to its session and its log.
pub struct PageActor {
    parts: Option<PageParts>,
    session: String,
    exit: ExitSlot,
}

impl PageActor {
    fn new(parts: Option<PageParts>, exit: ExitSlot) -> Self {
        let session = parts.as_ref().map(|(page, ..)| page.session().to_owned());
        PageActor {
            parts,
            session: session.unwrap_or_default(),
            exit,
        }
    }
}

/// Tells the session that its page is gone when nobody else did: the browser's actor takes its
/// page actors with it.
struct Farewell {
    notices: Notices,
    told: bool,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if !self.told {
            // The session may be over already.
            let _ = self
                .notices
                .send(Notice::Crashed("the browser ended".into()));
        }
    }
}

/// Passes events on until the page is over; how it ended. A page whose session is over, even
/// before the page was open, is closed: nobody else may know of it.
async fn pump(parts: PageParts) -> ExitReason {
    let (page, mut events, notices, logs) = parts;
    let mut farewell = Farewell {
        notices: notices.clone(),
        told: false,
    };
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            () = notices.closed() => {
                farewell.told = true;
                page.close().await;
                return ExitReason::Normal;
            }
        };
        let Some(event) = event else {
            return ExitReason::Normal;
        };
        let notice = match event {
            PageEvent::Log(line) => {
                let uncaught = line.kind == super::LogKind::Error;
                let text = line.text.clone();
                logs.lock().push(line);
                if !uncaught {
                    continue;
                }
                Notice::PageError(text)
            }
            PageEvent::Ready { signalled } => Notice::PageLoaded { signalled },
            PageEvent::Failed(reason) => Notice::ScriptFailed(reason),
            PageEvent::Over(reason) => Notice::Over(reason),
            PageEvent::Crashed(reason) => {
                farewell.told = true;
                let _ = notices.send(Notice::Crashed(reason.clone()));
                return ExitReason::Lost(reason);
            }
            PageEvent::Closed => {
                farewell.told = true;
                let _ = notices.send(Notice::Crashed("the page was closed".into()));
                return ExitReason::Normal;
            }
        };
        let _ = notices.send(notice);
    }
}

impl Actor for PageActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(parts) = self.parts.take() else {
            self.exit
                .set(ExitReason::Error("a page actor without a page".into()));
            return ctx.stop();
        };
        ctx.spawn(pump(parts).into_actor(self).map(|reason, actor, ctx| {
            actor.exit.set(reason);
            ctx.stop();
        }));
    }
}

impl Handler<Stop> for PageActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        tracing::debug!(session = self.session, "page actor stopped");
        self.exit.set(ExitReason::Shutdown);
        ctx.stop();
    }
}
