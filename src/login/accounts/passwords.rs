//! Hashing passwords with argon2id: slow on purpose, so beside the threads that serve, and few at
//! a time.

use argon2::Argon2;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::error::AccountError;

/// Hashes made at the same time; each takes 19 MiB.
const AT_ONCE: usize = 2;
/// Calls that may wait for their turn.
const MOST_WAITING: usize = 64;
/// What a guess is compared with where there is no account, so that it takes as long.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                     $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// See the module's text.
pub struct Passwords {
    queue: Semaphore,
    turns: Semaphore,
}

impl Passwords {
    pub fn new() -> Self {
        Passwords {
            queue: Semaphore::new(AT_ONCE + MOST_WAITING),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// # Errors
    /// Too many wait already.
    pub async fn hash(&self, password: &str) -> Result<String, AccountError> {
        let password = password.to_owned();
        self.run(move || {
            Ok(Argon2::default()
                .hash_password(password.as_bytes())?
                .to_string())
        })
        .await
    }

    /// Whether a password is the one of a hash; false without a hash.
    ///
    /// # Errors
    /// Too many wait already, or the hash is none.
    pub async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool, AccountError> {
        let password = password.to_owned();
        self.run(move || {
            let known = hash.is_some();
            let hash = hash.as_deref().unwrap_or(DECOY);
            match Argon2::default().verify_password(password.as_bytes(), hash) {
                Ok(()) => Ok(known),
                Err(password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, password_hash::Error> + Send + 'static,
    ) -> Result<R, AccountError> {
        let _place = self.queue.try_acquire().map_err(|_| AccountError::Busy)?;
        let turn = self.turns.acquire().await;
        let _turn = turn.map_err(|_| AccountError::Busy)?;
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                tracing::error!(%error, "a password could not be hashed");
                Err(AccountError::Internal)
            }
            Err(error) => {
                tracing::error!(%error, "hashing a password ended");
                Err(AccountError::Internal)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn a_hash_fits_its_password_alone() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert_ne!(hash, passwords.hash("correct horse").await.unwrap());
        assert!(
            passwords
                .verify("correct horse", Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(!passwords.verify("Correct horse", Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse", None).await.unwrap());
        assert!(
            passwords
                .verify("x", Some("nonsense".into()))
                .await
                .is_err()
        );
    }

    #[actix::test]
    async fn a_crowd_is_turned_away() {
        let passwords = Passwords::new();
        let _taken = passwords
            .queue
            .try_acquire_many((AT_ONCE + MOST_WAITING) as u32)
            .unwrap();
        let refused = passwords.hash("x").await.unwrap_err();
        assert!(matches!(refused, AccountError::Busy));
    }
}
