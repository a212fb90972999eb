//! One child in the books of its parent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::SpawnHandle;
use tokio::sync::oneshot;

use super::exit::{ExitReason, ExitSlot};
use super::messages::Stop;
use super::monitor::ExitWatch;
use super::policy::RestartState;
use super::spec::{ChildSpec, StartArgs, StartedChild};
use super::tree::{ChildState, TreeNode};

pub(super) struct Entry {
    pub(super) spec: ChildSpec,
    pub(super) state: ChildState,
    /// Number of the current or last run, unique within the parent: timers and exit
    /// watches of an earlier run recognise by it that they are late.
    pub(super) run: u64,
    /// Present exactly while the child is up; dropping it kills the child.
    pub(super) child: Option<StartedChild>,
    pub(super) history: RestartState,
    pub(super) restarts: u32,
    pub(super) last_exit: Option<ExitReason>,
    /// The backoff or the stop deadline that is being waited for.
    pub(super) timer: Option<SpawnHandle>,
    /// Those who wait until the child is gone.
    pub(super) waiting: Vec<oneshot::Sender<()>>,
    up_since: Duration,
}

impl Entry {
    pub(super) fn new(spec: ChildSpec) -> Self {
        Self {
            spec,
            state: ChildState::Stopped,
            run: 0,
            child: None,
            history: RestartState::default(),
            restarts: 0,
            last_exit: None,
            timer: None,
            waiting: Vec::new(),
            up_since: Duration::ZERO,
        }
    }

    /// Starts the child; a panic of the start function is an exit like any other.
    pub(super) fn launch(&mut self, run: u64, now: Duration) -> ExitWatch {
        let args = StartArgs {
            id: self.spec.id.clone(),
            restarts: self.restarts,
            exit: ExitSlot::new(),
            place: self.spec.place.clone(),
        };
        let start = &mut self.spec.start;
        let mut child = catch_unwind(AssertUnwindSafe(|| start(args)))
            .unwrap_or_else(|payload| StartedChild::failed(ExitReason::from_panic(&*payload)));
        let exit = std::mem::replace(&mut child.exit, ExitWatch::at_once(ExitReason::Normal));
        self.run = run;
        self.state = ChildState::Running;
        self.up_since = now;
        self.history.started(now);
        self.child = Some(child);
        exit
    }

    /// Asks the child to stop, or kills it when it is not to be asked.
    pub(super) fn ask_to_stop(&mut self) {
        self.state = ChildState::Stopping;
        let deadline = self.spec.shutdown;
        let stop = self.child.as_ref().and_then(|child| child.stop.as_ref());
        match stop {
            // `do_send`, so that a full mailbox does not keep the request out.
            Some(stop) if !deadline.is_zero() => stop.do_send(Stop { deadline }),
            _ => self.end(ExitReason::Killed),
        }
    }

    /// Ends the running child at once.
    pub(super) fn end(&mut self, reason: ExitReason) {
        if let Some(kill) = self.child.as_ref().and_then(|child| child.kill.as_ref()) {
            kill.fail(reason);
        }
    }

    /// Takes note of the end of the current run.
    pub(super) fn close(&mut self, reason: ExitReason) {
        self.child = None;
        self.last_exit = Some(reason);
    }

    pub(super) fn id(&self) -> &str {
        &self.spec.id
    }

    /// The child as its parent knows it.
    pub(super) fn node(&self, now: Duration) -> TreeNode {
        let child = self.child.as_ref();
        let mailbox = child.and_then(|child| child.mailbox.as_ref());
        TreeNode {
            id: self.spec.id.clone(),
            kind: self.spec.kind.to_owned(),
            state: self.state,
            uptime_s: child.map_or(0.0, |_| now.saturating_sub(self.up_since).as_secs_f64()),
            restarts: self.restarts,
            last_exit: self.last_exit.as_ref().map(ToString::to_string),
            mailbox: mailbox.map(|count| count.load(Ordering::Relaxed)),
            detail: serde_json::Value::Null,
            children: Vec::new(),
        }
    }
}
