//! What others tell a session: its worker, its client, its app.

use actix::prelude::*;
use tokio::sync::oneshot;

use super::SessionActor;
use crate::apps::lifecycle::{SessionEvent, SessionState};
use crate::apps::progress::Step;
use crate::apps::readiness::Sighting;
use crate::apps::session::entry::Settled;
use crate::apps::session::messages::{ClientBack, ClientGone, EndSession, SeeService, WorkerGone};
use crate::peer::ServiceError;
use crate::supervision::{ExitReason, GetTree, Stop, TreeNode};
use crate::workers::Notice;

impl StreamHandler<Notice> for SessionActor {
    fn handle(&mut self, notice: Notice, ctx: &mut Self::Context) {
        match notice {
            Notice::PageLoaded { signalled } => {
                self.code_done |= signalled;
                self.see(Sighting::PageLoaded, ctx);
            }
            Notice::PageError(text) => self.see(Sighting::PageError(text), ctx),
            Notice::ScriptFailed(text) => self.see(Sighting::ScriptFailed(text), ctx),
            Notice::Crashed(reason) => self.crashed(reason, ctx),
            Notice::Over(reason) => self.end(&reason, ctx),
            Notice::Completed | Notice::Exited { code: 0, .. } => self.completed(ctx),
            Notice::Exited { cause, .. } => self.crashed(cause, ctx),
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<SeeService> for SessionActor {
    type Result = ();

    fn handle(&mut self, SeeService(name): SeeService, ctx: &mut Self::Context) {
        self.entry.progress(Step::ServiceRegistered { name: &name });
        self.see(Sighting::ServiceAdded(name), ctx);
    }
}

impl Handler<ClientBack> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: ClientBack, ctx: &mut Self::Context) {
        if self.entry.state() == SessionState::Disconnected {
            self.advance(SessionEvent::ClientBack, None);
        }
        self.see(Sighting::ClientConnected, ctx);
    }
}

impl Handler<ClientGone> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: ClientGone, ctx: &mut Self::Context) {
        self.client_gone(ctx);
    }
}

impl Handler<WorkerGone> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: WorkerGone, ctx: &mut Self::Context) {
        let cause = "the worker disconnected";
        self.advance(SessionEvent::WorkerLost, Some(cause));
        let error = ServiceError::runtime(cause);
        let outcome: Settled = Err(self.failure(&error, &[]));
        self.entry.settle(outcome);
        self.worker = None;
        self.leave(ExitReason::Normal, ctx);
    }
}

impl Handler<EndSession> for SessionActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, order: EndSession, ctx: &mut Self::Context) -> Self::Result {
        let (sender, over) = oneshot::channel();
        self.ending.push(sender);
        self.end(order.cause, ctx);
        Box::pin(async move {
            // An actor that is gone has ended the session too.
            let _ = over.await;
        })
    }
}

impl Handler<Stop> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.end("the server is stopping", ctx);
    }
}

impl Handler<GetTree> for SessionActor {
    type Result = ResponseFuture<TreeNode>;

    fn handle(&mut self, _: GetTree, _: &mut Self::Context) -> Self::Result {
        let detail = serde_json::json!({
            "status": self.entry.state().status(),
            "worker": self.entry.worker(),
            "idle_s": self.idle_for().as_secs_f64(),
        });
        Box::pin(async move { TreeNode::own(detail, Vec::new()) })
    }
}
