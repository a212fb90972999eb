//! The actors of startup functions: one for each, under one that starts them in order.

use std::sync::{Arc, OnceLock};

use actix::prelude::*;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use super::entry::StartupEntry;
use super::function::{FirstOutcome, Run, Setting, stop};
use crate::processes::Process;
use crate::supervision::{
    AddrSlot, ChildEvent, ChildSpec, Children, ExitReason, ExitSlot, GetTree, OnExhausted, Restart,
    SharedClock, Stop, Supervising, TreeNode,
};

/// Runs one startup function and waits until it has done its work, or says why it has not.
#[derive(Message)]
#[rtype(result = "Result<(), String>")]
pub struct RunFunction(pub StartupEntry);

/// Parent of all startup functions.
pub struct StartupActor {
    setting: Arc<Setting>,
    exit: ExitSlot,
    children: Children<Self>,
}

impl StartupActor {
    pub fn new(setting: Arc<Setting>, clock: SharedClock, exit: ExitSlot) -> Self {
        StartupActor {
            setting,
            exit,
            children: Children::new(clock),
        }
    }
}

impl Actor for StartupActor {
    type Context = Context<Self>;
}

impl Supervising for StartupActor {
    fn children(&mut self) -> &mut Children<Self> {
        &mut self.children
    }

    fn exit_slot(&self) -> &ExitSlot {
        &self.exit
    }

    fn child_event(&mut self, event: &ChildEvent, _: &mut Self::Context) {
        if let ChildEvent::Restarting { id, after, .. } = event {
            tracing::warn!(startup = id, ?after, "a startup function will be run again");
        }
    }
}

impl Handler<RunFunction> for StartupActor {
    type Result = ResponseFuture<Result<(), String>>;

    fn handle(&mut self, order: RunFunction, ctx: &mut Self::Context) -> Self::Result {
        let RunFunction(entry) = order;
        // The same function may be configured twice.
        let number = self.children.len() + 1;
        let client_id = format!("startup-{number}-{}", entry.name());
        let (sender, outcome) = oneshot::channel();
        let first: FirstOutcome = Arc::new(Mutex::new(Some(sender)));
        let (setting, id) = (self.setting.clone(), client_id.clone());
        let spec = ChildSpec::observed(id, "startup function", &AddrSlot::new(), move |args, _| {
            FunctionActor {
                run: Some(Run {
                    setting: setting.clone(),
                    entry: entry.clone(),
                    client_id: client_id.clone(),
                    first: first.clone(),
                    process: Arc::default(),
                }),
                process: Arc::default(),
                text: entry.text.clone(),
                exit: args.exit,
            }
        })
        .restart(Restart::Transient)
        .on_exhausted(OnExhausted::KeepTrying);
        if let Err(error) = self.children.start(spec, ctx) {
            return Box::pin(async move { Err(error.to_string()) });
        }
        Box::pin(async move {
            outcome
                .await
                .unwrap_or_else(|_| Err("it was stopped before it was done".into()))
        })
    }
}

impl Handler<Stop> for StartupActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.shut_down(ExitReason::Shutdown, ctx);
    }
}

impl Handler<GetTree> for StartupActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, question: GetTree, _: &mut Self::Context) -> Self::Result {
        let children = self.children.tree(question);
        Box::pin(async move { TreeNode::own(serde_json::Value::Null, children.await) })
    }
}

/// One startup function and its process.
struct FunctionActor {
    run: Option<Run>,
    process: Arc<OnceLock<Process>>,
    text: String,
    exit: ExitSlot,
}

impl Actor for FunctionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(run) = self.run.take() else {
            return ctx.stop();
        };
        self.process = run.process.clone();
        ctx.spawn(run.until_over().into_actor(self).map(|reason, actor, ctx| {
            actor.exit.set(reason);
            ctx.stop();
        }));
    }
}

impl Handler<Stop> for FunctionActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.exit.set(ExitReason::Shutdown);
        let stopped = stop(self.process.clone());
        ctx.spawn(stopped.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }
}

impl Handler<GetTree> for FunctionActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, _: GetTree, _: &mut Self::Context) -> Self::Result {
        let pid = self.process.get().map(Process::pid);
        let detail = json!({ "function": self.text, "pid": pid });
        Box::pin(async move { TreeNode::own(detail, Vec::new()) })
    }
}
