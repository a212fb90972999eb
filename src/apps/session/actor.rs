//! One life of a session.
//!
//! The states and what leads from one to the next are in `lifecycle`; when a start is done is
//! decided in `readiness`. This actor feeds both with what happens and does what they say. A
//! crash ends the actor with a fault, and its app restarts it.

mod handlers;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::entry::SessionEntry;
use super::launch::{last_logs, launch};
use crate::apps::history::LogLine;
use crate::apps::host::Host;
use crate::apps::lifecycle::{SessionEvent, SessionState};
use crate::apps::progress::Step;
use crate::apps::readiness::{Expectation, Readiness, ReadyBy, Sighting, Verdict};
use crate::peer::{ErrorClass, ServiceError};
use crate::supervision::{ExitReason, ExitSlot};
use crate::wire::{Map, Value};
use crate::workers::{Started, Worker};

/// After the awaited service, late ones of the same start have this long to come.
const LATE_SERVICES: Duration = Duration::from_millis(100);
/// How long a client that is gone may stay away before its session ends. A page that died shows
/// first as a lost connection.
const CLIENT_GRACE: Duration = Duration::from_secs(3);

/// See the module's text.
pub struct SessionActor {
    host: Arc<Host>,
    entry: Arc<SessionEntry>,
    exit: ExitSlot,
    /// 0 for the first life, then the number of the restart.
    life: u32,
    readiness: Readiness,
    /// The app's code has ended and all it registers is registered.
    code_done: bool,
    worker: Option<Arc<dyn Worker>>,
    ending: Vec<oneshot::Sender<()>>,
    /// Counts losses of the client, so that an old grace timer finds itself out of date.
    absences: u32,
}

impl SessionActor {
    pub fn new(host: Arc<Host>, entry: Arc<SessionEntry>, exit: ExitSlot, life: u32) -> Self {
        let order = &entry.order;
        let readiness = Readiness::new(Expectation {
            wait: order.plan.wait.clone(),
            implied: order.plan.implied,
            plain_page: order.plain_page,
        });
        SessionActor {
            host,
            entry,
            exit,
            life,
            readiness,
            code_done: false,
            worker: None,
            ending: Vec::new(),
            absences: 0,
        }
    }

    fn advance(&self, event: SessionEvent, cause: Option<&str>) -> SessionState {
        self.entry.advance(event, self.host.clock.unix(), cause)
    }

    fn after(
        &self,
        wait: Duration,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let sleep = self.host.clock.sleep(wait);
        ctx.spawn(
            sleep
                .into_actor(self)
                .map(|(), actor, ctx| then(actor, ctx)),
        );
    }

    fn launch(&mut self, ctx: &mut Context<Self>) {
        let (notices, inbox) = mpsc::unbounded_channel();
        ctx.add_stream(UnboundedReceiverStream::new(inbox));
        let launched = launch(self.host.clone(), self.entry.clone(), notices);
        ctx.spawn(
            launched
                .into_actor(self)
                .map(|launched, actor, ctx| match launched {
                    Ok((worker, started)) => actor.launched(worker, &started, ctx),
                    Err(error) => actor.start_failed(error, ctx),
                }),
        );
        // One budget for the whole start.
        self.after(self.entry.order.plan.timeout, ctx, |actor, ctx| {
            if actor.entry.state().is_starting() {
                let late = ServiceError::new(ErrorClass::Timeout, "Application startup timed out");
                actor.start_failed(late, ctx);
            }
        });
    }

    fn launched(&mut self, worker: Arc<dyn Worker>, started: &Started, ctx: &mut Context<Self>) {
        self.host.workers.count_session(&worker.info().id, true);
        self.worker = Some(worker);
        if !self.entry.state().is_starting() {
            return;
        }
        self.advance(SessionEvent::Launched, None);
        let target = &self.entry.order.plan.wait;
        self.entry.progress(Step::Waiting { target });
        if started.completed {
            return self.see(Sighting::Completed, ctx);
        }
        if started.running {
            self.readiness.may_stay_silent();
        }
        self.see(Sighting::Launched, ctx);
    }

    fn see(&mut self, sighting: Sighting, ctx: &mut Context<Self>) {
        let verdict = self.readiness.see(sighting, self.host.clock.now());
        if self.entry.state().is_starting() {
            self.follow(verdict, ctx);
        }
    }

