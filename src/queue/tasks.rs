//! The queues and their tasks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::error::QueueError;
use crate::supervision::SharedClock;

/// How much may wait; sizes in bytes.
#[derive(Debug, Clone)]
pub struct QueueLimits {
    pub task_bytes: usize,
    pub tasks_per_queue: usize,
    pub queues_per_workspace: usize,
    pub workspace_bytes: usize,
    pub node_bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        QueueLimits {
            task_bytes: 1024 * 1024,
            tasks_per_queue: 100_000,
            queues_per_workspace: 1000,
            workspace_bytes: 64 * 1024 * 1024,
            node_bytes: 512 * 1024 * 1024,
        }
    }
}

/// What a task takes beside its content.
const TASK_OVERHEAD: usize = 64;

/// All queues of the node. Tasks are kept encoded.
pub struct Queues {
    clock: SharedClock,
    limits: QueueLimits,
    spaces: DashMap<String, Arc<Mutex<Space>>>,
    bytes: AtomicUsize,
}

#[derive(Default)]
struct Space {
    queues: HashMap<String, Queue>,
    bytes: usize,
    /// Taken out of the table; whoever still has it looks there again.
    dropped: bool,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Bytes>,
    pushed: Arc<Notify>,
    waiters: usize,
}

impl Queues {
    pub fn new(clock: SharedClock, limits: QueueLimits) -> Self {
        Queues {
            clock,
            limits,
            spaces: DashMap::new(),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Puts a task at the end of a queue.
    ///
    /// # Errors
    /// Too large, or a limit is reached.
    pub fn push(&self, workspace: &str, name: &str, task: Bytes) -> Result<(), QueueError> {
        if task.len() > self.limits.task_bytes {
            return Err(QueueError::TaskSize {
                size: task.len(),
                limit: self.limits.task_bytes,
            });
        }
        let size = task.len() + TASK_OVERHEAD;
        self.within(workspace, |space| {
            self.check_room(space, name, size)?;
            let queue = space.queues.entry(name.to_owned()).or_default();
            queue.tasks.push_back(task);
            queue.pushed.notify_one();
            space.bytes += size;
            self.bytes.fetch_add(size, Ordering::Relaxed);
            Ok(())
        })
    }

    fn check_room(&self, space: &Space, name: &str, size: usize) -> Result<(), QueueError> {
        let limits = &self.limits;
        let full = |what: String| Err(QueueError::Full(what));
        match space.queues.get(name) {
            Some(queue) if queue.tasks.len() >= limits.tasks_per_queue => {
                return full(format!(
                    "the queue has {} tasks already",
                    limits.tasks_per_queue
                ));
            }
            None if space.queues.len() >= limits.queues_per_workspace => {
                return full(format!(
                    "the workspace has {} queues already",
                    limits.queues_per_workspace
                ));
            }
            _ => {}
        }
        if space.bytes + size > limits.workspace_bytes {
            return full(format!(
                "the tasks of a workspace may have {} bytes",
                limits.workspace_bytes
            ));
        }
        if self.bytes.load(Ordering::Relaxed) + size > limits.node_bytes {
            return full("the server has no room for more tasks".to_owned());
        }
        Ok(())
    }

    /// Takes the first task, waiting for one at most `timeout`. Dropping the future leaves the
    /// task to somebody else.
    ///
    /// # Errors
    /// The workspace has too many queues.
    pub async fn pop(
        &self,
        workspace: &str,
        name: &str,
        timeout: Duration,
    ) -> Result<Option<Bytes>, QueueError> {
        if let Some(task) = self.take(workspace, name) {
            return Ok(Some(task));
        }
        if timeout.is_zero() {
            return Ok(None);
        }
        let waiting = self.wait_at(workspace, name)?;
        let mut over = self.clock.sleep(timeout);
        loop {
            let pushed = waiting.pushed.notified();
            tokio::pin!(pushed);
            // Registered before the look, so that a push in between is not missed.
            pushed.as_mut().enable();
            if let Some(task) = self.take(workspace, name) {
                return Ok(Some(task));
            }
            tokio::select! {
                () = pushed => {}
                () = &mut over => return Ok(self.take(workspace, name)),
            }
        }
    }

    fn wait_at<'a>(&'a self, workspace: &'a str, name: &'a str) -> Result<Waiting<'a>, QueueError> {
        let pushed = self.within(workspace, |space| {
            self.check_room(space, name, 0)?;
            let queue = space.queues.entry(name.to_owned()).or_default();
            queue.waiters += 1;
            Ok(queue.pushed.clone())
        })?;
        Ok(Waiting {
            queues: self,
            workspace,
            name,
            pushed,
        })
    }

