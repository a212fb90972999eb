//! A worker that does as it is told, and a boss that reports what it hears of its workers.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::supervision::*;

/// What a worker is told to do.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub enum Do {
    Panic,
    GiveUp,
    Finish,
    PanicInFuture,
    PanicBeside,
    PanicBesideWhileWaiting,
    Nothing,
}

/// How a worker is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    Good,
    Deaf,
    PanicsInFactory,
    PanicsInStarted,
    PanicsInStopped,
}

pub struct Worker {
    exit: ExitSlot,
    nature: Nature,
    id: String,
    gone: UnboundedSender<String>,
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        assert!(self.nature != Nature::PanicsInStarted, "in started");
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        assert!(self.nature != Nature::PanicsInStopped, "in stopped");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.gone.send(self.id.clone());
    }
}

impl Handler<Do> for Worker {
    type Result = ();

    fn handle(&mut self, what: Do, ctx: &mut Self::Context) {
        match what {
            Do::Panic => panic!("in handler"),
            Do::GiveUp => {
                self.exit.set(ExitReason::Error("no luck".into()));
                ctx.stop();
            }
            Do::Finish => ctx.stop(),
            Do::PanicInFuture => {
                ctx.spawn(actix::fut::wrap_future(async { panic!("in future") }));
            }
            Do::PanicBeside => spawn_guarded(ctx, &self.exit, "side job", async {
                tokio::task::yield_now().await;
                panic!("beside");
            }),
            Do::PanicBesideWhileWaiting => {
                self.handle(Do::PanicBeside, ctx);
                ctx.wait(actix::fut::wrap_future(std::future::pending()));
            }
            Do::Nothing => {}
        }
    }
}

impl Handler<Stop> for Worker {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        if self.nature != Nature::Deaf {
            self.exit.set(ExitReason::Shutdown);
            ctx.stop();
        }
    }
}

/// A boss lets whoever holds its address run code inside it.
pub struct Boss {
    pub exit: ExitSlot,
    pub children: Children<Self>,
    events: UnboundedSender<ChildEvent>,
}

type Job<R> = Box<dyn FnOnce(&mut Boss, &mut Context<Boss>) -> R + Send>;

#[derive(Message)]
#[rtype(result = "R")]
pub struct Run<R: Send + 'static>(Job<R>);

impl<R: Send + 'static> Run<R> {
    pub fn new(job: impl FnOnce(&mut Boss, &mut Context<Boss>) -> R + Send + 'static) -> Self {
        Self(Box::new(job))
    }
}

impl Actor for Boss {
    type Context = Context<Self>;
}

impl Supervising for Boss {
    fn children(&mut self) -> &mut Children<Self> {
        &mut self.children
    }

    fn exit_slot(&self) -> &ExitSlot {
        &self.exit
    }

    fn child_event(&mut self, event: &ChildEvent, _: &mut Self::Context) {
        let _ = self.events.send(event.clone());
    }
}

impl<R: Send + 'static> Handler<Run<R>> for Boss {
    type Result = MessageResult<Run<R>>;

    fn handle(&mut self, run: Run<R>, ctx: &mut Self::Context) -> Self::Result {
        MessageResult(run.0(self, ctx))
    }
}

impl Handler<Stop> for Boss {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.shut_down(ExitReason::Shutdown, ctx);
    }
}

impl Handler<GetTree> for Boss {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, question: GetTree, _: &mut Self::Context) -> Self::Result {
        let children = self.children.tree(question);
        Box::pin(async move { TreeNode::own(serde_json::json!({"boss": true}), children.await) })
    }
}

/// A running boss and all that its test watches.
pub struct Stage {
    pub clock: ManualClock,
    pub boss: Addr<Boss>,
    pub kill: KillHandle,
    pub exit: ExitWatch,
    pub gone: UnboundedReceiver<String>,
    events: UnboundedReceiver<ChildEvent>,
    gone_in: UnboundedSender<String>,
}

