//! Monitored start: an actor whose end is always reported, exactly once.
//!
//! actix's own start loses panics. Here the actor's future is driven by a task of ours,
//! which catches what it throws and can be told to drop it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task;

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, ArbiterHandle, Context};
use futures::FutureExt;
use tokio::sync::oneshot;

use super::exit::{ExitReason, ExitSlot};

/// Mailbox size at the start; an actor may change its own in `started`.
const MAILBOX: usize = 16;

/// Where an actor runs.
#[derive(Debug, Clone, Default)]
pub enum Place {
    /// On the arbiter of whoever starts it.
    #[default]
    Here,
    /// On this arbiter.
    On(ArbiterHandle),
}

/// A running actor, and the means to watch and to end it.
pub struct Monitored<A: Actor> {
    /// Its address.
    pub addr: Addr<A>,
    /// Ends it when used or dropped.
    pub kill: KillHandle,
    /// Resolves with its exit reason, after the actor was dropped.
    pub exit: ExitWatch,
}

/// Starts an actor on the current arbiter. The factory's panics count as the actor's.
pub fn start_here<A, F>(exit: ExitSlot, factory: F) -> Monitored<A>
where
    A: Actor<Context = Context<A>>,
    F: FnOnce(&mut Context<A>) -> A + 'static,
{
    let (monitored, rx, report) = prepare(&exit);
    actix::spawn(run(rx, factory, exit, report));
    monitored
}

/// Starts an actor on the given arbiter. If that is gone, the exit is `Lost`.
pub fn start_on<A, F>(arbiter: &ArbiterHandle, exit: ExitSlot, factory: F) -> Monitored<A>
where
    A: Actor<Context = Context<A>>,
    F: FnOnce(&mut Context<A>) -> A + Send + 'static,
{
    let (monitored, rx, report) = prepare(&exit);
    arbiter.spawn_fn(move || {
        actix::spawn(run(rx, factory, exit, report));
    });
    monitored
}

/// Starts an actor at the given place.
pub fn start_at<A, F>(place: &Place, exit: ExitSlot, factory: F) -> Monitored<A>
where
    A: Actor<Context = Context<A>>,
    F: FnOnce(&mut Context<A>) -> A + Send + 'static,
{
    match place {
        Place::Here => start_here(exit, factory),
        Place::On(arbiter) => start_on(arbiter, exit, factory),
    }
}

type Report = oneshot::Sender<ExitReason>;

fn prepare<A>(exit: &ExitSlot) -> (Monitored<A>, AddressReceiver<A>, Report)
where
    A: Actor<Context = Context<A>>,
{
    let (tx, rx) = channel(MAILBOX);
    let (report, reported) = oneshot::channel();
    let monitored = Monitored {
        addr: Addr::new(tx),
        kill: KillHandle { exit: exit.clone() },
        exit: ExitWatch { reported },
    };
    (monitored, rx, report)
}

async fn run<A, F>(rx: AddressReceiver<A>, factory: F, exit: ExitSlot, report: Report)
where
    A: Actor<Context = Context<A>>,
    F: FnOnce(&mut Context<A>) -> A,
{
    live(rx, factory, &exit).await;
    // Nobody listens when the parent is gone already.
    let _ = report.send(exit.reason().unwrap_or(ExitReason::Normal));
}

/// Builds and drives the actor until it is over and dropped.
async fn live<A, F>(rx: AddressReceiver<A>, factory: F, exit: &ExitSlot)
where
    A: Actor<Context = Context<A>>,
    F: FnOnce(&mut Context<A>) -> A,
{
    if exit.is_forced() {
        return;
    }
    let built = catch_unwind(AssertUnwindSafe(|| {
        let mut ctx = Context::with_receiver(rx);
        let actor = factory(&mut ctx);
        ctx.into_future(actor)
    }));
    let future = match built {
        Ok(future) => future,
        Err(payload) => return exit.force(ExitReason::from_panic(&*payload)),
    };
    let mut body = Box::pin(AssertUnwindSafe(future).catch_unwind());
    tokio::select! {
        biased;
        () = exit.forced() => {}
        ended = &mut body => if let Err(payload) = ended {
            exit.force(ExitReason::from_panic(&*payload));
        },
    }
    // Dropping an unfinished actor runs its `stopping` and `stopped`. The panic that ended
    // it is over by now, so one in there is caught here instead of aborting the process.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(body))) {
        exit.force(ExitReason::from_panic(&*payload));
    }
}

/// Ends an actor from outside, also one that ignores its `Stop`. Fires when dropped.
///
/// An actor that blocks its thread cannot be ended by anybody.
#[derive(Debug)]
pub struct KillHandle {
    exit: ExitSlot,
}

impl KillHandle {
    /// Ends the actor as `Killed`.
    pub fn kill(&self) {
        self.fail(ExitReason::Killed);
    }

    /// Ends the actor with this reason.
    pub fn fail(&self, reason: ExitReason) {
        self.exit.fail(reason);
    }
}

impl Drop for KillHandle {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Resolves once, with the reason for which the actor ended.
#[derive(Debug)]
pub struct ExitWatch {
    reported: oneshot::Receiver<ExitReason>,
}

impl ExitWatch {
    /// The exit of something that never ran.
    pub fn at_once(reason: ExitReason) -> Self {
        let (report, reported) = oneshot::channel();
        // The receiver is right here.
        let _ = report.send(reason);
        Self { reported }
    }
}

impl Future for ExitWatch {
    type Output = ExitReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<ExitReason> {
        Pin::new(&mut self.reported)
            .poll(cx)
            .map(|report| report.unwrap_or_else(|_| ExitReason::Lost("its arbiter ended".into())))
    }
}
