//! One installed app: starts its sessions, one start at a time for those who can share it, and
//! supervises them.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use serde_json::json;

use super::autoscaler::{AutoscalerActor, ScalingConfig};
use super::host::Host;
use super::lifecycle::{SessionEvent, SessionState};
use super::session::{EndSession, SessionActor, SessionEntry, SessionOrder, Settled};
use crate::peer::ServiceError;
use crate::supervision::{
    AddrSlot, ChildEvent, ChildSpec, Children, ExitReason, ExitSlot, GetTree, OnExhausted, Restart,
    Stop, StopOrder, Supervising, TreeNode,
};

/// How long a session may take to stop before it is killed.
const SESSION_STOP: Duration = Duration::from_secs(10);

/// Id and kind of the child that scales the app.
const AUTOSCALER: &str = "autoscaler";

/// Starts a session, or joins the one that runs or starts already.
#[derive(Message)]
#[rtype(result = "Settled")]
pub struct StartSession {
    pub order: Box<SessionOrder>,
    pub sharing: Sharing,
    /// Only beside one that runs: an autoscaler must not wake an app that was stopped meanwhile.
    pub beside: bool,
}

/// Which running session serves a start as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// None: daemons, autoscaled apps, trials, the stage.
    Nothing,
    SameVersion,
    /// Any: singletons.
    AnyVersion,
}

/// Ends one session of the app, or all but trials; resolves when they are over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EndSessions {
    pub only: Option<String>,
    pub cause: &'static str,
}

/// See the module's text.
pub struct AppActor {
    host: Arc<Host>,
    workspace: String,
    app: String,
    exit: ExitSlot,
    children: Children<Self>,
}

impl AppActor {
    pub fn new(host: Arc<Host>, workspace: String, app: String, exit: ExitSlot) -> Self {
        let children = Children::new(host.clock.clone()).stop_order(StopOrder::Together);
        AppActor {
            host,
            workspace,
            app,
            exit,
            children,
        }
    }

    fn sessions(&self) -> Vec<Arc<SessionEntry>> {
        self.host.sessions.of_app(&self.workspace, &self.app)
    }

    /// A session that a start may share.
    fn shared(&self, start: &StartSession, sharing: Sharing) -> Option<Arc<SessionEntry>> {
        let fits = |entry: &SessionEntry| match sharing {
            Sharing::Nothing => false,
            Sharing::SameVersion => {
                entry.order.version == start.order.version && !entry.order.staged
            }
            Sharing::AnyVersion => true,
        };
        self.sessions().into_iter().find(|entry| {
            let state = entry.state();
            let usable = state.is_starting()
                || matches!(state, SessionState::Running | SessionState::Completed)
                || matches!(state, SessionState::Crashed | SessionState::Restarting);
            usable && !entry.order.trial && !entry.is_draining() && fits(entry)
        })
    }

    fn begin(
        &mut self,
        order: SessionOrder,
        ctx: &mut Context<Self>,
    ) -> Result<Arc<SessionEntry>, ServiceError> {
        let journal = self.host.journal.clone();
        let entry = SessionEntry::new(order, journal, self.host.clock.unix());
        self.host.sessions.add(entry.clone());
        let policy = if entry.order.manifest.daemon() {
            OnExhausted::KeepTrying
        } else {
            OnExhausted::GiveUp
        };
        let (host, shared) = (self.host.clone(), entry.clone());
        let spec = ChildSpec::observed(entry.id(), "session", &entry.slot, move |args, _| {
            SessionActor::new(host.clone(), shared.clone(), args.exit, args.restarts)
        })
        .restart(if entry.order.trial {
            Restart::Temporary
        } else {
            Restart::Transient
        })
        .shutdown(SESSION_STOP)
        .on_exhausted(policy);
        self.children.start(spec, ctx).map_err(|error| {
            self.host.sessions.end(&entry.id());
            ServiceError::runtime(error.to_string())
        })?;
        self.scale(&entry, ctx);
        Ok(entry)
    }

    /// Has the number of sessions watched when the app wants that.
    fn scale(&mut self, entry: &SessionEntry, ctx: &mut Context<Self>) {
        let config = match ScalingConfig::of(&entry.order.manifest) {
            Ok(Some(config)) if !entry.order.trial => config,
            // A wrong one was refused before the order was made.
            _ => return,
        };
        if self.children.is_running(AUTOSCALER) {
            return;
        }
        let (host, workspace, app) = (self.host.clone(), self.workspace.clone(), self.app.clone());
        let spec = ChildSpec::observed(AUTOSCALER, AUTOSCALER, &AddrSlot::new(), move |args, _| {
            AutoscalerActor::new(
                host.clone(),
                workspace.clone(),
                app.clone(),
                config.clone(),
                args.exit,
            )
        })
        .on_exhausted(OnExhausted::KeepTrying);
        if let Err(error) = self.children.start(spec, ctx) {
            tracing::error!(app = self.app, %error, "no autoscaler");
        }
    }

