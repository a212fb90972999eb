//! The root of the supervision tree.

use actix::prelude::*;

use crate::supervision::{
    Children, ExitReason, ExitSlot, GetTree, SharedClock, Stop, Supervising, TreeNode,
};

use super::boot::ChildSpecs;

/// See the module's text.
pub struct NodeActor {
    exit: ExitSlot,
    children: Children<Self>,
    specs: ChildSpecs,
}

impl NodeActor {
    pub(super) fn new(exit: ExitSlot, clock: SharedClock, specs: ChildSpecs) -> Self {
        NodeActor {
            exit,
            children: Children::new(clock),
            specs,
        }
    }
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for spec in std::mem::take(&mut self.specs) {
            if let Err(error) = self.children.start(spec, ctx) {
                return self.shut_down(ExitReason::Error(error.to_string()), ctx);
            }
        }
    }
}

impl Supervising for NodeActor {
    fn children(&mut self) -> &mut Children<Self> {
        &mut self.children
    }

    fn exit_slot(&self) -> &ExitSlot {
        &self.exit
    }

    fn child_event(&mut self, event: &crate::supervision::ChildEvent, _: &mut Self::Context) {
        tracing::info!(?event, "node");
    }
}

impl Handler<Stop> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.shut_down(ExitReason::Shutdown, ctx);
    }
}

impl Handler<GetTree> for NodeActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, question: GetTree, _: &mut Self::Context) -> Self::Result {
        let children = self.children.tree(question);
        Box::pin(async move { TreeNode::own(serde_json::Value::Null, children.await) })
    }
}
