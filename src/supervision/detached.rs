//! Work that nobody waits for.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use super::exit::panic_text;

/// Runs a future by itself. A panic in it is logged under `name`, instead of being lost. While the
/// process ends and its runtimes are gone, nothing is run: clean-up then has no one to serve.
pub fn spawn_detached<F>(name: &'static str, future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        tracing::debug!(name, "not run, the process is ending");
        return;
    };
    runtime.spawn(async move {
        if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
            tracing::error!(
                name,
                panic = panic_text(&*panic),
                "background work panicked"
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_stays_inside() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        spawn_detached("test", async move {
            let _held = sender;
            panic!("on purpose");
        });
        assert!(receiver.await.is_err());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        spawn_detached("test", async move {
            let _ = sender.send(7);
        });
        assert_eq!(receiver.await, Ok(7));
    }

    #[test]
    fn without_a_runtime_nothing_happens() {
        spawn_detached("test", async {});
    }
}
