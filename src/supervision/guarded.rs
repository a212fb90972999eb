//! Futures beside an actor whose panics are the actor's own.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use actix::{Actor, AsyncContext, Context};
use futures::FutureExt;
use tokio::task::AbortHandle;

use super::exit::{ExitReason, ExitSlot, panic_text};

/// Runs `future` as a task of its own, tied to the actor: a panic in it ends the actor
/// (`Panic("name: text")`), and the end of the actor ends it.
///
/// Unlike a future given to `ctx.spawn` it also runs while the actor is in `ctx.wait`.
pub fn spawn_guarded<A, F>(ctx: &mut Context<A>, exit: &ExitSlot, name: &'static str, future: F)
where
    A: Actor<Context = Context<A>>,
    F: Future<Output = ()> + 'static,
{
    let exit = exit.clone();
    let task = actix::spawn(async move {
        if let Err(payload) = AssertUnwindSafe(future).catch_unwind().await {
            let text = panic_text(&*payload);
            exit.fail(ExitReason::Panic(format!("{name}: {text}")));
        }
    });
    let tie = AbortOnDrop(task.abort_handle());
    ctx.spawn(actix::fut::wrap_future(async move {
        let _tie = tie;
        // An error would be an abort; panics were dealt with inside.
        let _ = task.await;
    }));
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