    fn follow(&mut self, event: &ChildEvent) {
        let Some(entry) = self.host.sessions.get(event.id()) else {
            return;
        };
        let now = self.host.clock.unix();
        match event {
            ChildEvent::Started { .. } => {}
            ChildEvent::Exited { reason, .. } => {
                // A panic leaves the state where it was.
                if reason.is_fault() && !entry.state().is_final() {
                    entry.advance(SessionEvent::Crashed, now, Some(&reason.to_string()));
                    entry.interrupt();
                }
                let cause = reason.to_string();
                self.host.judge_version(&entry, entry.ran_for(now), &cause);
            }
            ChildEvent::Restarting {
                after, restarts, ..
            } => {
                let cause = format!("restart {restarts} in {:.1} s", after.as_secs_f64());
                entry.advance(SessionEvent::RestartScheduled, now, Some(&cause));
            }
            ChildEvent::Failed { reason, .. } => {
                let cause = format!("given up after repeated crashes: {reason}");
                entry.advance(SessionEvent::RestartRefused, now, Some(&cause));
                self.over(&entry, &cause);
            }
            ChildEvent::Stopped { .. } => self.over(&entry, "the session ended"),
        }
    }

    fn over(&mut self, entry: &SessionEntry, cause: &str) {
        entry.settle(Err(ServiceError::runtime(cause)));
        self.host.sessions.end(&entry.id());
        self.host.dismiss_client(&entry.id());
        self.host.clear_later(entry.id());
        self.children.remove(&entry.id());
        // Whoever stops a daemon on purpose says so first.
        if entry.order.manifest.daemon() && !entry.order.trial {
            self.host.revive_daemon(&self.workspace, &self.app);
        }
    }
}

impl Actor for AppActor {
    type Context = Context<Self>;

    /// After a crash of this actor its sessions are gone with it; what is still noted of them is
    /// closed here, and their workers are told.
    fn started(&mut self, _: &mut Self::Context) {
        let now = self.host.clock.unix();
        for entry in self.sessions() {
            entry.advance(
                SessionEvent::WorkerLost,
                now,
                Some("the app's supervisor was restarted"),
            );
            let worker = entry.worker().and_then(|id| self.host.workers.get(&id));
            if let Some(worker) = worker {
                let (host, entry) = (self.host.clone(), entry.clone());
                actix::spawn(async move {
                    host.take_back(&*worker, &entry).await;
                });
            }
            self.over(&entry, "the app's supervisor was restarted");
        }
    }
}

impl Supervising for AppActor {
    fn children(&mut self) -> &mut Children<Self> {
        &mut self.children
    }

    fn exit_slot(&self) -> &ExitSlot {
        &self.exit
    }

    fn child_event(&mut self, event: &ChildEvent, ctx: &mut Self::Context) {
        self.follow(event);
        let lives = self.sessions().iter().any(|entry| !entry.order.trial);
        if !lives && self.children.is_running(AUTOSCALER) {
            drop(self.children.stop(AUTOSCALER, ctx));
        }
    }
}

impl Handler<StartSession> for AppActor {
    type Result = ResponseFuture<Settled>;

    fn handle(&mut self, start: StartSession, ctx: &mut Self::Context) -> Self::Result {
        if start.beside && self.shared(&start, Sharing::AnyVersion).is_none() {
            let error = ServiceError::runtime("the app was stopped meanwhile");
            return Box::pin(async move { Err(error) });
        }
        let entry = match self.shared(&start, start.sharing) {
            Some(entry) => Ok(entry),
            None => self.begin(*start.order, ctx),
        };
        // Asked for here: a quick end must not come before the question.
        let settled = entry.and_then(|entry| entry.settled());
        Box::pin(async move {
            settled?
                .await
                .unwrap_or_else(|_| Err(ServiceError::runtime("the session is gone")))
        })
    }
}

impl Handler<EndSessions> for AppActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, order: EndSessions, ctx: &mut Self::Context) -> Self::Result {
        let wanted: Vec<_> = self
            .sessions()
            .into_iter()
            .filter(|entry| match &order.only {
                Some(id) => entry.id() == *id,
                None => !entry.order.trial,
            })
            .collect();
        let mut ended: Vec<BoxFuture<'static, ()>> = Vec::new();
        for entry in wanted {
            if entry.slot.is_up() {
                let over = entry.slot.send(EndSession { cause: order.cause });
                ended.push(over.map(drop).boxed());
            }
            // Between two lives there is only the supervisor's plan to call off.
            let now = self.host.clock.unix();
            if matches!(
                entry.state(),
                SessionState::Crashed | SessionState::Restarting
            ) {
                entry.advance(SessionEvent::StopRequested, now, Some(order.cause));
                ended.push(self.children.stop(&entry.id(), ctx).boxed());
            }
        }
        Box::pin(join_all(ended).map(drop))
    }
}

impl Handler<Stop> for AppActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.shut_down(ExitReason::Shutdown, ctx);
    }
}

impl Handler<GetTree> for AppActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, question: GetTree, _: &mut Self::Context) -> Self::Result {
        let detail = json!({ "sessions": self.sessions().len() });
        let children = self.children.tree(question);
        Box::pin(async move { TreeNode::own(detail, children.await) })
    }
}
