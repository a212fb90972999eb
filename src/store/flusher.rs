use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::StoreError;

type Waiter = oneshot::Sender<Result<(), StoreError>>;

/// One thread that flushes on behalf of everybody who waits.
///
/// While a flush runs, new callers queue up; the next flush serves all of them. So the price of a
/// disk sync is shared by as many acknowledgements as arrive during one.
#[derive(Debug)]
pub(super) struct Flusher {
    waiters: Option<Sender<Waiter>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// Starts the thread; `flush` returns when everything written before its start is on disk.
    pub(super) fn start(
        flush: impl FnMut() -> Result<(), StoreError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (waiters, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("store-flusher".to_owned())
            .spawn(move || serve(&queue, flush))?;
        Ok(Flusher {
            waiters: Some(waiters),
            thread: Some(thread),
        })
    }

    /// Puts the caller in the queue at once; the future resolves when a flush that began later
    /// has ended.
    pub(super) fn wait(&self) -> impl Future<Output = Result<(), StoreError>> + use<> {
        let (waiter, answer) = oneshot::channel();
        let queued = self
            .waiters
            .as_ref()
            .is_some_and(|waiters| waiters.send(waiter).is_ok());
        async move {
            if !queued {
                return Err(StoreError::FlusherGone);
            }
            answer.await.unwrap_or(Err(StoreError::FlusherGone))
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        // A closed queue ends the thread after it has served who is in it.
        self.waiters = None;
        if let Some(thread) = self.thread.take() {
            // The thread catches panics of the flush itself; there is no result to look at.
            let _ = thread.join();
        }
    }
}

fn serve(queue: &Receiver<Waiter>, mut flush: impl FnMut() -> Result<(), StoreError>) {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        group.extend(queue.try_iter());
        let outcome = catch_unwind(AssertUnwindSafe(&mut flush))
            .unwrap_or_else(|_| Err(StoreError::Engine("the flush panicked".to_owned())));
        for waiter in group {
            // Who no longer waits needs no answer.
            let _ = waiter.send(outcome.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A flush that reports its start and then waits to be let go.
    fn gated() -> (Flusher, Receiver<()>, Sender<Result<(), StoreError>>) {
        let (started, starts) = channel();
        let (release, gate) = channel();
        let flusher = Flusher::start(move || {
            started.send(()).expect("test listens");
            gate.recv().expect("test releases")
        })
        .expect("thread starts");
        (flusher, starts, release)
    }

    #[tokio::test]
    async fn a_call_during_a_flush_waits_for_the_next_one() {
        let (flusher, starts, release) = gated();
        let first = flusher.wait();
        starts.recv().unwrap();
        let mut second = tokio::spawn(flusher.wait());
        release.send(Ok(())).unwrap();
        first.await.unwrap();
        // The second flush has begun and is held: its waiter must still be waiting.
        starts.recv().unwrap();
        assert!(futures::poll!(&mut second).is_pending());
        release.send(Ok(())).unwrap();
        second.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn all_who_arrive_during_a_flush_share_the_next() {
        let (flusher, starts, release) = gated();
        let first = flusher.wait();
        starts.recv().unwrap();
        let many: Vec<_> = (0..100).map(|_| flusher.wait()).collect();
        release.send(Ok(())).unwrap();
        release.send(Ok(())).unwrap();
        first.await.unwrap();
        for answer in futures::future::join_all(many).await {
            answer.unwrap();
        }
        starts.recv().unwrap();
        assert!(starts.try_recv().is_err(), "more than two flushes ran");
    }

    #[tokio::test]
    async fn a_failure_reaches_every_waiter_and_the_next_flush_may_succeed() {
        let (flusher, starts, release) = gated();
        let first = flusher.wait();
        starts.recv().unwrap();
        let many: Vec<_> = (0..3).map(|_| flusher.wait()).collect();
        release.send(Ok(())).unwrap();
        release
            .send(Err(StoreError::Engine("disk full".into())))
            .unwrap();
        first.await.unwrap();
        for answer in futures::future::join_all(many).await {
            assert_eq!(
                answer.unwrap_err().to_string(),
                "storage failure: disk full"
            );
        }
        release.send(Ok(())).unwrap();
        flusher.wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_panicking_flush_is_an_error_and_not_the_end() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let flusher = Flusher::start(move || {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                panic!("first flush");
            }
            Ok(())
        })
        .unwrap();
        assert!(flusher.wait().await.is_err());
        flusher.wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_waiter_that_left_does_not_disturb_the_others() {
        let (flusher, starts, release) = gated();
        let first = flusher.wait();
        starts.recv().unwrap();
        drop(first);
        let second = flusher.wait();
        release.send(Ok(())).unwrap();
        release.send(Ok(())).unwrap();
        second.await.unwrap();
    }
}
