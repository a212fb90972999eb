//! One actor per process, under one for all.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;

use crate::processes::{Exit, Process};
use crate::supervision::{
    AddrSlot, ChildEvent, ChildSpec, Children, ExitReason, ExitSlot, GetTree, Restart, SharedClock,
    Stop, StopOrder, Supervising, TreeNode,
};

/// How long a process may take to end when asked to.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Gives a process that was started its actor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Adopt {
    /// Session that it runs.
    pub session: String,
    pub process: Process,
    /// Looks after it until it is over.
    pub work: BoxFuture<'static, Exit>,
}

/// Parent of all processes.
pub struct ProcessesActor {
    exit: ExitSlot,
    children: Children<Self>,
}

impl ProcessesActor {
    pub fn new(clock: SharedClock, exit: ExitSlot) -> Self {
        ProcessesActor {
            exit,
            children: Children::new(clock).stop_order(StopOrder::Together),
        }
    }
}

impl Actor for ProcessesActor {
    type Context = Context<Self>;
}

impl Supervising for ProcessesActor {
    fn children(&mut self) -> &mut Children<Self> {
        &mut self.children
    }

    fn exit_slot(&self) -> &ExitSlot {
        &self.exit
    }

    fn child_event(&mut self, event: &ChildEvent, _: &mut Self::Context) {
        if let ChildEvent::Stopped { id } | ChildEvent::Failed { id, .. } = event {
            self.children.remove(id);
        }
    }
}

impl Handler<Adopt> for ProcessesActor {
    type Result = ();

    fn handle(&mut self, adopt: Adopt, ctx: &mut Self::Context) {
        let id = format!("{}-{}", adopt.process.pid(), adopt.session);
        let parts = Arc::new(Mutex::new(Some(adopt)));
        let spec = ChildSpec::observed(id, "process", &AddrSlot::new(), move |args, _| {
            ProcessActor {
                process: None,
                parts: parts.lock().take(),
                exit: args.exit,
            }
        })
        .restart(Restart::Temporary);
        if let Err(error) = self.children.start(spec, ctx) {
            tracing::error!(%error, "no actor for a process");
        }
    }
}

impl Handler<Stop> for ProcessesActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.shut_down(ExitReason::Shutdown, ctx);
    }
}

impl Handler<GetTree> for ProcessesActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, question: GetTree, _: &mut Self::Context) -> Self::Result {
        let children = self.children.tree(question);
        Box::pin(async move { TreeNode::own(serde_json::Value::Null, children.await) })
    }
}

/// One process. Temporary: whether its session gets another is the session's to decide.
struct ProcessActor {
    parts: Option<Adopt>,
    process: Option<Process>,
    exit: ExitSlot,
}

impl Actor for ProcessActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(parts) = self.parts.take() else {
            return ctx.stop();
        };
        self.process = Some(parts.process);
        ctx.spawn(parts.work.into_actor(self).map(|exit, actor, ctx| {
            let dismissed = actor.process.as_ref().is_some_and(Process::is_dismissed);
            actor.exit.set(match exit {
                _ if dismissed => ExitReason::Shutdown,
                Exit::Code(0) => ExitReason::Normal,
                other => ExitReason::Lost(other.to_string()),
            });
            ctx.stop();
        }));
    }
}

impl Handler<Stop> for ProcessActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.exit.set(ExitReason::Shutdown);
        let process = self.process.clone();
        let stopped = async move {
            if let Some(process) = process {
                process.stop(GRACE).await;
            }
        };
        ctx.spawn(stopped.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }
}

impl Handler<GetTree> for ProcessActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, _: GetTree, _: &mut Self::Context) -> Self::Result {
        let detail = json!({ "pid": self.process.as_ref().map(Process::pid) });
        Box::pin(async move { TreeNode::own(detail, Vec::new()) })
    }
}