impl Stage {
    pub fn new() -> Self {
        let clock = ManualClock::new();
        let (heard, events) = unbounded_channel();
        let (gone_in, gone) = unbounded_channel();
        let (exit, shared) = (ExitSlot::new(), clock.shared());
        let Monitored { addr, kill, exit } = start_here(exit.clone(), move |_| Boss {
            exit,
            children: Children::new(shared),
            events: heard,
        });
        Self {
            clock,
            boss: addr,
            kill,
            exit,
            gone,
            events,
            gone_in,
        }
    }

    /// The spec of a worker, with its slot.
    pub fn worker(&self, id: &str, nature: Nature) -> (ChildSpec, AddrSlot<Worker>) {
        let (slot, gone) = (AddrSlot::new(), self.gone_in.clone());
        let spec = ChildSpec::actor(id, "worker", &slot, move |args, _| {
            assert!(nature != Nature::PanicsInFactory, "in factory");
            Worker {
                exit: args.exit,
                nature,
                id: args.id,
                gone: gone.clone(),
            }
        });
        (spec, slot)
    }

    /// Starts a worker that was changed by `change` and waits until it is up.
    pub async fn hire<F>(&mut self, id: &str, nature: Nature, change: F) -> AddrSlot<Worker>
    where
        F: FnOnce(ChildSpec) -> ChildSpec,
    {
        let (spec, slot) = self.worker(id, nature);
        let spec = change(spec);
        self.run(|boss, ctx| boss.children.start(spec, ctx).expect("a new id"))
            .await;
        self.expect(started(id, 0)).await;
        slot
    }

    /// The spec of a boss under this boss, with a slot.
    pub fn sub_boss(&self, id: &str) -> (ChildSpec, AddrSlot<Boss>, UnboundedReceiver<ChildEvent>) {
        let (heard, events) = unbounded_channel();
        let (slot, clock) = (AddrSlot::new(), self.clock.shared());
        let spec = ChildSpec::observed(id, "boss", &slot, move |args, _| Boss {
            exit: args.exit,
            children: Children::new(Arc::clone(&clock)),
            events: heard.clone(),
        });
        (spec, slot, events)
    }

    /// Runs code inside the boss.
    pub async fn run<R, F>(&self, job: F) -> R
    where
        R: Send + 'static,
        F: FnOnce(&mut Boss, &mut Context<Boss>) -> R + Send + 'static,
    {
        run_in(&self.boss, job).await
    }

    /// The next event; a test that waits for one that never comes fails.
    pub async fn event(&mut self) -> ChildEvent {
        soon(self.events.recv()).await.expect("a living boss")
    }

    pub async fn expect(&mut self, expected: ChildEvent) {
        assert_eq!(self.event().await, expected);
    }

    /// Expects an exit with a reason and its announced restart, and lets its time pass.
    pub async fn expect_restart(&mut self, id: &str, reason: ExitReason, n: u32) -> Duration {
        self.expect(exited(id, reason)).await;
        let ChildEvent::Restarting {
            after, restarts, ..
        } = self.event().await
        else {
            panic!("expected a restart");
        };
        assert_eq!(restarts, n);
        soon(self.clock.wait_for_sleepers(1)).await;
        assert_eq!(self.clock.advance_to_next(), Some(after));
        self.expect(started(id, n)).await;
        after
    }
}

pub async fn run_in<R, F>(boss: &Addr<Boss>, job: F) -> R
where
    R: Send + 'static,
    F: FnOnce(&mut Boss, &mut Context<Boss>) -> R + Send + 'static,
{
    soon(boss.send(Run(Box::new(job))))
        .await
        .expect("a living boss")
}

/// Guards a test against waiting for ever.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("should have happened by now")
}

pub fn started(id: &str, restarts: u32) -> ChildEvent {
    ChildEvent::Started {
        id: id.into(),
        restarts,
    }
}

pub fn exited(id: &str, reason: ExitReason) -> ChildEvent {
    ChildEvent::Exited {
        id: id.into(),
        reason,
    }
}

pub fn stopped(id: &str) -> ChildEvent {
    ChildEvent::Stopped { id: id.into() }
}

pub fn panicked(text: &str) -> ExitReason {
    ExitReason::Panic(text.into())
}

/// No jitter, so that waits are exact.
pub fn steady(spec: ChildSpec) -> ChildSpec {
    spec.backoff(Backoff {
        jitter: 0.0,
        ..Backoff::default()
    })
}
