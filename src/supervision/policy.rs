//! The restart policy: a small state machine without clock, dice or actors of its own.

use std::collections::VecDeque;
use std::time::Duration;

use super::exit::ExitReason;

/// Which ends lead to a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// All of them.
    #[default]
    Permanent,
    /// Only faults.
    Transient,
    /// None.
    Temporary,
}

/// How long to wait before a restart: doubling from `base` to `max`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first wait.
    pub base: Duration,
    /// No wait is longer.
    pub max: Duration,
    /// Each wait is spread by this fraction to either side (0 to 1), so that children
    /// that died together do not come back together.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            max: Duration::from_secs(60),
            jitter: 0.2,
        }
    }
}

impl Backoff {
    /// The wait after `streak` restarts in a row; `roll` in 0..1 is the throw of the dice.
    pub fn delay(&self, streak: u32, roll: f64) -> Duration {
        let doubled = self.base.as_secs_f64() * 2f64.powi(streak.min(64) as i32);
        self.spread(doubled.min(self.max.as_secs_f64()), roll)
    }

    /// The longest wait, spread as well.
    fn at_cap(&self, roll: f64) -> Duration {
        self.spread(self.max.as_secs_f64(), roll)
    }

    fn spread(&self, secs: f64, roll: f64) -> Duration {
        let swing = self.jitter.clamp(0.0, 1.0) * (2.0 * roll.clamp(0.0, 1.0) - 1.0);
        Duration::try_from_secs_f64(secs * (1.0 + swing))
            .unwrap_or(self.max)
            .min(self.max)
    }
}

/// How many restarts are tolerated in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts allowed inside the window.
    pub max_restarts: u32,
    /// The window. A child that was up for as long starts its backoff anew.
    pub within: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self {
            max_restarts: 5,
            within: Duration::from_secs(600),
        }
    }
}

/// What happens when the intensity is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExhausted {
    /// The child is failed; its parent is told and decides.
    #[default]
    GiveUp,
    /// It is tried again and again, at the longest backoff.
    KeepTrying,
    /// The parent stops its children and exits with an error itself.
    Escalate,
}

/// All that decides about the restart of one child.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Policy {
    /// Which ends lead to a restart.
    pub restart: Restart,
    /// How long to wait first.
    pub backoff: Backoff,
    /// How often in which time.
    pub intensity: Intensity,
    /// What comes after that.
    pub on_exhausted: OnExhausted,
}

/// The answer to one exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Start it again after this time.
    Restart {
        /// The wait.
        after: Duration,
    },
    /// It is over, as its restart type says.
    Done,
    /// It is over although its restart type says otherwise.
    Failed,
    /// As `Failed`, and the parent goes too.
    Escalate,
}

/// The restart history of one child.
#[derive(Debug, Clone, Default)]
pub struct RestartState {
    streak: u32,
    up_since: Option<Duration>,
    /// Times of the restarts inside the window, oldest first.
    recent: VecDeque<Duration>,
}

impl RestartState {
    /// Notes that the child was started at `now`.
    pub fn started(&mut self, now: Duration) {
        self.up_since = Some(now);
    }

    /// Decides about a child that ended at `now`; `roll` in 0..1 feeds the jitter.
    pub fn decide(
        &mut self,
        policy: &Policy,
        reason: &ExitReason,
        now: Duration,
        roll: f64,
    ) -> Decision {
        let wanted = match policy.restart {
            Restart::Permanent => true,
            Restart::Transient => reason.is_fault(),
            Restart::Temporary => false,
        };
        if !wanted {
            return Decision::Done;
        }
        self.forget_old(&policy.intensity, now);
        if self.recent.len() < policy.intensity.max_restarts as usize {
            let after = policy.backoff.delay(self.streak, roll);
            self.streak = self.streak.saturating_add(1);
            self.recent.push_back(now);
            return Decision::Restart { after };
        }
        match policy.on_exhausted {
            OnExhausted::GiveUp => Decision::Failed,
            OnExhausted::Escalate => Decision::Escalate,
            OnExhausted::KeepTrying => {
                // Replaces the oldest entry: the history stays as long as the limit.
                self.recent.pop_front();
                if policy.intensity.max_restarts > 0 {
                    self.recent.push_back(now);
                }
                let after = policy.backoff.at_cap(roll);
                Decision::Restart { after }
            }
        }
    }

