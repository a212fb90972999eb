//! The calls that a client has received and not answered yet.
//!
//! Kept for app sessions only: work in flight keeps a session from being stopped as idle, also when
//! the answer takes longer than the idle limit.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Calls remembered of one client; further ones are not, and then the traffic alone counts.
const MOST: usize = 4096;
/// A call without sign of life for so long is taken for forgotten: its caller may have left, or
/// never waited for an answer.
const FORGOTTEN_AFTER_MS: u64 = 600_000;

/// See the module's text.
#[derive(Default)]
pub struct OpenCalls {
    /// Last sign of life by the caller's session id.
    calls: Mutex<HashMap<Box<str>, u64>>,
}

impl OpenCalls {
    /// A call came in.
    pub fn began(&self, session: &str, now_ms: u64) {
        let mut calls = self.calls.lock();
        if calls.len() >= MOST {
            forget_old(&mut calls, now_ms);
        }
        if calls.len() < MOST {
            calls.insert(session.into(), now_ms);
        }
    }

    /// The client sent `method`: the end of a call, its heartbeat, or something else.
    pub fn saw(&self, method: &str, now_ms: u64) {
        let Some((session, step)) = method.split_once('.') else {
            return;
        };
        match step {
            "resolve" | "reject" => {
                self.calls.lock().remove(session);
            }
            "heartbeat" => {
                if let Some(seen) = self.calls.lock().get_mut(session) {
                    *seen = now_ms;
                }
            }
            _ => {}
        }
    }

    /// How many are open.
    pub fn count(&self, now_ms: u64) -> usize {
        let mut calls = self.calls.lock();
        forget_old(&mut calls, now_ms);
        calls.len()
    }
}

fn forget_old(calls: &mut HashMap<Box<str>, u64>, now_ms: u64) {
    calls.retain(|_, seen| now_ms.saturating_sub(*seen) < FORGOTTEN_AFTER_MS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_open_until_it_is_answered_or_forgotten() {
        let open = OpenCalls::default();
        open.began("a", 0);
        open.began("b", 0);
        open.saw("a.other", 10);
        open.saw("services.x.resolve", 10);
        assert_eq!(open.count(10), 2);
        open.saw("a.resolve", 20);
        assert_eq!(open.count(20), 1);
        open.saw("b.heartbeat", FORGOTTEN_AFTER_MS - 1);
        assert_eq!(open.count(FORGOTTEN_AFTER_MS + 1), 1);
        assert_eq!(open.count(3 * FORGOTTEN_AFTER_MS), 0);
    }

    #[test]
    fn a_flood_is_bounded() {
        let open = OpenCalls::default();
        for number in 0..2 * MOST {
            open.began(&number.to_string(), 0);
        }
        assert_eq!(open.count(0), MOST);
    }
}
