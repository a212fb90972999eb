//! Supervision: everything that can die has a parent that notices.
//!
//! The vocabulary is that of Erlang/OTP: child specifications, `permanent`, `transient` and
//! `temporary`, restart intensity, escalation, orderly shutdown. The actors are actix's;
//! its own supervisor is not used, since it does not restart after a panic.
//!
//! - [`ChildSpec`]: how to start a child, and its [`Policy`].
//! - [`Children`]: a field of the parent that starts, watches, restarts and stops them.
//! - [`Supervising`]: what makes an actor a parent.
//! - [`AddrSlot`]: where the current address of a child is found.
//! - [`ExitSlot`] and [`ExitReason`]: why an actor ended.
//! - [`GetTree`] and [`TreeNode`]: the tree for people to see.
//! - [`spawn_detached`]: work that nobody waits for, with its panics noticed.
//! - [`Clock`]: time, which tests move by hand.
//!
//! A parent with one child that is restarted after a crash:
//!
//! ```
//! use actix::prelude::*;
//! use rhizome::supervision::{
//!     AddrSlot, ChildEvent, ChildSpec, Children, ExitReason, ExitSlot, GetTree, Restart, Stop,
//!     Supervising, SystemClock, TreeNode, start_here,
//! };
//!
//! struct SessionActor {
//!     exit: ExitSlot,
//! }
//!
//! impl Actor for SessionActor {
//!     type Context = Context<Self>;
//! }
//!
//! impl Handler<Stop> for SessionActor {
//!     type Result = ();
//!     fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
//!         self.exit.set(ExitReason::Shutdown);
//!         ctx.stop();
//!     }
//! }
//!
//! struct AppActor {
//!     exit: ExitSlot,
//!     children: Children<Self>,
//!     session: AddrSlot<SessionActor>,
//! }
//!
//! impl Actor for AppActor {
//!     type Context = Context<Self>;
//!     fn started(&mut self, ctx: &mut Self::Context) {
//!         let spec = ChildSpec::actor("s1", "session", &self.session, |args, _| SessionActor {
//!             exit: args.exit,
//!         })
//!         .restart(Restart::Transient);
//!         if let Err(error) = self.children.start(spec, ctx) {
//!             self.shut_down(ExitReason::Error(error.to_string()), ctx);
//!         }
//!     }
//! }
//!
//! impl Supervising for AppActor {
//!     fn children(&mut self) -> &mut Children<Self> {
//!         &mut self.children
//!     }
//!     fn exit_slot(&self) -> &ExitSlot {
//!         &self.exit
//!     }
//!     fn child_event(&mut self, event: &ChildEvent, _: &mut Self::Context) {
//!         println!("{event:?}");
//!     }
//! }
//!
//! impl Handler<Stop> for AppActor {
//!     type Result = ();
//!     fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
//!         self.shut_down(ExitReason::Shutdown, ctx);
//!     }
//! }
//!
//! impl Handler<GetTree> for AppActor {
//!     type Result = ResponseFuture<TreeNode>;
//!     fn handle(&mut self, question: GetTree, _: &mut Self::Context) -> Self::Result {
//!         let children = self.children.tree(question);
//!         Box::pin(async move { TreeNode::own(serde_json::Value::Null, children.await) })
//!     }
//! }
//!
//! #[actix::main]
//! async fn main() {
//!     // The root has no parent: whoever starts it holds its kill handle and its exit.
//!     let exit = ExitSlot::new();
//!     let root = start_here(exit.clone(), |_| AppActor {
//!         exit,
//!         children: Children::new(SystemClock::shared()),
//!         session: AddrSlot::new(),
//!     });
//!     let tree = root.addr.send(GetTree::default()).await.unwrap().named("app", "app");
//!     assert_eq!(tree.children[0].id, "s1");
//!     root.addr.do_send(Stop { deadline: std::time::Duration::from_secs(10) });
//!     assert_eq!(root.exit.await, ExitReason::Shutdown);
//! }
//! ```

mod children;
pub mod clock;
mod detached;
mod entry;
mod event;
mod exit;
mod guarded;
mod messages;
mod monitor;
mod policy;
mod slot;
mod spec;
mod tree;

#[cfg(test)]
mod tests;

pub use children::{Children, Gone, StartError, StopOrder};
pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use detached::spawn_detached;
pub use event::{ChildEvent, Supervising};
pub(crate) use exit::panic_text;
pub use exit::{ExitReason, ExitSlot};
pub use guarded::spawn_guarded;
pub use messages::{GetTree, Stop};
pub use monitor::{ExitWatch, KillHandle, Monitored, Place, start_at, start_here, start_on};
pub use policy::{Backoff, Decision, Intensity, OnExhausted, Policy, Restart, RestartState};
pub use slot::AddrSlot;
pub use spec::{ChildSpec, StartArgs, StartFn, StartedChild};
pub use tree::{ChildState, TreeNode};
