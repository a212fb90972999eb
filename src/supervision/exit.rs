//! Why an actor ended, and the slot through which it says so.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Why a child is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// It was done.
    Normal,
    /// It was asked to stop, and did.
    Shutdown,
    /// It gave up.
    Error(String),
    /// It panicked, in a handler, in `started`, in its factory or in a future of its own.
    Panic(String),
    /// It was ended from outside without being asked.
    Killed,
    /// A process, page or peer it depended on is gone.
    Lost(String),
}

impl ExitReason {
    /// Whether a `transient` child is restarted after this.
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Normal | Self::Shutdown)
    }

    /// The reason for a caught panic.
    pub(super) fn from_panic(payload: &(dyn Any + Send)) -> Self {
        Self::Panic(panic_text(payload))
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::Error(text) => write!(f, "error: {text}"),
            Self::Panic(text) => write!(f, "panic: {text}"),
            Self::Killed => f.write_str("killed"),
            Self::Lost(text) => write!(f, "lost: {text}"),
        }
    }
}

/// The words of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_owned()
    }
}

/// Shared between an actor and the task that runs it: here the actor leaves its own
/// reason before `ctx.stop()`, and from here it can be ended at once.
#[derive(Clone, Default)]
pub struct ExitSlot {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    reasons: Mutex<Reasons>,
    forced: Notify,
}

#[derive(Default)]
struct Reasons {
    own: Option<ExitReason>,
    forced: Option<ExitReason>,
}

impl ExitSlot {
    /// An empty slot; supervised actors get theirs in [`StartArgs`](super::StartArgs).
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes why the actor is about to stop. The first reason is the cause and stays;
    /// says whether this one was it. The actor goes on until `ctx.stop()`.
    pub fn set(&self, reason: ExitReason) -> bool {
        let mut reasons = self.inner.reasons.lock();
        let first = reasons.own.is_none();
        if first {
            reasons.own = Some(reason);
        }
        first
    }

    /// Ends the actor with this reason, whatever it is waiting for. Its `stopping` and
    /// `stopped` still run. Only the first call counts.
    pub fn fail(&self, reason: ExitReason) {
        self.force(reason);
        self.inner.forced.notify_one();
    }

    /// The reason known so far; in `stopped` the final one.
    pub fn reason(&self) -> Option<ExitReason> {
        let reasons = self.inner.reasons.lock();
        reasons.forced.clone().or_else(|| reasons.own.clone())
    }

    /// Records a reason that outranks the actor's own, without waking anybody.
    pub(super) fn force(&self, reason: ExitReason) {
        self.inner.reasons.lock().forced.get_or_insert(reason);
    }

    pub(super) fn is_forced(&self) -> bool {
        self.inner.reasons.lock().forced.is_some()
    }

    /// Resolves when [`fail`](Self::fail) was called. One waiter only.
    pub(super) async fn forced(&self) {
        while !self.is_forced() {
            self.inner.forced.notified().await;
        }
    }
}

impl fmt::Debug for ExitSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExitSlot").field(&self.reason()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ends_that_nobody_wanted_are_faults() {
        let table = [
            (ExitReason::Normal, false, "normal"),
            (ExitReason::Shutdown, false, "shutdown"),
            (ExitReason::Error("e".into()), true, "error: e"),
            (ExitReason::Panic("p".into()), true, "panic: p"),
            (ExitReason::Killed, true, "killed"),
            (ExitReason::Lost("page".into()), true, "lost: page"),
        ];
        for (reason, fault, text) in table {
            assert_eq!(reason.is_fault(), fault, "{reason}");
            assert_eq!(reason.to_string(), text);
        }
    }

    #[test]
    fn the_first_reason_stays_and_a_forced_one_outranks_it() {
        let slot = ExitSlot::new();
        assert!(slot.set(ExitReason::Shutdown));
        assert!(!slot.set(ExitReason::Normal));
        assert_eq!(slot.reason(), Some(ExitReason::Shutdown));
        slot.fail(ExitReason::Killed);
        slot.fail(ExitReason::Normal);
        assert_eq!(slot.reason(), Some(ExitReason::Killed));
    }
}
