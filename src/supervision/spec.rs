//! Child specifications: what to start, and what to do when it ends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use actix::{Actor, Context, Handler, Recipient};

use super::exit::{ExitReason, ExitSlot};
use super::messages::{GetTree, Stop};
use super::monitor::{ExitWatch, KillHandle, Monitored, Place, start_at};
use super::policy::{Backoff, Intensity, OnExhausted, Policy, Restart};
use super::slot::AddrSlot;

/// What a start function is given.
#[derive(Debug, Clone)]
pub struct StartArgs {
    /// The child's id.
    pub id: String,
    /// How often it was restarted before; 0 at the first start.
    pub restarts: u32,
    /// The slot for this run; belongs into the actor.
    pub exit: ExitSlot,
    /// Where it should run.
    pub place: Place,
}

/// What a start function gives back.
pub struct StartedChild {
    pub(super) stop: Option<Recipient<Stop>>,
    pub(super) tree: Option<Recipient<GetTree>>,
    pub(super) mailbox: Option<Arc<AtomicUsize>>,
    pub(super) kill: Option<KillHandle>,
    pub(super) exit: ExitWatch,
    /// Empties the address slot when dropped.
    pub(super) _slot: Option<Box<dyn Send>>,
}

impl StartedChild {
    /// A child whose address goes into `slot`.
    pub fn new<A>(child: Monitored<A>, slot: &AddrSlot<A>) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Stop>,
    {
        Self {
            stop: Some(child.addr.clone().recipient()),
            tree: None,
            mailbox: Some(slot.gauge()),
            kill: Some(child.kill),
            exit: child.exit,
            _slot: Some(Box::new(slot.fill(child.addr))),
        }
    }

    /// The same for an actor that answers [`GetTree`].
    pub fn observed<A>(child: Monitored<A>, slot: &AddrSlot<A>) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Stop> + Handler<GetTree>,
    {
        let tree = Some(child.addr.clone().recipient());
        Self {
            tree,
            ..Self::new(child, slot)
        }
    }

    /// A start that did not succeed; counts as an exit with this reason.
    pub fn failed(reason: ExitReason) -> Self {
        Self {
            stop: None,
            tree: None,
            mailbox: None,
            kill: None,
            exit: ExitWatch::at_once(reason),
            _slot: None,
        }
    }
}

/// Starts a child, at first and after each fault.
pub type StartFn = Box<dyn FnMut(StartArgs) -> StartedChild + Send>;

/// How a child is started, stopped and restarted.
pub struct ChildSpec {
    /// Unique among its siblings.
    pub id: String,
    /// What it is, for people: "session".
    pub kind: &'static str,
    /// How long it may take to stop before it is killed; zero kills at once.
    pub shutdown: Duration,
    /// When it is restarted.
    pub policy: Policy,
    /// Where it runs.
    pub place: Place,
    /// Builds it.
    pub start: StartFn,
}

impl ChildSpec {
    /// A permanent child with 5 s to stop and the default backoff and intensity.
    pub fn new<F>(id: impl Into<String>, kind: &'static str, start: F) -> Self
    where
        F: FnMut(StartArgs) -> StartedChild + Send + 'static,
    {
        Self {
            id: id.into(),
            kind,
            shutdown: Duration::from_secs(5),
            policy: Policy::default(),
            place: Place::default(),
            start: Box::new(start),
        }
    }

    /// A child actor that `factory` builds at every start; its address is found in `slot`.
    pub fn actor<A, F>(
        id: impl Into<String>,
        kind: &'static str,
        slot: &AddrSlot<A>,
        factory: F,
    ) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Stop>,
        F: Fn(StartArgs, &mut Context<A>) -> A + Send + Sync + 'static,
    {
        let (slot, factory) = (slot.clone(), Arc::new(factory));
        Self::new(id, kind, move |args| {
            StartedChild::new(build(args, &factory), &slot)
        })
    }

    /// The same for an actor that answers [`GetTree`]: a supervisor, or one with details.
    pub fn observed<A, F>(
        id: impl Into<String>,
        kind: &'static str,
        slot: &AddrSlot<A>,
        factory: F,
    ) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Stop> + Handler<GetTree>,
        F: Fn(StartArgs, &mut Context<A>) -> A + Send + Sync + 'static,
    {
        let (slot, factory) = (slot.clone(), Arc::new(factory));
        Self::new(id, kind, move |args| {
            StartedChild::observed(build(args, &factory), &slot)
        })
    }

    /// Sets the restart type.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.policy.restart = restart;
        self
    }

    /// Sets the time to stop.
    pub fn shutdown(mut self, shutdown: Duration) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Sets the waits between restarts.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.policy.backoff = backoff;
        self
    }

    /// Sets how many restarts are tolerated.
    pub fn intensity(mut self, max_restarts: u32, within: Duration) -> Self {
        self.policy.intensity = Intensity {
            max_restarts,
            within,
        };
        self
    }

    /// Sets what happens after that.
    pub fn on_exhausted(mut self, on_exhausted: OnExhausted) -> Self {
        self.policy.on_exhausted = on_exhausted;
        self
    }

    /// Sets where it runs.
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }
}

fn build<A, F>(args: StartArgs, factory: &Arc<F>) -> Monitored<A>
where
    A: Actor<Context = Context<A>>,
    F: Fn(StartArgs, &mut Context<A>) -> A + Send + Sync + 'static,
{
    let factory = Arc::clone(factory);
    let (place, exit) = (args.place.clone(), args.exit.clone());
    start_at(&place, exit, move |ctx| factory(args, ctx))
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("shutdown", &self.shutdown)
            .field("policy", &self.policy)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
