//! Watches the load of one app's sessions and keeps their number right. A child of the app, as
//! long as the app has sessions.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures::future::join_all;

use super::config::{Metric, ScalingConfig};
use super::decision::{Action, Decision, Fleet, Instance, LastSteps, decide};
use super::history::ScalingHistory;
use crate::apps::host::Host;
use crate::apps::lifecycle::SessionState;
use crate::apps::session::SessionEntry;
use crate::peer::CallOptions;
use crate::router::Client;
use crate::supervision::{ExitReason, ExitSlot, GetTree, Stop, TreeNode};

/// How long an app's metric function may take.
const METRIC_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks at a session that is being drained.
const DRAIN_LOOK: Duration = Duration::from_millis(250);
/// Silence after which a drained session counts as free, in milliseconds.
const QUIET_MS: u64 = 1000;
/// How long a session may take to become free.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// See the module's text.
pub struct AutoscalerActor {
    host: Arc<Host>,
    workspace: String,
    app: String,
    config: ScalingConfig,
    history: Arc<ScalingHistory>,
    last: LastSteps,
    exit: ExitSlot,
}

impl AutoscalerActor {
    pub fn new(
        host: Arc<Host>,
        workspace: String,
        app: String,
        config: ScalingConfig,
        exit: ExitSlot,
    ) -> Self {
        let history = host.scaling.of(&workspace, &app);
        let now = host.clock.unix();
        AutoscalerActor {
            host,
            workspace,
            app,
            config,
            history,
            last: LastSteps { up: None, any: now },
            exit,
        }
    }

    fn schedule(&self, ctx: &mut Context<Self>) {
        let pause = self.host.clock.sleep(self.host.scaling_interval);
        ctx.spawn(pause.into_actor(self).map(|(), actor, ctx| actor.look(ctx)));
    }

    /// Measures, decides, acts, and looks again later.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let measured = measure(
            self.host.clone(),
            self.workspace.clone(),
            self.app.clone(),
            self.config.clone(),
        );
        ctx.spawn(
            measured
                .into_actor(self)
                .map(|(fleet, draining), actor, ctx| {
                    let now = actor.host.clock.unix();
                    let decision = decide(&actor.config, &fleet, &actor.last, now);
                    actor.history.note(&fleet, draining, &decision, now);
                    actor.act(decision, now, ctx);
                    actor.schedule(ctx);
                }),
        );
    }

    fn act(&mut self, decision: Decision, now: f64, ctx: &mut Context<Self>) {
        let Decision { action, reason } = decision;
        match action {
            Action::Hold => {}
            Action::Start(more) => {
                tracing::info!(
                    app = self.app,
                    workspace = self.workspace,
                    more,
                    reason,
                    "scaling up"
                );
                self.last = LastSteps {
                    up: Some(now),
                    any: now,
                };
                let starts = (0..more).map(|_| {
                    let host = self.host.clone();
                    let (workspace, app) = (self.workspace.clone(), self.app.clone());
                    async move {
                        if let Err(error) = host.start_beside(&workspace, &app).await {
                            tracing::warn!(app, workspace, %error, "an instance did not start");
                        }
                    }
                });
                ctx.spawn(join_all(starts).into_actor(self).map(|_, _, _| ()));
            }
            Action::Drain(id) => {
                tracing::info!(
                    app = self.app,
                    workspace = self.workspace,
                    session = id,
                    reason,
                    "scaling down"
                );
                self.last.any = now;
                let drained = drain(
                    self.host.clone(),
                    self.workspace.clone(),
                    self.app.clone(),
                    id,
                );
                ctx.spawn(drained.into_actor(self));
            }
        }
    }
}

/// The sessions that count, with their load, and how many are being drained.
async fn measure(
    host: Arc<Host>,
    workspace: String,
    app: String,
    config: ScalingConfig,
) -> (Fleet, usize) {
    let sessions = host.sessions.of_app(&workspace, &app);
    let (mut starting, mut draining, mut running) = (0, 0, Vec::new());
    for entry in sessions.into_iter().filter(|entry| !entry.order.trial) {
        match entry.state() {
            _ if entry.is_draining() => draining += 1,
            SessionState::Running => running.push(entry),
            state if state.is_final() => {}
            // Those between two lives come back.
            _ => starting += 1,
        }
    }
    let loads = running.iter().map(|entry| load_of(&host, entry, &config));
    let running = join_all(loads).await;
    (Fleet { running, starting }, draining)
}

async fn load_of(host: &Host, entry: &SessionEntry, config: &ScalingConfig) -> Instance {
    let router = &host.directory.router;
    let client = router.find(&entry.id());
    let (rate, in_flight) = client.as_ref().map_or((0.0, 0), |client| {
        let rate = client.load.per_minute(router.now_ms());
        (f64::from(rate), client.load.in_flight())
    });
    let pressure = match (config.metric_type, &config.custom_metric_function) {
        (Metric::Custom, Some(function)) => {
            metric(host, entry, function).await / config.target_load_per_instance
        }
        _ => config.pressure(rate, f64::from(in_flight)),
    };
    Instance {
        id: entry.id(),
        pressure,
        busy: in_flight > 0,
    }
}

/// What the app says of its own load; 0 when it does not say.
async fn metric(host: &Host, entry: &SessionEntry, function: &str) -> f64 {
    let call = host
        .directory
        .peer
        .call(&entry.id(), &format!("services.default.{function}"))
        .options(CallOptions {
            timeout: METRIC_WITHIN,
            ..CallOptions::default()
        })
        .send();
    match tokio::time::timeout(METRIC_WITHIN, call).await {
        Ok(Ok(value)) => value
            .as_f64()
            .filter(|load| load.is_finite())
            .unwrap_or(0.0),
        failed => {
            tracing::debug!(session = %entry.order.id, function, ?failed, "no metric");
            0.0
        }
    }
}

/// Takes a session out of selection, waits until it has nothing to do, and stops it.
async fn drain(host: Arc<Host>, workspace: String, app: String, id: String) {
    let Some(entry) = host.sessions.get(&id) else {
        return;
    };
    entry.begin_draining();
    let began = host.clock.now();
    while host.clock.now() - began < DRAIN_WITHIN {
        let router = &host.directory.router;
        let now = router.now_ms();
        let free = router.find(&id).is_none_or(|client| is_free(&client, now));
        if free {
            break;
        }
        host.clock.sleep(DRAIN_LOOK).await;
    }
    if let Err(error) = host
        .end_sessions(&workspace, &app, Some(id), "scaled down")
        .await
    {
        tracing::warn!(app, workspace, %error, "a drained session did not stop");
    }
}

fn is_free(client: &Client, now_ms: u64) -> bool {
    let quiet = now_ms.saturating_sub(client.last_traffic()) >= QUIET_MS;
    client.load.in_flight() == 0 && quiet
}

impl Actor for AutoscalerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.schedule(ctx);
    }
}

impl Handler<Stop> for AutoscalerActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.exit.set(ExitReason::Shutdown);
        ctx.stop();
    }
}

impl Handler<GetTree> for AutoscalerActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, _: GetTree, _: &mut Self::Context) -> Self::Result {
        let detail = self.history.to_json()["now"].clone();
        Box::pin(async move { TreeNode::own(detail, Vec::new()) })
    }
}