    fn follow(&mut self, verdict: Verdict, ctx: &mut Context<Self>) {
        match verdict {
            Verdict::Pending(None) => {}
            Verdict::Pending(Some(due)) => {
                let now = self.host.clock.now();
                self.after(due.saturating_sub(now), ctx, |actor, ctx| {
                    if actor.entry.state().is_starting() {
                        let verdict = actor.readiness.verdict(actor.host.clock.now());
                        actor.follow(verdict, ctx);
                    }
                });
            }
            Verdict::Failed(reason) => self.start_failed(ServiceError::plain(reason), ctx),
            // The event comes before the launch has returned when the app is quick.
            Verdict::Ready(_) if self.worker.is_none() => {}
            // A restarted app is called as soon as it is back.
            Verdict::Ready(by) if self.life > 0 => self.ready(&by, ctx),
            // So is one that nothing was awaited of; only an install wants to see its services.
            Verdict::Ready(by @ ReadyBy::Detached) if !self.entry.order.trial => {
                self.ready(&by, ctx);
            }
            // Nor does anything come late from code that has ended.
            Verdict::Ready(by) if self.code_done && !self.entry.order.trial => {
                self.ready(&by, ctx);
            }
            Verdict::Ready(by) => self.after(LATE_SERVICES, ctx, move |actor, ctx| {
                actor.ready(&by, ctx);
            }),
        }
    }

    fn ready(&mut self, by: &ReadyBy, ctx: &mut Context<Self>) {
        if !self.entry.state().is_starting() {
            return;
        }
        match by {
            ReadyBy::Service(name) | ReadyBy::OtherService(name) => {
                self.entry.progress(Step::TargetFound { name });
            }
            ReadyBy::PlainPage => self.entry.progress(Step::NoClient),
            _ => {}
        }
        self.entry.progress(Step::Loaded);
        self.entry.progress(Step::Finalizing);
        let event = match by {
            ReadyBy::Completed => SessionEvent::Completed,
            _ => SessionEvent::Ready,
        };
        self.advance(event, None);
        let record = self.record(by);
        self.entry.progress(Step::Started);
        self.entry.settle(Ok(record));
        self.watch_inactivity(ctx);
        // It may have gone again before the start was done.
        let has_client = !matches!(
            by,
            ReadyBy::Detached | ReadyBy::Completed | ReadyBy::PlainPage
        );
        if has_client && self.host.directory.router.find(&self.entry.id()).is_none() {
            self.client_gone(ctx);
        }
    }

    fn record(&self, by: &ReadyBy) -> Map {
        let order = &self.entry.order;
        let mut record = self.entry.bare_record();
        let services = self
            .host
            .directory
            .registry
            .of_client(order.id.workspace(), order.id.client_id());
        let listed: Vec<Value> = services
            .iter()
            .filter(|service| !service.is_built_in())
            .map(|service| Value::Map(service.to_map(true)))
            .collect();
        let main = match by {
            ReadyBy::Service(name) | ReadyBy::OtherService(name) => Some(name.as_str()),
            _ => None,
        };
        let config = services
            .iter()
            .find(|service| service.name == main.unwrap_or("default"))
            .and_then(|service| service.to_map(true).remove("config"))
            .unwrap_or_else(|| Value::Map(Map::new()));
        record.insert("worker_id", self.entry.worker());
        if let Some(name) = main {
            let id = format!("{}:{name}@{}", self.entry.id(), order.app);
            record.insert("service_id", id);
        }
        record.insert("services", listed);
        record.insert("config", config);
        record
    }

    fn start_failed(&mut self, error: ServiceError, ctx: &mut Context<Self>) {
        if !self.entry.state().is_starting() {
            return;
        }
        let cause = error.to_string();
        // A later life that does not come up counts as another crash.
        let event = match (self.life, self.entry.state()) {
            (0, _) | (_, SessionState::Selecting) => SessionEvent::StartFailed,
            _ => SessionEvent::Crashed,
        };
        let state = self.advance(event, Some(&cause));
        let (host, entry, worker) = self.what_runs();
        let cleaned = async move {
            let mut logs = Vec::new();
            if let Some(worker) = worker {
                let session = entry.worker_session();
                logs = last_logs(&*worker, &session).await;
                host.take_back(&*worker, &entry).await;
            }
            logs
        };
        ctx.spawn(cleaned.into_actor(self).map(move |logs, actor, ctx| {
            actor.entry.keep_logs(logs.clone());
            if state == SessionState::Crashed {
                return actor.leave(ExitReason::Error(cause), ctx);
            }
            actor.advance(SessionEvent::CleanedUp, None);
            let outcome = actor.failure(&error, &logs);
            actor.entry.settle(Err(outcome));
            actor.leave(ExitReason::Normal, ctx);
        }));
    }

    fn failure(&self, error: &ServiceError, logs: &[LogLine]) -> ServiceError {
        let app = &self.entry.order.app;
        let lines: Vec<&str> = logs.iter().map(|line| line.content.as_str()).collect();
        let message = format!(
            "Failed to start app '{app}', error: {error}, logs:\n{}",
            lines.join("\n")
        );
        ServiceError::new(error.class, message)
    }

    /// The worker, also while its `start` has not returned.
    fn current_worker(&self) -> Option<Arc<dyn Worker>> {
        self.worker
            .clone()
            .or_else(|| self.host.workers.get(&self.entry.worker()?))
    }

