//! The supervisor of one workspace: its installed apps and the workers registered in it.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::json;

use super::app_actor::AppActor;
use super::host::Host;
use crate::supervision::{
    AddrSlot, ChildEvent, ChildSpec, Children, ExitReason, ExitSlot, GetTree, OnExhausted, Restart,
    Stop, StopOrder, Supervising, TreeNode,
};
use crate::workers::WorkerActor;
use crate::workspace::ServiceRecord;

/// How long an app with all its sessions may take to stop.
const APP_STOP: Duration = Duration::from_secs(12);

/// Finds the actor of an app, starting it when there is none.
#[derive(Message)]
#[rtype(result = "AddrSlot<AppActor>")]
pub struct EnsureApp(pub String);

/// Takes the actor of an uninstalled app down.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RemoveApp(pub String);

/// A worker was registered in this workspace.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AddWorker(pub Arc<ServiceRecord>);

/// The client of a worker left.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RemoveWorker(pub String);

/// See the module's text.
pub struct WorkspaceActor {
    host: Arc<Host>,
    workspace: String,
    exit: ExitSlot,
    children: Children<Self>,
    apps: std::collections::HashMap<String, AddrSlot<AppActor>>,
}

impl WorkspaceActor {
    pub fn new(host: Arc<Host>, workspace: String, exit: ExitSlot) -> Self {
        let children = Children::new(host.clock.clone()).stop_order(StopOrder::Together);
        WorkspaceActor {
            host,
            workspace,
            exit,
            children,
            apps: std::collections::HashMap::new(),
        }
    }

    fn ensure(&mut self, app: &str, ctx: &mut Context<Self>) -> AddrSlot<AppActor> {
        if let Some(slot) = self.apps.get(app) {
            return slot.clone();
        }
        let slot = AddrSlot::new();
        let (host, workspace, name) = (self.host.clone(), self.workspace.clone(), app.to_owned());
        let spec = ChildSpec::observed(app_child(app), "app", &slot, move |args, _| {
            AppActor::new(host.clone(), workspace.clone(), name.clone(), args.exit)
        })
        .shutdown(APP_STOP)
        .on_exhausted(OnExhausted::KeepTrying);
        match self.children.start(spec, ctx) {
            Ok(()) => {
                self.apps.insert(app.to_owned(), slot.clone());
            }
            Err(error) => tracing::warn!(app, %error, "no actor for an app"),
        }
        slot
    }
}

/// Apps and workers are siblings; their ids must not meet.
fn app_child(app: &str) -> String {
    format!("app {app}")
}

fn worker_child(id: &str) -> String {
    format!("worker {id}")
}

impl Actor for WorkspaceActor {
    type Context = Context<Self>;
}

impl Supervising for WorkspaceActor {
    fn children(&mut self) -> &mut Children<Self> {
        &mut self.children
    }

    fn exit_slot(&self) -> &ExitSlot {
        &self.exit
    }

    fn child_event(&mut self, event: &ChildEvent, _: &mut Self::Context) {
        if let ChildEvent::Stopped { id } | ChildEvent::Failed { id, .. } = event {
            self.children.remove(id);
            if let Some(app) = id.strip_prefix("app ") {
                self.apps.remove(app);
            }
        }
    }
}

impl Handler<EnsureApp> for WorkspaceActor {
    type Result = MessageResult<EnsureApp>;

    fn handle(&mut self, EnsureApp(app): EnsureApp, ctx: &mut Self::Context) -> Self::Result {
        MessageResult(self.ensure(&app, ctx))
    }
}

impl Handler<RemoveApp> for WorkspaceActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, RemoveApp(app): RemoveApp, ctx: &mut Self::Context) -> Self::Result {
        self.apps.remove(&app);
        Box::pin(self.children.stop(&app_child(&app), ctx))
    }
}

impl Handler<AddWorker> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, AddWorker(record): AddWorker, ctx: &mut Self::Context) {
        let id = worker_child(&record.id());
        let gone = self.children.stop(&id, ctx);
        // A registration that replaces another waits for the old actor to go.
        ctx.spawn(gone.into_actor(self).map(move |(), actor, ctx| {
            let (peer, table) = (
                actor.host.directory.peer.clone(),
                actor.host.workers.clone(),
            );
            let spec = ChildSpec::observed(id, "worker", &AddrSlot::new(), move |args, _| {
                WorkerActor::new(peer.clone(), table.clone(), record.clone(), args.exit)
            })
            .restart(Restart::Temporary);
            if let Err(error) = actor.children.start(spec, ctx) {
                tracing::warn!(%error, "no actor for a worker");
            }
        }));
    }
}

impl Handler<RemoveWorker> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, RemoveWorker(id): RemoveWorker, ctx: &mut Self::Context) {
        drop(self.children.stop(&worker_child(&id), ctx));
    }
}

impl Handler<Stop> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.shut_down(ExitReason::Shutdown, ctx);
    }
}

impl Handler<GetTree> for WorkspaceActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, question: GetTree, _: &mut Self::Context) -> Self::Result {
        let clients = self.host.directory.router.member_count(&self.workspace);
        let detail = json!({ "clients": clients });
        let children = self.children.tree(question);
        Box::pin(async move { TreeNode::own(detail, children.await) })
    }
}
