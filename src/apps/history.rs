//! What happened to a session, bounded in size, kept where people can see it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::lifecycle::SessionState;

/// State changes kept per session; the first is always among them.
const MAX_ENTRIES: usize = 64;
/// Log lines kept of the end of a life.
const MAX_LINES: usize = 50;
/// Longest kept log line in bytes.
const MAX_LINE: usize = 2000;

/// One change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub state: SessionState,
    /// Unix time in seconds.
    pub at: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// A line of a session's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `console`, `error`, `stdout` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    pub content: String,
}

/// The record of one session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionHistory {
    pub entries: VecDeque<HistoryEntry>,
    /// How often it was started again after a crash.
    pub restarts: u32,
    /// Cause of the latest crash or failure.
    #[serde(default)]
    pub last_error: Option<String>,
    /// The last lines of its log at the latest crash or end.
    #[serde(default)]
    pub last_logs: VecDeque<LogLine>,
}

impl SessionHistory {
    /// Notes a change of state. Crashes and failures also become the last error.
    pub fn record(&mut self, state: SessionState, at: f64, cause: Option<&str>) {
        match state {
            SessionState::Restarting => self.restarts += 1,
            SessionState::Crashed | SessionState::Cleanup | SessionState::Failed => {
                if let Some(cause) = cause {
                    self.last_error = Some(cause.to_owned());
                }
            }
            _ => {}
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.remove(1);
        }
        self.entries.push_back(HistoryEntry {
            state,
            at,
            cause: cause.map(str::to_owned),
        });
    }

    /// Replaces the kept log lines by the last of these.
    pub fn keep_logs(&mut self, lines: impl IntoIterator<Item = LogLine>) {
        self.last_logs.clear();
        for mut line in lines {
            if self.last_logs.len() >= MAX_LINES {
                self.last_logs.pop_front();
            }
            let end = line.content.floor_char_boundary(MAX_LINE);
            line.content.truncate(end);
            self.last_logs.push_back(line);
        }
    }

    /// The crashes that are remembered, oldest first.
    pub fn crashes(&self) -> impl Iterator<Item = &HistoryEntry> {
        let crashed = |entry: &&HistoryEntry| entry.state == SessionState::Crashed;
        self.entries.iter().filter(crashed)
    }

    /// How long the latest life ran, in seconds, up to its end or to `now`.
    pub fn ran_for(&self, now: f64) -> f64 {
        let usable = |state| matches!(state, SessionState::Running | SessionState::Disconnected);
        let mut until = now;
        let mut began = None;
        for entry in self.entries.iter().rev() {
            if usable(entry.state) {
                began = Some(entry.at);
            } else if began.is_some() {
                break;
            } else {
                until = entry.at;
            }
        }
        began.map_or(0.0, |began| until - began)
    }

    pub fn state(&self) -> Option<SessionState> {
        self.entries.back().map(|entry| entry.state)
    }

    pub fn created_at(&self) -> Option<f64> {
        self.entries.front().map(|entry| entry.at)
    }

    pub fn updated_at(&self) -> Option<f64> {
        self.entries.back().map(|entry| entry.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_kept_with_time_and_cause() {
        let mut history = SessionHistory::default();
        assert_eq!((history.state(), history.created_at()), (None, None));
        history.record(SessionState::Selecting, 1.0, None);
        history.record(SessionState::Crashed, 2.0, Some("page crashed"));
        history.record(SessionState::Restarting, 2.5, Some("attempt 1"));
        assert_eq!(history.state(), Some(SessionState::Restarting));
        assert_eq!(history.restarts, 1);
        assert_eq!(history.last_error.as_deref(), Some("page crashed"));
        assert_eq!(
            (history.created_at(), history.updated_at()),
            (Some(1.0), Some(2.5))
        );
        let stored = serde_json::to_string(&history).unwrap();
        assert_eq!(
            serde_json::from_str::<SessionHistory>(&stored).unwrap(),
            history
        );
    }

    #[test]
    fn a_life_is_measured_from_where_it_began_to_run() {
        let mut history = SessionHistory::default();
        history.record(SessionState::Selecting, 0.0, None);
        assert_eq!(history.ran_for(9.0), 0.0);
        for (state, at) in [
            (SessionState::Running, 5.0),
            (SessionState::Crashed, 20.0),
            (SessionState::Restarting, 21.0),
        ] {
            history.record(state, at, None);
        }
        assert_eq!(history.ran_for(100.0), 15.0);
        for (state, at) in [
            (SessionState::Running, 30.0),
            (SessionState::Disconnected, 40.0),
            (SessionState::Running, 41.0),
        ] {
            history.record(state, at, None);
        }
        assert_eq!(history.ran_for(100.0), 70.0);
        assert_eq!(history.crashes().count(), 1);
    }

    #[test]
    fn a_long_life_is_cut_in_the_middle() {
        let mut history = SessionHistory::default();
        for number in 0..1000 {
            history.record(SessionState::Running, f64::from(number), None);
        }
        assert_eq!(history.entries.len(), MAX_ENTRIES);
        assert_eq!(
            (history.created_at(), history.updated_at()),
            (Some(0.0), Some(999.0))
        );
    }

    #[test]
    fn only_the_end_of_the_log_is_kept() {
        let mut history = SessionHistory::default();
        let line = |content: String| LogLine {
            kind: "console".to_owned(),
            content,
        };
        history.keep_logs((0..120).map(|n| line(format!("line {n}"))));
        assert_eq!(history.last_logs.len(), MAX_LINES);
        assert_eq!(history.last_logs.back().unwrap().content, "line 119");
        history.keep_logs([line("é".repeat(3000))]);
        assert_eq!(history.last_logs.len(), 1);
        assert_eq!(history.last_logs[0].content.len(), MAX_LINE);
    }
}
