//! Looks after the files: uploads that were given up, files whose time is over, and contents that
//! nothing refers to any more.

use std::time::Duration;

use actix::prelude::*;

use super::objects::{ObjectError, Objects};
use crate::supervision::{ExitReason, ExitSlot, SharedClock, Stop};

/// How long contents may stay that nothing refers to, beyond the hour that they stay in any case.
const COLLECT_EVERY: Duration = Duration::from_secs(3600);

/// See the module's text. One per node, permanent.
pub struct KeeperActor {
    objects: Objects,
    clock: SharedClock,
    every: Duration,
    exit: ExitSlot,
    /// When contents are collected next, on the clock.
    collect_at: Duration,
}

impl KeeperActor {
    /// One that looks every so often.
    pub fn new(objects: Objects, clock: SharedClock, every: Duration, exit: ExitSlot) -> Self {
        KeeperActor {
            collect_at: clock.now(),
            objects,
            clock,
            every,
            exit,
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let collect = now >= self.collect_at;
        if collect {
            self.collect_at = now + COLLECT_EVERY;
        }
        let objects = self.objects.clone();
        let looked = async move {
            if let Err(error) = tidy(&objects, collect).await {
                tracing::error!(%error, "files that nobody needs stay");
            }
        };
        let (clock, every) = (self.clock.clone(), self.every);
        let then = async move {
            looked.await;
            clock.sleep(every).await;
        };
        ctx.spawn(then.into_actor(self).map(|(), actor, ctx| actor.look(ctx)));
    }
}

async fn tidy(objects: &Objects, collect: bool) -> Result<(), ObjectError> {
    let uploads = objects.sweep_uploads().await?;
    let expired = objects.remove_expired().await?;
    if uploads + expired > 0 {
        tracing::info!(
            uploads,
            expired,
            "given up uploads and files whose time is over"
        );
    }
    if collect {
        // A storage that is away now is asked again with the next collection.
        let parts = objects.blobs().give_up_abandoned().await?;
        if parts > 0 {
            tracing::info!(
                parts,
                "uploads that a crash left in the bucket are given up"
            );
        }
        let removed = objects.collect_garbage().await?;
        tracing::debug!(removed, "unreferenced contents collected");
    }
    Ok(())
}

impl Actor for KeeperActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.look(ctx);
    }
}

impl Handler<Stop> for KeeperActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.exit.set(ExitReason::Shutdown);
        ctx.stop();
    }
}
