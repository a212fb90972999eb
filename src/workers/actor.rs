//! One worker of a workspace: finds out what it can do, and stands for it in the tree.
//!
//! Temporary: when its client leaves the actor ends, and a registration makes a new one.

use std::sync::Arc;

use actix::prelude::*;
use serde_json::json;

use super::contract::WorkerInfo;
use super::remote::RemoteWorker;
use super::table::WorkerTable;
use crate::peer::Peer;
use crate::supervision::{ExitReason, ExitSlot, GetTree, Stop, TreeNode};
use crate::workspace::ServiceRecord;

/// See the module's text.
pub struct WorkerActor {
    peer: Arc<Peer>,
    table: Arc<WorkerTable>,
    record: Arc<ServiceRecord>,
    exit: ExitSlot,
    info: Option<WorkerInfo>,
}

impl WorkerActor {
    pub fn new(
        peer: Arc<Peer>,
        table: Arc<WorkerTable>,
        record: Arc<ServiceRecord>,
        exit: ExitSlot,
    ) -> Self {
        WorkerActor {
            peer,
            table,
            record,
            exit,
            info: None,
        }
    }
}

impl Actor for WorkerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (peer, record) = (self.peer.clone(), self.record.clone());
        let discovered = async move { RemoteWorker::discover(peer, &record).await };
        ctx.spawn(discovered.into_actor(self).map(|worker, actor, ctx| {
            let id = actor.record.id();
            match worker {
                Ok(worker) => {
                    let worker = Arc::new(worker);
                    actor.info = Some(super::Worker::info(&*worker).clone());
                    actor.table.add(worker);
                }
                Err(error) => {
                    tracing::warn!(worker = id, %error, "a worker is not usable");
                    actor.exit.set(ExitReason::Error(error.to_string()));
                    ctx.stop();
                }
            }
            actor.table.settle(&id);
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let id = self.record.id();
        self.table.settle(&id);
        self.table.remove(&id);
    }
}

impl Handler<Stop> for WorkerActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.exit.set(ExitReason::Shutdown);
        ctx.stop();
    }
}

impl Handler<GetTree> for WorkerActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, _: GetTree, _: &mut Self::Context) -> Self::Result {
        let id = self.record.id();
        let detail = json!({
            "supported_types": self.info.as_ref().map(|info| &info.supported_types),
            "sessions": self.table.sessions(&id),
            "disabled": self.table.is_disabled(&id),
        });
        Box::pin(async move { TreeNode::own(detail, Vec::new()) })
    }
}
