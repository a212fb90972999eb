//! Asks the clients of idle streams whether they live, and removes those that do not. A peer that
//! vanished without a farewell would otherwise keep its services for hours (workspace.md 8).

use std::collections::HashSet;
use std::sync::Arc;

use actix::prelude::*;
use futures::StreamExt;
use futures::stream;

use super::liveness::{Liveness, Verdict, is_idle};
use super::table::Uplink;
use crate::gateway::Gateway;
use crate::peer::CallOptions;
use crate::supervision::{ExitReason, ExitSlot, Stop};

/// Clients asked at the same time.
const AT_ONCE: usize = 50;

/// See the module's text. One per node, permanent.
pub struct ReaperActor {
    gateway: Arc<Gateway>,
    exit: ExitSlot,
    liveness: Liveness,
}

impl ReaperActor {
    pub fn new(gateway: Arc<Gateway>, exit: ExitSlot) -> Self {
        ReaperActor {
            gateway,
            exit,
            liveness: Liveness::default(),
        }
    }

    fn schedule(&self, ctx: &mut Context<Self>) {
        let wait = self
            .gateway
            .clock
            .sleep(self.gateway.limits.stream_sweep_interval);
        ctx.spawn(wait.into_actor(self).map(|(), actor, ctx| actor.sweep(ctx)));
    }

    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let gateway = self.gateway.clone();
        let (now, threshold) = (
            gateway.router.now_ms(),
            gateway.limits.stream_idle_threshold,
        );
        let mut idle = gateway.streams.all();
        idle.retain(|uplink| is_idle(&uplink.client, now, threshold));
        let generations: HashSet<u64> =
            idle.iter().map(|uplink| uplink.client.generation).collect();
        self.liveness
            .keep_only(|generation| generations.contains(&generation));
        let asked = async move {
            stream::iter(idle)
                .map(|uplink| ask(&gateway, uplink))
                .buffer_unordered(AT_ONCE)
                .collect::<Vec<_>>()
                .await
        };
        ctx.spawn(asked.into_actor(self).map(|answers, actor, ctx| {
            for (uplink, answered) in answers {
                actor.conclude(&uplink, answered);
            }
            actor.schedule(ctx);
        }));
    }

    fn conclude(&mut self, uplink: &Uplink, answered: bool) {
        let client = &uplink.client;
        let misses = self.gateway.limits.stream_max_ping_misses;
        match self.liveness.note(client.generation, answered, misses) {
            Verdict::Lives => {}
            Verdict::Doubtful => {
                tracing::debug!(client = %client.address, "no answer over a stream");
            }
            Verdict::Dead => {
                tracing::info!(client = %client.address, misses, "removing a dead stream");
                // The services go now, whenever the response notices that its socket is cut.
                self.gateway.remove(client);
                client.cut();
            }
        }
    }
}

/// Asks one client. Anything it sends meanwhile is an answer.
async fn ask(gateway: &Gateway, uplink: Arc<Uplink>) -> (Arc<Uplink>, bool) {
    let client = &uplink.client;
    let since = client.last_active();
    let timeout = gateway.limits.stream_ping_timeout;
    uplink.set_asked(true);
    let pong = gateway
        .peer
        .call(&client.address, "services.built-in.ping")
        .options(CallOptions {
            timeout,
            ..CallOptions::default()
        })
        .arg("ping")
        .send();
    // Also while the question does not even fit into the mailbox.
    let answer = tokio::time::timeout(timeout, pong).await;
    uplink.set_asked(false);
    let answered = matches!(answer, Ok(Ok(_))) || client.last_active() != since;
    (uplink, answered)
}

impl Actor for ReaperActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.schedule(ctx);
    }
}

impl Handler<Stop> for ReaperActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.exit.set(ExitReason::Shutdown);
        ctx.stop();
    }
}