    fn take(&self, workspace: &str, name: &str) -> Option<Bytes> {
        let space = self.space(workspace)?;
        let mut space = space.lock();
        let task = space.queues.get_mut(name)?.tasks.pop_front()?;
        let size = task.len() + TASK_OVERHEAD;
        space.bytes -= size;
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        space.tidy(name);
        drop(space);
        self.drop_if_empty(workspace);
        Some(task)
    }

    /// The number of tasks in a queue.
    pub fn length(&self, workspace: &str, name: &str) -> usize {
        self.space(workspace).map_or(0, |space| {
            let space = space.lock();
            space.queues.get(name).map_or(0, |queue| queue.tasks.len())
        })
    }

    /// The first `n` tasks, in the order in which they will be taken.
    pub fn peek(&self, workspace: &str, name: &str, n: usize) -> Vec<Bytes> {
        let Some(space) = self.space(workspace) else {
            return Vec::new();
        };
        let space = space.lock();
        let queue = space.queues.get(name);
        queue.map_or_else(Vec::new, |queue| {
            queue.tasks.iter().take(n).cloned().collect()
        })
    }

    /// Drops the tasks of workspaces that are no more.
    pub fn keep_only(&self, exists: impl Fn(&str) -> bool) {
        self.spaces.retain(|workspace, space| {
            let mut space = space.lock();
            let waited_for = space.queues.values().any(|queue| queue.waiters > 0);
            if exists(workspace) || waited_for {
                return true;
            }
            self.bytes.fetch_sub(space.bytes, Ordering::Relaxed);
            space.dropped = true;
            false
        });
    }

    fn space(&self, workspace: &str) -> Option<Arc<Mutex<Space>>> {
        self.spaces.get(workspace).map(|space| space.clone())
    }

    /// Runs `work` on the queues of a workspace, which are made if need be.
    fn within<R>(
        &self,
        workspace: &str,
        work: impl FnOnce(&mut Space) -> Result<R, QueueError>,
    ) -> Result<R, QueueError> {
        loop {
            let entry = self.spaces.entry(workspace.to_owned()).or_default();
            let space = entry.clone();
            drop(entry);
            let mut space = space.lock();
            if space.dropped {
                continue;
            }
            let result = work(&mut space);
            drop(space);
            if result.is_err() {
                self.drop_if_empty(workspace);
            }
            return result;
        }
    }

    fn drop_if_empty(&self, workspace: &str) {
        self.spaces.remove_if(workspace, |_, space| {
            let mut space = space.lock();
            space.dropped = space.queues.is_empty();
            space.dropped
        });
    }
}

impl Space {
    /// Forgets a queue that nobody needs.
    fn tidy(&mut self, name: &str) {
        let queue = self.queues.get(name);
        if queue.is_some_and(|queue| queue.tasks.is_empty() && queue.waiters == 0) {
            self.queues.remove(name);
        }
    }
}

