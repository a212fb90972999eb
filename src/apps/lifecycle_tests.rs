use std::collections::HashSet;

use super::SessionEvent as E;
use super::SessionState as S;
use super::*;

const EVENTS: [E; 17] = [
    E::WorkerSelected,
    E::Launched,
    E::Ready,
    E::Completed,
    E::StartFailed,
    E::CleanedUp,
    E::ClientLost { kept: true },
    E::ClientLost { kept: false },
    E::ClientBack,
    E::Crashed,
    E::RestartScheduled,
    E::RestartRefused,
    E::RestartDue,
    E::StopRequested,
    E::StopFinished,
    E::StopOverdue,
    E::WorkerLost,
];

/// Every possible step. What is not listed must be refused.
const TABLE: &[(S, E, S)] = &[
    (S::Selecting, E::WorkerSelected, S::Launching),
    (S::Selecting, E::StartFailed, S::Failed),
    (S::Selecting, E::StopRequested, S::Stopped),
    (S::Launching, E::Launched, S::Waiting),
    (S::Launching, E::Ready, S::Running),
    (S::Launching, E::Completed, S::Completed),
    (S::Launching, E::StartFailed, S::Cleanup),
    (S::Launching, E::ClientLost { kept: true }, S::Launching),
    (S::Launching, E::ClientLost { kept: false }, S::Launching),
    (S::Launching, E::Crashed, S::Crashed),
    (S::Launching, E::StopRequested, S::Stopping),
    (S::Launching, E::WorkerLost, S::Failed),
    (S::Waiting, E::Ready, S::Running),
    (S::Waiting, E::Completed, S::Completed),
    (S::Waiting, E::StartFailed, S::Cleanup),
    (S::Waiting, E::ClientLost { kept: true }, S::Waiting),
    (S::Waiting, E::ClientLost { kept: false }, S::Waiting),
    (S::Waiting, E::Crashed, S::Crashed),
    (S::Waiting, E::StopRequested, S::Stopping),
    (S::Waiting, E::WorkerLost, S::Failed),
    (S::Running, E::Completed, S::Completed),
    (S::Running, E::ClientLost { kept: true }, S::Disconnected),
    (S::Running, E::ClientLost { kept: false }, S::Stopping),
    (S::Running, E::Crashed, S::Crashed),
    (S::Running, E::StopRequested, S::Stopping),
    (S::Running, E::WorkerLost, S::Failed),
    (S::Disconnected, E::Completed, S::Completed),
    (
        S::Disconnected,
        E::ClientLost { kept: true },
        S::Disconnected,
    ),
    (
        S::Disconnected,
        E::ClientLost { kept: false },
        S::Disconnected,
    ),
    (S::Disconnected, E::ClientBack, S::Running),
    (S::Disconnected, E::Crashed, S::Crashed),
    (S::Disconnected, E::StopRequested, S::Stopping),
    (S::Disconnected, E::WorkerLost, S::Failed),
    (S::Crashed, E::RestartScheduled, S::Restarting),
    (S::Crashed, E::RestartRefused, S::Failed),
    (S::Crashed, E::StopRequested, S::Stopping),
    (S::Crashed, E::WorkerLost, S::Failed),
    (S::Restarting, E::RestartDue, S::Selecting),
    (S::Restarting, E::StopRequested, S::Stopped),
    (S::Restarting, E::WorkerLost, S::Restarting),
    (S::Cleanup, E::Completed, S::Cleanup),
    (S::Cleanup, E::CleanedUp, S::Failed),
    (S::Cleanup, E::ClientLost { kept: true }, S::Cleanup),
    (S::Cleanup, E::ClientLost { kept: false }, S::Cleanup),
    (S::Cleanup, E::Crashed, S::Cleanup),
    (S::Cleanup, E::StopRequested, S::Cleanup),
    (S::Cleanup, E::StopOverdue, S::Failed),
    (S::Cleanup, E::WorkerLost, S::Failed),
    (S::Stopping, E::Completed, S::Stopping),
    (S::Stopping, E::ClientLost { kept: true }, S::Stopping),
    (S::Stopping, E::ClientLost { kept: false }, S::Stopping),
    (S::Stopping, E::Crashed, S::Stopping),
    (S::Stopping, E::StopRequested, S::Stopping),
    (S::Stopping, E::StopFinished, S::Stopped),
    (S::Stopping, E::StopOverdue, S::Failed),
    (S::Stopping, E::WorkerLost, S::Stopped),
    (S::Completed, E::StopRequested, S::Stopping),
];

#[test]
fn every_state_and_event() {
    for from in S::ALL {
        for event in EVENTS {
            let row = TABLE.iter().find(|row| row.0 == from && row.1 == event);
            let expected = row
                .map(|row| row.2)
                .ok_or(InvalidTransition { from, event });
            assert_eq!(transition(from, event), expected);
        }
    }
}

#[test]
fn every_state_is_reached_and_none_is_a_trap() {
    let mut reached = HashSet::from([S::Selecting]);
    while TABLE
        .iter()
        .any(|row| reached.contains(&row.0) && reached.insert(row.2))
    {}
    assert_eq!(reached.len(), S::ALL.len());
    let mut ends: HashSet<S> = S::ALL
        .into_iter()
        .filter(|state| state.is_final())
        .collect();
    while TABLE
        .iter()
        .any(|row| ends.contains(&row.2) && ends.insert(row.0))
    {}
    assert_eq!(ends.len(), S::ALL.len());
}

#[test]
fn public_words() {
    let words: HashSet<_> = S::ALL.into_iter().map(S::status).collect();
    let expected = [
        "starting",
        "running",
        "completed",
        "failed",
        "stopping",
        "stopped",
        "restarting",
        "disconnected",
    ];
    assert_eq!(words, HashSet::from(expected));
    assert!(S::Launching.is_starting() && !S::Running.is_starting());
    for state in S::ALL {
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<S>(&text).unwrap(), state);
    }
    let error = transition(S::Stopped, E::Ready).unwrap_err().to_string();
    assert_eq!(error, "Ready is not possible for a session that is Stopped");
}
