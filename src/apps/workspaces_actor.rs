//! The supervisor of all workspaces that have apps or workers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::json;

use super::host::Host;
use super::workspace_actor::WorkspaceActor;
use crate::supervision::{
    AddrSlot, ChildEvent, ChildSpec, Children, ExitReason, ExitSlot, GetTree, OnExhausted, Stop,
    StopOrder, Supervising, TreeNode,
};

/// How long a workspace with all its apps may take to stop.
const WORKSPACE_STOP: Duration = Duration::from_secs(15);

/// Finds the actor of a workspace, starting it when there is none.
#[derive(Message)]
#[rtype(result = "AddrSlot<WorkspaceActor>")]
pub struct EnsureWorkspace(pub String);

/// Takes the actor of a deleted workspace down.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RemoveWorkspace(pub String);

/// See the module's text.
pub struct WorkspacesActor {
    host: Arc<Host>,
    exit: ExitSlot,
    children: Children<Self>,
    workspaces: HashMap<String, AddrSlot<WorkspaceActor>>,
}

impl WorkspacesActor {
    pub fn new(host: Arc<Host>, exit: ExitSlot) -> Self {
        let children = Children::new(host.clock.clone()).stop_order(StopOrder::Together);
        WorkspacesActor {
            host,
            exit,
            children,
            workspaces: HashMap::new(),
        }
    }
}

impl Actor for WorkspacesActor {
    type Context = Context<Self>;
}

impl Supervising for WorkspacesActor {
    fn children(&mut self) -> &mut Children<Self> {
        &mut self.children
    }

    fn exit_slot(&self) -> &ExitSlot {
        &self.exit
    }

    fn child_event(&mut self, event: &ChildEvent, _: &mut Self::Context) {
        if let ChildEvent::Stopped { id } | ChildEvent::Failed { id, .. } = event {
            self.children.remove(id);
            self.workspaces.remove(id);
        }
    }
}

impl Handler<EnsureWorkspace> for WorkspacesActor {
    type Result = MessageResult<EnsureWorkspace>;

    fn handle(
        &mut self,
        EnsureWorkspace(id): EnsureWorkspace,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        if let Some(slot) = self.workspaces.get(&id) {
            return MessageResult(slot.clone());
        }
        let slot = AddrSlot::new();
        let (host, name) = (self.host.clone(), id.clone());
        let spec = ChildSpec::observed(id.clone(), "workspace", &slot, move |args, _| {
            WorkspaceActor::new(host.clone(), name.clone(), args.exit)
        })
        .shutdown(WORKSPACE_STOP)
        .on_exhausted(OnExhausted::KeepTrying);
        match self.children.start(spec, ctx) {
            Ok(()) => {
                self.workspaces.insert(id, slot.clone());
            }
            Err(error) => tracing::warn!(%error, "no actor for a workspace"),
        }
        MessageResult(slot)
    }
}

impl Handler<RemoveWorkspace> for WorkspacesActor {
    type Result = ();

    fn handle(&mut self, RemoveWorkspace(id): RemoveWorkspace, ctx: &mut Self::Context) {
        drop(self.children.stop(&id, ctx));
    }
}

impl Handler<Stop> for WorkspacesActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.host.daemons.rest();
        self.shut_down(ExitReason::Shutdown, ctx);
    }
}

impl Handler<GetTree> for WorkspacesActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, question: GetTree, _: &mut Self::Context) -> Self::Result {
        let detail = json!({ "workspaces": self.workspaces.len() });
        let children = self.children.tree(question);
        Box::pin(async move { TreeNode::own(detail, children.await) })
    }
}
