//! Brakes lazy starts of apps that do not start: anybody who sees a public service may cause one,
//! and each costs a page.

use std::collections::VecDeque;
use std::time::Duration;

use dashmap::DashMap;

/// Failures after which an app is left alone for a while.
const TOLERATED: usize = 5;
/// The while.
const WITHIN: Duration = Duration::from_secs(60);

/// See the module's text. Times are those of the node's clock.
#[derive(Default)]
pub(super) struct LazyLimit {
    failures: DashMap<(String, String), VecDeque<Duration>>,
}

impl LazyLimit {
    /// Whether the app may be started now.
    pub fn allows(&self, workspace: &str, app: &str, now: Duration) -> bool {
        let key = (workspace.to_owned(), app.to_owned());
        let Some(mut failures) = self.failures.get_mut(&key) else {
            return true;
        };
        forget_old(&mut failures, now);
        let (allowed, empty) = (failures.len() < TOLERATED, failures.is_empty());
        drop(failures);
        if empty {
            self.failures.remove(&key);
        }
        allowed
    }

    /// A start failed.
    pub fn failed(&self, workspace: &str, app: &str, now: Duration) {
        let key = (workspace.to_owned(), app.to_owned());
        let mut failures = self.failures.entry(key).or_default();
        forget_old(&mut failures, now);
        failures.push_back(now);
    }

    /// A start worked, or the app changed.
    pub fn clear(&self, workspace: &str, app: &str) {
        self.failures
            .remove(&(workspace.to_owned(), app.to_owned()));
    }
}

fn forget_old(failures: &mut VecDeque<Duration>, now: Duration) {
    while failures
        .front()
        .is_some_and(|at| now.saturating_sub(*at) >= WITHIN)
    {
        failures.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervision::{Clock, ManualClock};

    #[test]
    fn an_app_that_keeps_failing_rests_for_a_minute() {
        let (limit, clock) = (LazyLimit::default(), ManualClock::new());
        for _ in 0..TOLERATED {
            assert!(limit.allows("ws", "app", clock.now()));
            limit.failed("ws", "app", clock.now());
            clock.advance(Duration::from_secs(1));
        }
        assert!(!limit.allows("ws", "app", clock.now()));
        assert!(limit.allows("other", "app", clock.now()));
        clock.advance(WITHIN);
        assert!(limit.allows("ws", "app", clock.now()));
        assert!(limit.failures.is_empty());
        limit.failed("ws", "app", clock.now());
        limit.clear("ws", "app");
        assert!(limit.failures.is_empty());
    }
}
