//! The children of one actor: started, watched, restarted and stopped here.

use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tokio::sync::oneshot;

use super::clock::SharedClock;
use super::entry::Entry;
use super::event::{ChildEvent, Supervising};
use super::exit::ExitReason;
use super::messages::GetTree;
use super::policy::Decision;
use super::spec::ChildSpec;
use super::tree::{ChildState, TreeNode};

/// Why a child could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A child with this id is there already.
    #[error("child {0:?} is already {1:?}")]
    Exists(String, ChildState),
    /// All children are being stopped.
    #[error("child {0:?} cannot be started: its parent is shutting down")]
    ShuttingDown(String),
}

/// How [`Children::stop_all`] goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopOrder {
    /// One after the other, the last started first: for children that need each other.
    #[default]
    OneByOne,
    /// All at the same time: for many children of one kind.
    Together,
}

/// The children of a parent actor, kept in a field of it. Watching goes on in the parent's
/// context, so it needs no handlers for that; it is deaf to them during `ctx.wait`.
///
/// When the parent panics or is killed, this is dropped with it and kills them all.
pub struct Children<P: Supervising> {
    clock: SharedClock,
    order: StopOrder,
    /// In start order.
    entries: Vec<Entry>,
    last_run: u64,
    stopping_all: bool,
    all_gone: Vec<oneshot::Sender<()>>,
    events: VecDeque<ChildEvent>,
    parent: PhantomData<fn(P)>,
}