    fn forget_old(&mut self, intensity: &Intensity, now: Duration) {
        let within = intensity.within;
        let up_for = self.up_since.map(|since| now.saturating_sub(since));
        if up_for.is_some_and(|up| up >= within) {
            self.streak = 0;
        }
        self.recent.retain(|at| now.saturating_sub(*at) < within);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIDDLE: f64 = 0.5;

    fn secs(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    fn fault() -> ExitReason {
        ExitReason::Panic("boom".into())
    }

    fn policy(restart: Restart, on_exhausted: OnExhausted) -> Policy {
        Policy {
            restart,
            on_exhausted,
            ..Policy::default()
        }
    }

    #[test]
    fn restart_types_decide_which_ends_count() {
        use Restart::*;
        let table = [
            (Permanent, ExitReason::Normal, true),
            (Permanent, ExitReason::Shutdown, true),
            (Permanent, fault(), true),
            (Transient, ExitReason::Normal, false),
            (Transient, ExitReason::Shutdown, false),
            (Transient, ExitReason::Error("e".into()), true),
            (Transient, ExitReason::Killed, true),
            (Transient, ExitReason::Lost("l".into()), true),
            (Temporary, ExitReason::Normal, false),
            (Temporary, fault(), false),
        ];
        for (restart, reason, restarted) in table {
            let decision = RestartState::default().decide(
                &policy(restart, OnExhausted::GiveUp),
                &reason,
                Duration::ZERO,
                MIDDLE,
            );
            let expected = if restarted {
                Decision::Restart { after: secs(0.5) }
            } else {
                Decision::Done
            };
            assert_eq!(decision, expected, "{restart:?} after {reason}");
        }
    }

    #[test]
    fn the_backoff_doubles_up_to_its_cap_and_is_spread() {
        let backoff = Backoff::default();
        let table = [
            (0, 0.5, 0.5),
            (1, 0.5, 1.0),
            (6, 0.5, 32.0),
            (7, 0.5, 60.0),
            (4_000_000, 0.5, 60.0),
            (0, 0.0, 0.4),
            (0, 1.0, 0.6),
            (9, 1.0, 60.0),
            (9, 0.0, 48.0),
        ];
        for (streak, roll, expected) in table {
            assert_eq!(backoff.delay(streak, roll), secs(expected), "{streak}");
        }
    }

    #[test]
    fn a_used_up_intensity_ends_as_the_spec_says() {
        let table = [
            (OnExhausted::GiveUp, Decision::Failed),
            (OnExhausted::Escalate, Decision::Escalate),
            (
                OnExhausted::KeepTrying,
                Decision::Restart { after: secs(60.0) },
            ),
        ];
        for (on_exhausted, expected) in table {
            let policy = policy(Restart::Permanent, on_exhausted);
            let mut state = RestartState::default();
            for n in 0..5 {
                let decision = state.decide(&policy, &fault(), secs(f64::from(n)), MIDDLE);
                assert!(matches!(decision, Decision::Restart { .. }));
            }
            for n in 5..20 {
                let decision = state.decide(&policy, &fault(), secs(f64::from(n)), MIDDLE);
                assert_eq!(decision, expected);
            }
            assert_eq!(state.recent.len(), 5);
        }
    }

    #[test]
    fn the_streak_starts_anew_only_after_a_whole_window_up() {
        let policy = policy(Restart::Permanent, OnExhausted::GiveUp);
        for (up, expected) in [(599.0, 1.0), (600.0, 0.5)] {
            let mut state = RestartState::default();
            state.started(Duration::ZERO);
            state.decide(&policy, &fault(), Duration::ZERO, MIDDLE);
            state.started(secs(1.0));
            let decision = state.decide(&policy, &fault(), secs(1.0 + up), MIDDLE);
            let after = secs(expected);
            assert_eq!(decision, Decision::Restart { after });
        }
    }

    proptest! {
        #[test]
        fn delays_stay_in_bounds_and_the_intensity_is_never_exceeded(
            base_ms in 1_u64..5_000,
            max_ms in 1_u64..100_000,
            jitter in 0.0_f64..1.0,
            max_restarts in 0_u32..8,
            within_ms in 1_u64..60_000,
            steps in prop::collection::vec((0_u64..20_000, 0_u64..20_000, 0.0_f64..1.0), 1..80),
        ) {
            let max = Duration::from_millis(max_ms);
            let within = Duration::from_millis(within_ms);
            let policy = Policy {
                restart: Restart::Permanent,
                backoff: Backoff { base: Duration::from_millis(base_ms), max, jitter },
                intensity: Intensity { max_restarts, within },
                on_exhausted: OnExhausted::GiveUp,
            };
            let floor = policy.backoff.base.min(max).mul_f64(1.0 - jitter);
            let mut state = RestartState::default();
            let mut now = Duration::ZERO;
            let mut restarts: Vec<Duration> = Vec::new();
            for (rest, up, roll) in steps {
                now += Duration::from_millis(rest);
                state.started(now);
                now += Duration::from_millis(up);
                match state.decide(&policy, &fault(), now, roll) {
                    Decision::Restart { after } => {
                        prop_assert!(after <= max);
                        prop_assert!(after + Duration::from_micros(1) >= floor);
                        restarts.push(now);
                    }
                    decision => prop_assert_eq!(decision, Decision::Failed),
                }
                let inside = restarts.iter().filter(|at| now - **at < within).count();
                prop_assert!(inside <= max_restarts as usize);
            }
        }
    }
}
