//! The life of a session as a state machine without side effects.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Looking for a worker.
    Selecting,
    /// The worker's `start` is under way.
    Launching,
    /// Started by the worker, the awaited event has not come yet.
    Waiting,
    Running,
    /// The client has gone, the session is meant to outlive that.
    Disconnected,
    /// The page, process or worker function died.
    Crashed,
    /// Waiting out the backoff before another start.
    Restarting,
    /// A failed start is being taken down.
    Cleanup,
    Stopping,
    /// A script ran to its end; logs are kept.
    Completed,
    Failed,
    Stopped,
}

impl SessionState {
    pub const ALL: [SessionState; 12] = [
        Self::Selecting,
        Self::Launching,
        Self::Waiting,
        Self::Running,
        Self::Disconnected,
        Self::Crashed,
        Self::Restarting,
        Self::Cleanup,
        Self::Stopping,
        Self::Completed,
        Self::Failed,
        Self::Stopped,
    ];

    /// The word clients see.
    pub fn status(self) -> &'static str {
        match self {
            Self::Selecting | Self::Launching | Self::Waiting => "starting",
            Self::Running => "running",
            Self::Disconnected => "disconnected",
            Self::Crashed | Self::Restarting => "restarting",
            Self::Cleanup | Self::Stopping => "stopping",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Nothing happens any more in these, apart from forgetting a completed session.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stopped)
    }

    /// A start in progress that later callers may join.
    pub fn is_starting(self) -> bool {
        matches!(self, Self::Selecting | Self::Launching | Self::Waiting)
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.status())
    }
}

/// What can happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionEvent {
    /// A worker was chosen.
    WorkerSelected,
    /// The worker's `start` returned and an event is awaited.
    Launched,
    /// The session counts as started: the awaited event came, or none is awaited.
    Ready,
    /// The worker reported that the work is done.
    Completed,
    /// No worker, an error from `start`, a fatal page error, or the deadline.
    StartFailed,
    /// What failed to start has been taken down.
    CleanedUp,
    /// The client's connection ended; `kept` for daemons and worker-managed sessions.
    ClientLost { kept: bool },
    /// The client of a kept session is back.
    ClientBack,
    /// The page or process died.
    Crashed,
    /// The supervisor will try again after a while.
    RestartScheduled,
    /// The supervisor has given up.
    RestartRefused,
    /// The while is over.
    RestartDue,
    /// By call, inactivity, scale-down, uninstall, disabling or shutdown.
    StopRequested,
    /// The worker has stopped it.
    StopFinished,
    /// The worker did not stop it in time; it was removed by force.
    StopOverdue,
    /// The worker's own client disconnected; there is nobody left to stop anything.
    WorkerLost,
}

/// An event that has no meaning in the state it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} is not possible for a session that is {from:?}")]
pub struct InvalidTransition {
    pub from: SessionState,
    pub event: SessionEvent,
}

/// The state after an event.
pub fn transition(
    from: SessionState,
    event: SessionEvent,
) -> Result<SessionState, InvalidTransition> {
    use SessionEvent as E;
    use SessionState as S;
    Ok(match (from, event) {
        (S::Selecting, E::WorkerSelected) => S::Launching,
        (S::Launching, E::Launched) => S::Waiting,
        (S::Launching | S::Waiting, E::Ready) => S::Running,
        (S::Launching | S::Waiting | S::Running | S::Disconnected, E::Completed) => S::Completed,

        // Without a worker there is nothing to take down.
        (S::Selecting, E::StartFailed) => S::Failed,
        (S::Launching | S::Waiting, E::StartFailed) => S::Cleanup,
        (S::Cleanup, E::CleanedUp) => S::Failed,

        (S::Running, E::ClientLost { kept: true }) => S::Disconnected,
        (S::Running, E::ClientLost { kept: false }) => S::Stopping,
        // A script may connect, talk and leave before it counts as started.
        (S::Launching | S::Waiting | S::Disconnected, E::ClientLost { .. }) => from,
        (S::Disconnected, E::ClientBack) => S::Running,

        (S::Launching | S::Waiting | S::Running | S::Disconnected, E::Crashed) => S::Crashed,
        (S::Crashed, E::RestartScheduled) => S::Restarting,
        (S::Crashed, E::RestartRefused) => S::Failed,
        (S::Restarting, E::RestartDue) => S::Selecting,

        // What no worker holds is stopped at once.
        (S::Selecting | S::Restarting, E::StopRequested) => S::Stopped,
        (
            S::Launching | S::Waiting | S::Running | S::Disconnected | S::Crashed | S::Completed,
            E::StopRequested,
        ) => S::Stopping,
        (S::Cleanup | S::Stopping, E::StopRequested) => from,
        (S::Stopping, E::StopFinished) => S::Stopped,
        (S::Cleanup | S::Stopping, E::StopOverdue) => S::Failed,
        // While stopping, dying is one way of obeying; the worker's answer still decides.
        (S::Cleanup | S::Stopping, E::ClientLost { .. } | E::Crashed | E::Completed) => from,

        (
            S::Launching | S::Waiting | S::Running | S::Disconnected | S::Crashed | S::Cleanup,
            E::WorkerLost,
        ) => S::Failed,
        (S::Stopping, E::WorkerLost) => S::Stopped,
        // The next attempt chooses a worker anew.
        (S::Restarting, E::WorkerLost) => S::Restarting,

        (from, event) => return Err(InvalidTransition { from, event }),
    })
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
