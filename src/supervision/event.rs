//! What a parent hears about its children, and what makes an actor a parent.

use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context};

use super::children::Children;
use super::exit::{ExitReason, ExitSlot};

/// One step in the life of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildEvent {
    /// It was started, for the first time or again.
    Started {
        /// Which child.
        id: String,
        /// How often it was restarted before.
        restarts: u32,
    },
    /// It is gone. What follows from that is told by the next event.
    Exited {
        /// Which child.
        id: String,
        /// Why.
        reason: ExitReason,
    },
    /// It will be started again.
    Restarting {
        /// Which child.
        id: String,
        /// In how long.
        after: Duration,
        /// How often it was restarted, this time included.
        restarts: u32,
    },
    /// It died too often and stays down.
    Failed {
        /// Which child.
        id: String,
        /// Why it died the last time.
        reason: ExitReason,
    },
    /// It is over, by itself or because it was stopped, and stays down.
    Stopped {
        /// Which child.
        id: String,
    },
}

impl ChildEvent {
    /// Which child.
    pub fn id(&self) -> &str {
        match self {
            Self::Started { id, .. }
            | Self::Exited { id, .. }
            | Self::Restarting { id, .. }
            | Self::Failed { id, .. }
            | Self::Stopped { id } => id,
        }
    }
}

/// An actor with children.
pub trait Supervising: Actor<Context = Context<Self>> {
    /// The field that holds them.
    fn children(&mut self) -> &mut Children<Self>;

    /// Its own exit slot, from the [`StartArgs`](super::StartArgs) it was built with.
    fn exit_slot(&self) -> &ExitSlot;

    /// Called for every step in the life of a child, in order.
    fn child_event(&mut self, _event: &ChildEvent, _ctx: &mut Self::Context) {}

    /// Stops the children in order, then this actor, with `reason`. This is the answer to
    /// [`Stop`](super::Stop), and what an escalation does.
    fn shut_down(&mut self, reason: ExitReason, ctx: &mut Self::Context) {
        self.exit_slot().set(reason);
        let gone = self.children().stop_all(ctx);
        ctx.spawn(actix::fut::wrap_future(gone).map(
            |(), _: &mut Self, ctx: &mut Self::Context| {
                ctx.stop();
            },
        ));
    }
}