    fn client_gone(&mut self, ctx: &mut Context<Self>) {
        if self.entry.state() != SessionState::Running {
            return;
        }
        self.advance(
            SessionEvent::ClientLost { kept: true },
            Some("client disconnected"),
        );
        let manifest = &self.entry.order.manifest;
        if manifest.daemon() || manifest.worker_managed() {
            return;
        }
        self.absences += 1;
        let absence = self.absences;
        self.after(CLIENT_GRACE, ctx, move |actor, ctx| {
            let away = actor.entry.state() == SessionState::Disconnected;
            if away && actor.absences == absence {
                actor.end("client disconnected", ctx);
            }
        });
    }

    fn what_runs(&self) -> (Arc<Host>, Arc<SessionEntry>, Option<Arc<dyn Worker>>) {
        (self.host.clone(), self.entry.clone(), self.current_worker())
    }

    fn crashed(&mut self, reason: String, ctx: &mut Context<Self>) {
        let state = self.entry.state();
        if state.is_starting() {
            return self.see(Sighting::PageCrashed(reason), ctx);
        }
        if !matches!(state, SessionState::Running | SessionState::Disconnected) {
            return;
        }
        self.advance(SessionEvent::Crashed, Some(&reason));
        self.entry.interrupt();
        let (host, entry, worker) = self.what_runs();
        let gone = async move {
            let Some(worker) = worker else {
                return Vec::new();
            };
            let session = entry.worker_session();
            let logs = last_logs(&*worker, &session).await;
            host.take_back(&*worker, &entry).await;
            logs
        };
        ctx.spawn(gone.into_actor(self).map(|logs, actor, ctx| {
            actor.entry.keep_logs(logs);
            actor.leave(ExitReason::Lost(reason), ctx);
        }));
    }

    /// A script has done its work. What it leaves, its logs at least, stays until it is stopped.
    fn completed(&mut self, ctx: &mut Context<Self>) {
        if self.entry.state().is_starting() {
            return self.see(Sighting::Completed, ctx);
        }
        self.advance(SessionEvent::Completed, None);
    }

    /// Ends the session in order.
    fn end(&mut self, cause: &str, ctx: &mut Context<Self>) {
        let before = self.entry.state();
        let state = self.advance(SessionEvent::StopRequested, Some(cause));
        if before == state && !state.is_final() {
            return;
        }
        self.entry.settle(Err(ServiceError::runtime(format!(
            "Session stopped: {cause}"
        ))));
        if state != SessionState::Stopping {
            return self.leave(ExitReason::Shutdown, ctx);
        }
        let (host, entry, worker) = self.what_runs();
        let stopped = async move {
            let Some(worker) = worker else {
                return true;
            };
            if !entry.order.trial {
                let session = entry.worker_session();
                entry.keep_logs(last_logs(&*worker, &session).await);
            }
            host.take_back(&*worker, &entry).await
        };
        ctx.spawn(stopped.into_actor(self).map(|in_time, actor, ctx| {
            let event = if in_time {
                SessionEvent::StopFinished
            } else {
                SessionEvent::StopOverdue
            };
            actor.advance(event, None);
            actor.leave(ExitReason::Shutdown, ctx);
        }));
    }

    fn leave(&mut self, reason: ExitReason, ctx: &mut Context<Self>) {
        if let Some(worker) = self.worker.take() {
            self.host.workers.count_session(&worker.info().id, false);
        }
        self.host.pages.revoke(&self.entry.id());
        self.host.dismiss_client(&self.entry.id());
        self.exit.set(reason);
        for waiter in self.ending.drain(..) {
            // Whoever asked may be gone.
            let _ = waiter.send(());
        }
        ctx.stop();
    }

    /// Stops the session when nothing has passed from or to its client for the agreed time.
    fn watch_inactivity(&self, ctx: &mut Context<Self>) {
        let Some(limit) = self.entry.order.plan.stop_after_inactive else {
            return;
        };
        let idle = self.idle_for();
        self.after(
            limit.saturating_sub(idle).max(Duration::from_millis(50)),
            ctx,
            move |actor, ctx| {
                let state = actor.entry.state();
                if !matches!(state, SessionState::Running | SessionState::Disconnected) {
                    return;
                }
                if actor.idle_for() >= limit {
                    tracing::info!(session = %actor.entry.order.id, "stopping an inactive session");
                    return actor.end("inactive", ctx);
                }
                actor.watch_inactivity(ctx);
            },
        );
    }

    fn idle_for(&self) -> Duration {
        let router = &self.host.directory.router;
        let Some(client) = router.find(&self.entry.id()) else {
            return self.entry.since_started(self.host.clock.unix());
        };
        let now = router.now_ms();
        if client.is_busy(now) {
            return Duration::ZERO;
        }
        Duration::from_millis(now.saturating_sub(client.last_traffic()))
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.life > 0 {
            self.advance(SessionEvent::RestartDue, None);
        }
        self.launch(ctx);
    }
}
