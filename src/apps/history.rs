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
    pub last_logs: VecDeque<String>,
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
    pub fn keep_logs<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        self.last_logs.clear();
        for line in lines {
            if self.last_logs.len() >= MAX_LINES {
                self.last_logs.pop_front();
            }
            let end = line.floor_char_boundary(MAX_LINE);
            self.last_logs.push_back(line[..end].to_owned());
        }
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
        let lines: Vec<String> = (0..120).map(|n| format!("line {n}")).collect();
        history.keep_logs(lines.iter().map(String::as_str));
        assert_eq!(history.last_logs.len(), MAX_LINES);
        assert_eq!(history.last_logs.back().unwrap(), "line 119");
        history.keep_logs([&*"é".repeat(3000)]);
        assert_eq!(history.last_logs.len(), 1);
        assert_eq!(history.last_logs[0].len(), MAX_LINE);
    }
}
