//! How often passwords may be guessed: a few times in a row, then slowly.
//!
//! Counted per email, whether it has an account or not, so that nobody learns which ones have. It
//! lets others delay the owner's own login, but not for longer than they keep guessing.

use std::time::Duration;

use super::error::AccountError;
use crate::login::expiring::Expiring;

/// Wrong guesses in a row.
const BURST: f64 = 10.0;
/// Seconds after which one more is allowed.
const REFILL_S: f64 = 30.0;
/// Emails that are watched at the same time.
const MOST_WATCHED: usize = 20_000;

/// See the module's text.
pub struct Guesses {
    table: Expiring<Bucket>,
}

struct Bucket {
    left: f64,
    at: Duration,
}

impl Guesses {
    pub fn new() -> Self {
        // After that time a bucket is full again, as if it was never there.
        let lifetime = Duration::from_secs_f64(BURST * REFILL_S);
        Guesses {
            table: Expiring::new(lifetime, MOST_WATCHED),
        }
    }

    /// Counts a guess before it is tried, so that guesses at the same time count too.
    ///
    /// # Errors
    /// [`AccountError::Throttled`]
    pub fn count(&mut self, email: &str, now: Duration) -> Result<(), AccountError> {
        let Some(bucket) = self.table.get_mut(email, now) else {
            let fresh = Bucket {
                left: BURST - 1.0,
                at: now,
            };
            self.table.insert(email, fresh, now);
            return Ok(());
        };
        let refilled = now.saturating_sub(bucket.at).as_secs_f64() / REFILL_S;
        bucket.left = (bucket.left + refilled).min(BURST);
        bucket.at = now;
        if bucket.left < 1.0 {
            let wait = (1.0 - bucket.left) * REFILL_S;
            return Err(AccountError::Throttled(wait.ceil() as u64));
        }
        bucket.left -= 1.0;
        self.table.renew(email, now);
        Ok(())
    }

    /// The last guess was right.
    pub fn forgive(&mut self, email: &str) {
        self.table.remove(email);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn ten_guesses_then_one_every_half_minute() {
        let mut guesses = Guesses::new();
        for _ in 0..10 {
            guesses.count("a", at(0.0)).unwrap();
        }
        let refused = guesses.count("a", at(0.0)).unwrap_err();
        assert!(matches!(refused, AccountError::Throttled(30)), "{refused}");
        guesses.count("b", at(0.0)).unwrap();
        assert!(guesses.count("a", at(29.0)).is_err());
        guesses.count("a", at(30.1)).unwrap();
        assert!(guesses.count("a", at(30.1)).is_err());
        // Refused guesses do not add up: after the whole time all is forgotten.
        for _ in 0..10 {
            guesses.count("a", at(331.0)).unwrap();
        }
    }

    #[test]
    fn a_right_guess_forgives() {
        let mut guesses = Guesses::new();
        for _ in 0..50 {
            guesses.count("a", at(0.0)).unwrap();
            guesses.forgive("a");
        }
    }
}