/// A call that waits at a queue; the queue stays as long.
struct Waiting<'a> {
    queues: &'a Queues,
    workspace: &'a str,
    name: &'a str,
    pushed: Arc<Notify>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(space) = self.queues.space(self.workspace) else {
            return;
        };
        let mut space = space.lock();
        if let Some(queue) = space.queues.get_mut(self.name) {
            queue.waiters -= 1;
        }
        space.tidy(self.name);
        drop(space);
        self.queues.drop_if_empty(self.workspace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervision::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    fn queues() -> (ManualClock, Arc<Queues>) {
        let clock = ManualClock::new();
        let limits = QueueLimits {
            task_bytes: 10,
            tasks_per_queue: 3,
            queues_per_workspace: 2,
            workspace_bytes: 4 * (10 + TASK_OVERHEAD),
            node_bytes: 5 * (10 + TASK_OVERHEAD),
        };
        let queues = Queues::new(clock.shared(), limits);
        (clock, Arc::new(queues))
    }

    fn task(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn pop_later(
        queues: &Arc<Queues>,
        seconds: u32,
    ) -> tokio::task::JoinHandle<Result<Option<Bytes>, QueueError>> {
        let queues = queues.clone();
        actix::spawn(async move { queues.pop("ws", "q", SECOND * seconds).await })
    }

    #[actix::test]
    async fn tasks_come_in_order_and_leave_nothing_behind() {
        let (_, queues) = queues();
        for text in ["a", "b", "c"] {
            queues.push("ws", "q", task(text)).unwrap();
        }
        assert_eq!(queues.peek("ws", "q", 2), [task("a"), task("b")]);
        assert_eq!(queues.length("ws", "q"), 3);
        assert_eq!(queues.length("other", "q"), 0);
        for text in ["a", "b", "c"] {
            let popped = queues.pop("ws", "q", Duration::ZERO).await;
            assert_eq!(popped, Ok(Some(task(text))));
        }
        assert_eq!(queues.pop("ws", "q", Duration::ZERO).await, Ok(None));
        assert!(queues.spaces.is_empty());
        assert_eq!(queues.bytes.load(Ordering::Relaxed), 0);
    }

    #[actix::test]
    async fn waiting_ends_with_a_task_or_in_time() {
        let (clock, queues) = queues();
        let waiting = pop_later(&queues, 5);
        clock.wait_for_sleepers(1).await;
        queues.push("ws", "q", task("a")).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(Some(task("a"))));
        let waiting = pop_later(&queues, 5);
        clock.wait_for_sleepers(1).await;
        clock.advance(SECOND * 5);
        assert_eq!(waiting.await.unwrap(), Ok(None));
        assert!(queues.spaces.is_empty());
    }

    #[actix::test]
    async fn who_leaves_takes_no_task_along() {
        let (clock, queues) = queues();
        let (first, second) = (pop_later(&queues, 5), pop_later(&queues, 5));
        clock.wait_for_sleepers(2).await;
        queues.push("ws", "q", task("a")).unwrap();
        // The first was told of the task but never runs again.
        first.abort();
        assert_eq!(second.await.unwrap(), Ok(Some(task("a"))));
        assert!(first.await.unwrap_err().is_cancelled());
        assert!(queues.spaces.is_empty());
    }

    #[actix::test]
    async fn limits_hold_and_are_given_back() {
        let (_, queues) = queues();
        let full = |result: Result<(), QueueError>| matches!(result, Err(QueueError::Full(_)));
        let big = task("0123456789");
        assert!(queues.push("ws", "q", task("0123456789a")).is_err());
        for _ in 0..3 {
            queues.push("ws", "q", big.clone()).unwrap();
        }
        assert!(full(queues.push("ws", "q", big.clone())));
        queues.push("ws", "r", big.clone()).unwrap();
        assert!(full(queues.push("ws", "s", task("a"))));
        assert!(full(queues.push("ws", "r", big.clone())));
        queues.push("other", "q", big.clone()).unwrap();
        assert!(full(queues.push("other", "q", big.clone())));
        queues.pop("ws", "q", Duration::ZERO).await.unwrap();
        queues.push("other", "q", big).unwrap();
    }

    #[test]
    fn the_tasks_of_vanished_workspaces_go() {
        let (_, queues) = queues();
        queues.push("ws", "q", task("a")).unwrap();
        queues.push("other", "q", task("a")).unwrap();
        queues.keep_only(|workspace| workspace == "ws");
        assert_eq!(queues.length("ws", "q"), 1);
        assert_eq!(queues.length("other", "q"), 0);
        assert_eq!(queues.bytes.load(Ordering::Relaxed), 1 + TASK_OVERHEAD);
    }
}