impl<P: Supervising> Children<P> {
    /// No children yet.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            order: StopOrder::default(),
            entries: Vec::new(),
            last_run: 0,
            stopping_all: false,
            all_gone: Vec::new(),
            events: VecDeque::new(),
            parent: PhantomData,
        }
    }

    /// Sets how all of them are stopped.
    pub fn stop_order(mut self, order: StopOrder) -> Self {
        self.order = order;
        self
    }

    /// Starts a child. One that is over under the same id is replaced; its last exit is
    /// remembered, its restart history is not.
    pub fn start(&mut self, spec: ChildSpec, ctx: &mut Context<P>) -> Result<(), StartError> {
        if self.stopping_all {
            return Err(StartError::ShuttingDown(spec.id));
        }
        let mut entry = Entry::new(spec);
        if let Some(at) = self.position(entry.id()) {
            let state = self.entries[at].state;
            if state.is_active() {
                return Err(StartError::Exists(entry.spec.id, state));
            }
            entry.last_exit = self.entries.remove(at).last_exit;
        }
        self.entries.push(entry);
        self.launch(self.entries.len() - 1, ctx);
        Self::deliver_soon(ctx);
        Ok(())
    }

    /// Stops a child for good: a request, its deadline, then the kill. Waits for nothing
    /// itself; the future resolves when the child is gone, at once if it is already.
    pub fn stop(&mut self, id: &str, ctx: &mut Context<P>) -> Gone {
        match self.position(id) {
            Some(at) if self.entries[at].state.is_active() => {
                let (tell, gone) = oneshot::channel();
                self.entries[at].waiting.push(tell);
                self.begin_stop(at, ctx);
                Self::deliver_soon(ctx);
                Gone(Some(gone))
            }
            _ => Gone(None),
        }
    }

    /// Stops all children in the set order, each with its own deadline. Until that is done
    /// none is started and none restarted.
    pub fn stop_all(&mut self, ctx: &mut Context<P>) -> Gone {
        let (tell, gone) = oneshot::channel();
        self.all_gone.push(tell);
        self.stopping_all = true;
        for at in 0..self.entries.len() {
            if self.entries[at].state == ChildState::Backoff {
                self.begin_stop(at, ctx);
            }
        }
        self.go_on_stopping(ctx);
        Self::deliver_soon(ctx);
        Gone(Some(gone))
    }

    /// Ends a running child at once for a reason of the parent's, as a lost process. Its
    /// policy decides what follows. Says whether it was running.
    pub fn fail(&mut self, id: &str, reason: ExitReason) -> bool {
        match self.position(id) {
            Some(at) if self.entries[at].child.is_some() => {
                self.entries[at].end(reason);
                true
            }
            _ => false,
        }
    }

    /// Forgets a child that is over; says whether there was such a one.
    pub fn remove(&mut self, id: &str) -> bool {
        match self.position(id) {
            Some(at) if !self.entries[at].state.is_active() => {
                self.entries.remove(at);
                true
            }
            _ => false,
        }
    }

    /// Whether the child is up and was not asked to stop.
    pub fn is_running(&self, id: &str) -> bool {
        self.state(id) == Some(ChildState::Running)
    }

    /// What the child is doing.
    pub fn state(&self, id: &str) -> Option<ChildState> {
        self.entry(id).map(|entry| entry.state)
    }

    /// How often the child was restarted.
    pub fn restarts(&self, id: &str) -> Option<u32> {
        self.entry(id).map(|entry| entry.restarts)
    }

    /// Why the child ended the last time.
    pub fn last_exit(&self, id: &str) -> Option<&ExitReason> {
        self.entry(id)?.last_exit.as_ref()
    }

    /// All ids in start order.
    pub fn ids(&self) -> Vec<String> {
        let ids = self.entries.iter().map(|entry| entry.id().to_owned());
        ids.collect()
    }

    /// How many there are, those that are over included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The children as this parent knows them, without asking them.
    pub fn snapshot(&self) -> Vec<TreeNode> {
        let now = self.clock.now();
        self.entries.iter().map(|entry| entry.node(now)).collect()
    }

    /// The children with what they tell about themselves. All are asked at the same time;
    /// one that lets `within` pass is shown as unresponsive.
    pub fn tree(&self, question: GetTree) -> BoxFuture<'static, Vec<TreeNode>> {
        let now = self.clock.now();
        let nodes: Vec<_> = self
            .entries
            .iter()
            .map(|entry| self.ask(entry, entry.node(now), question))
            .collect();
        join_all(nodes).boxed()
    }

    fn ask(
        &self,
        entry: &Entry,
        mut node: TreeNode,
        question: GetTree,
    ) -> BoxFuture<'static, TreeNode> {
        let child = entry.child.as_ref();
        let Some(asked) = child.and_then(|child| child.tree.as_ref()) else {
            return futures::future::ready(node).boxed();
        };
        let answer = asked.send(question.deeper());
        let limit = self.clock.sleep(question.within);
        async move {
            tokio::select! {
                biased;
                // An error: it ended just now, so what its parent knew stands.
                answer = answer => if let Ok(own) = answer {
                    node.mailbox = own.mailbox.or(node.mailbox);
                    node.detail = own.detail;
                    node.children = own.children;
                },
                () = limit => node.state = ChildState::Unresponsive,
            }
            node
        }
        .boxed()
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.id() == id)
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.position(id).map(|at| &self.entries[at])
    }

    /// The child, if it is still in this run.
    fn position_in_run(&self, id: &str, run: u64) -> Option<usize> {
        self.position(id).filter(|at| self.entries[*at].run == run)
    }

    fn launch(&mut self, at: usize, ctx: &mut Context<P>) {
        self.last_run += 1;
        let run = self.last_run;
        let entry = &mut self.entries[at];
        let exit = entry.launch(run, self.clock.now());
        let id = entry.id().to_owned();
        self.events.push_back(ChildEvent::Started {
            id: id.clone(),
            restarts: entry.restarts,
        });
        let watch = actix::fut::wrap_future(exit);
        ctx.spawn(
            watch.map(move |reason, parent: &mut P, ctx: &mut Context<P>| {
                let escalation = parent.children().on_exit(&id, run, reason, ctx);
                Self::deliver(parent, ctx);
                if let Some(reason) = escalation {
                    parent.shut_down(reason, ctx);
                }
            }),
        );
    }

    /// Deals with the end of a child; a reason to be given back ends the parent.
    fn on_exit(
        &mut self,
        id: &str,
        run: u64,
        reason: ExitReason,
        ctx: &mut Context<P>,
    ) -> Option<ExitReason> {
        let at = self.position_in_run(id, run)?;
        self.cancel_timer(at, ctx);
        let stopping = self.stopping_all || self.entries[at].state == ChildState::Stopping;
        let entry = &mut self.entries[at];
        if reason.is_fault() {
            tracing::warn!(child = id, kind = entry.spec.kind, %reason, "child ended");
        }
        entry.close(reason.clone());
        self.events.push_back(ChildEvent::Exited {
            id: id.to_owned(),
            reason: reason.clone(),
        });
        let decision = if stopping {
            Decision::Done
        } else {
            let now = self.clock.now();
            let policy = &entry.spec.policy;
            entry.history.decide(policy, &reason, now, rand::random())
        };
        let mut escalation = None;
        match decision {
            Decision::Restart { after } => self.back_off(at, after, ctx),
            Decision::Done => self.settle(at, ChildState::Stopped),
            Decision::Failed => self.settle(at, ChildState::Failed),
            Decision::Escalate => {
                self.settle(at, ChildState::Failed);
                escalation = Some(self.escalation(at, &reason));
            }
        }
        if self.stopping_all {
            self.go_on_stopping(ctx);
        }
        escalation
    }

    fn escalation(&self, at: usize, reason: &ExitReason) -> ExitReason {
        let spec = &self.entries[at].spec;
        let intensity = spec.policy.intensity;
        ExitReason::Error(format!(
            "{} {:?} died more than {} times in {:?}, at last of {reason}",
            spec.kind, spec.id, intensity.max_restarts, intensity.within,
        ))
    }

    fn back_off(&mut self, at: usize, after: Duration, ctx: &mut Context<P>) {
        let entry = &mut self.entries[at];
        entry.state = ChildState::Backoff;
        entry.restarts = entry.restarts.saturating_add(1);
        self.events.push_back(ChildEvent::Restarting {
            id: entry.id().to_owned(),
            after,
            restarts: entry.restarts,
        });
        self.set_timer(at, after, ctx, |parent, at, ctx| {
            parent.children().launch(at, ctx);
            Self::deliver(parent, ctx);
        });
    }

    fn begin_stop(&mut self, at: usize, ctx: &mut Context<P>) {
        match self.entries[at].state {
            ChildState::Backoff => {
                self.cancel_timer(at, ctx);
                self.settle(at, ChildState::Stopped);
            }
            ChildState::Running => {
                let deadline = self.entries[at].spec.shutdown;
                self.entries[at].ask_to_stop();
                if deadline.is_zero() {
                    return;
                }
                self.set_timer(at, deadline, ctx, |parent, at, _| {
                    let entry = &mut parent.children().entries[at];
                    tracing::warn!(child = entry.id(), "did not stop in time: killed");
                    entry.end(ExitReason::Killed);
                });
            }
            _ => {}
        }
    }

    /// The child stays down.
    fn settle(&mut self, at: usize, state: ChildState) {
        let entry = &mut self.entries[at];
        entry.state = state;
        for waiting in entry.waiting.drain(..) {
            // Whoever waited may have given up.
            let _ = waiting.send(());
        }
        let id = entry.id().to_owned();
        self.events.push_back(match (state, &entry.last_exit) {
            (ChildState::Failed, Some(reason)) => ChildEvent::Failed {
                id,
                reason: reason.clone(),
            },
            _ => ChildEvent::Stopped { id },
        });
    }

    /// The next step of `stop_all`.
    fn go_on_stopping(&mut self, ctx: &mut Context<P>) {
        let count = self.entries.len();
        for at in (0..count).rev() {
            self.begin_stop(at, ctx);
            if self.order == StopOrder::OneByOne && self.entries[at].state.is_active() {
                return;
            }
        }
        if self.entries.iter().any(|entry| entry.state.is_active()) {
            return;
        }
        self.stopping_all = false;
        for tell in self.all_gone.drain(..) {
            // Whoever waited may have given up.
            let _ = tell.send(());
        }
    }

    /// Runs `then` for the child after a time, unless its run is over by then.
    fn set_timer<F>(&mut self, at: usize, after: Duration, ctx: &mut Context<P>, then: F)
    where
        F: FnOnce(&mut P, usize, &mut Context<P>) + 'static,
    {
        let entry = &mut self.entries[at];
        let (id, run) = (entry.id().to_owned(), entry.run);
        let sleep = actix::fut::wrap_future(self.clock.sleep(after));
        let timer = sleep.map(move |(), parent: &mut P, ctx: &mut Context<P>| {
            let children = parent.children();
            if let Some(at) = children.position_in_run(&id, run) {
                children.entries[at].timer = None;
                then(parent, at, ctx);
            }
        });
        entry.timer = Some(ctx.spawn(timer));
    }

    fn cancel_timer(&mut self, at: usize, ctx: &mut Context<P>) {
        if let Some(timer) = self.entries[at].timer.take() {
            ctx.cancel_future(timer);
        }
    }

    fn deliver(parent: &mut P, ctx: &mut Context<P>) {
        while let Some(event) = parent.children().events.pop_front() {
            parent.child_event(&event, ctx);
        }
    }

    /// For callers that hold the children but not the parent.
    fn deliver_soon(ctx: &mut Context<P>) {
        let soon = actix::fut::wrap_future(std::future::ready(()));
        ctx.spawn(soon.map(|(), parent: &mut P, ctx: &mut Context<P>| {
            Self::deliver(parent, ctx);
        }));
    }
}

/// Resolves when the child, or all of them, are gone; also when the parent is, whose end
/// kills them.
#[derive(Debug)]
#[must_use = "stopping goes on without it, but only this tells when it is done"]
pub struct Gone(Option<oneshot::Receiver<()>>);

impl Future for Gone {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<()> {
        match &mut self.0 {
            Some(gone) => Pin::new(gone).poll(cx).map(|_| ()),
            None => task::Poll::Ready(()),
        }
    }
}
