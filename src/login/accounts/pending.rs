//! Accounts that were asked for and wait for the code from the email.

use std::time::Duration;

use rand::Rng;
use subtle::ConstantTimeEq;

use super::error::AccountError;
use crate::config;
use crate::login::expiring::Expiring;

/// One account that was asked for.
#[derive(Clone)]
pub struct Candidate {
    pub name: String,
    pub email: String,
    pub password_hash: String,
}

struct Entry {
    candidate: Candidate,
    code: String,
    attempts: u32,
    sent: Duration,
}

/// See the module's text. By email; a further one beyond the limit ends the oldest.
pub struct Pending {
    table: Expiring<Entry>,
    attempts: u32,
    resend_after: Duration,
}

impl Pending {
    pub fn new(settings: &config::Accounts) -> Self {
        let time = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Pending {
            table: Expiring::new(time(settings.code_lifetime), settings.max_pending),
            attempts: settings.code_attempts.max(1),
            resend_after: time(settings.resend_after),
        }
    }

    /// Refuses to send another mail to an address so soon.
    ///
    /// # Errors
    /// [`AccountError::TooSoon`]
    pub fn check_pace(&mut self, email: &str, now: Duration) -> Result<(), AccountError> {
        let Some(entry) = self.table.get_mut(email, now) else {
            return Ok(());
        };
        let next = entry.sent.saturating_add(self.resend_after);
        match next.checked_sub(now) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(AccountError::TooSoon(wait.as_secs() + 1)),
        }
    }

    /// Notes a candidate, in place of an earlier one with the same email; the code to send.
    pub fn put(&mut self, candidate: Candidate, now: Duration) -> String {
        let code = fresh_code();
        let email = candidate.email.clone();
        let entry = Entry {
            candidate,
            code: code.clone(),
            attempts: 0,
            sent: now,
        };
        self.table.insert(&email, entry, now);
        code
    }

    /// Makes a new code; the old one is void.
    ///
    /// # Errors
    /// Nobody asked with that email, or too soon.
    pub fn renew_code(&mut self, email: &str, now: Duration) -> Result<String, AccountError> {
        self.check_pace(email, now)?;
        let entry = self.table.get_mut(email, now);
        let entry = entry.ok_or(AccountError::NotPending)?;
        entry.code = fresh_code();
        entry.attempts = 0;
        entry.sent = now;
        Ok(entry.code.clone())
    }

    /// Takes the candidate out if the code is right.
    ///
    /// # Errors
    /// A wrong code; after some of them the candidate is gone.
    pub fn take(
        &mut self,
        email: &str,
        code: &str,
        now: Duration,
    ) -> Result<Candidate, AccountError> {
        let limit = self.attempts;
        let entry = self.table.get_mut(email, now);
        let entry = entry.ok_or(AccountError::NotPending)?;
        if bool::from(entry.code.as_bytes().ct_eq(code.trim().as_bytes())) {
            let taken = self.table.remove(email);
            return Ok(taken.ok_or(AccountError::NotPending)?.candidate);
        }
        entry.attempts += 1;
        match limit - entry.attempts {
            0 => {
                self.table.remove(email);
                Err(AccountError::NoAttempts)
            }
            left => Err(AccountError::WrongCode(left)),
        }
    }

    /// Forgets a candidate whose mail could not be sent.
    pub fn forget(&mut self, email: &str) {
        self.table.remove(email);
    }
}

fn fresh_code() -> String {
    format!("{:06}", rand::rng().random_range(0..1_000_000_u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pending() -> (Pending, String) {
        let mut pending = Pending::new(&config::Accounts::default());
        let candidate = Candidate {
            name: "Ann".into(),
            email: "a@b.c".into(),
            password_hash: "x".into(),
        };
        let code = pending.put(candidate, at(0));
        (pending, code)
    }

    fn wrong(code: &str) -> &'static str {
        if code == "000000" { "000001" } else { "000000" }
    }

    #[test]
    fn the_right_code_is_good_once() {
        let (mut pending, code) = pending();
        assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(pending.take("a@b.c", &code, at(1)).unwrap().name, "Ann");
        let gone = pending.take("a@b.c", &code, at(1));
        assert!(matches!(gone, Err(AccountError::NotPending)));
    }

    #[test]
    fn five_wrong_codes_end_it() {
        let (mut pending, code) = pending();
        for left in (1..5).rev() {
            let refused = pending.take("a@b.c", wrong(&code), at(1));
            assert!(matches!(refused, Err(AccountError::WrongCode(n)) if n == left));
        }
        let refused = pending.take("a@b.c", wrong(&code), at(1));
        assert!(matches!(refused, Err(AccountError::NoAttempts)));
        assert!(pending.take("a@b.c", &code, at(1)).is_err());
    }

    #[test]
    fn codes_expire_and_are_sent_again_not_too_soon() {
        let (mut pending, code) = pending();
        let early = pending.renew_code("a@b.c", at(10));
        assert!(matches!(early, Err(AccountError::TooSoon(21))));
        let again = pending.renew_code("a@b.c", at(30)).unwrap();
        if again != code {
            assert!(pending.take("a@b.c", &code, at(31)).is_err());
        }
        let late = pending.take("a@b.c", &again, at(600));
        assert!(matches!(late, Err(AccountError::NotPending)));
        let nobody = pending.renew_code("x@y.z", at(0));
        assert!(matches!(nobody, Err(AccountError::NotPending)));
    }
}
