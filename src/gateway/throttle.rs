//! A token bucket that tells how long to wait instead of refusing.

use std::time::Duration;

use crate::router::Weight;

/// What a message of light weight costs: a fiftieth, so that answers have a limit as well.
const LIGHT: f64 = 0.02;

/// See the module's text.
#[derive(Debug)]
pub struct Throttle {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Duration,
}

impl Throttle {
    /// `rate` per second after `burst` at once. A rate that is not positive lifts the limit.
    pub fn new(rate: f64, burst: f64, now: Duration) -> Self {
        Throttle {
            rate,
            burst: burst.max(1.0),
            tokens: burst.max(1.0),
            at: now,
        }
    }

    /// Counts one message; the time to wait before the next one is read, if any.
    pub fn take(&mut self, now: Duration, weight: Weight) -> Option<Duration> {
        if self.rate <= 0.0 {
            return None;
        }
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        let cost = match weight {
            Weight::Full => 1.0,
            Weight::Light => LIGHT,
        };
        self.tokens = (self.tokens + passed * self.rate).min(self.burst) - cost;
        (self.tokens < 0.0).then(|| Duration::from_secs_f64(-self.tokens / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut throttle = Throttle::new(10.0, 3.0, Duration::ZERO);
        for _ in 0..3 {
            assert_eq!(throttle.take(Duration::ZERO, Weight::Full), None);
        }
        assert_eq!(
            throttle.take(Duration::ZERO, Weight::Full),
            Some(Duration::from_millis(100))
        );
        assert_eq!(throttle.take(Duration::from_secs(10), Weight::Full), None);
    }

    #[test]
    fn answers_cost_little_but_something() {
        let mut throttle = Throttle::new(10.0, 3.0, Duration::ZERO);
        for _ in 0..149 {
            assert_eq!(throttle.take(Duration::ZERO, Weight::Light), None);
        }
        let paused = (0..2).any(|_| throttle.take(Duration::ZERO, Weight::Light).is_some());
        assert!(paused);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut throttle = Throttle::new(0.0, 1.0, Duration::ZERO);
        assert!((0..1000).all(|_| throttle.take(Duration::ZERO, Weight::Full).is_none()));
    }
}
