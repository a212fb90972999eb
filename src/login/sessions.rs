//! Logins under way: who has the key of one may report its outcome, or wait for it and take it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;

use super::expiring::Expiring;
use crate::map;
use crate::supervision::SharedClock;
use crate::wire::Map;

/// How long a login may take, and its outcome stay to be fetched (protocol 7).
pub const LIFETIME: Duration = Duration::from_secs(180);
/// Logins under way at the same time; a further one ends the oldest.
const MOST_SESSIONS: usize = 20_000;
/// Calls that may wait for one login.
const MOST_WAITERS: usize = 16;

/// What the program that started a login asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wish {
    /// Workspace that the token is to be for.
    pub workspace: Option<String>,
    /// Seconds that the token is to live.
    pub expires_in: Option<i64>,
}

/// The outcome of a login, with the names that clients know (workspace.md 1.8).
#[derive(Clone, Default, PartialEq)]
pub struct Profile {
    pub token: String,
    pub workspace: Option<String>,
    pub expires_in: Option<i64>,
    pub email: Option<String>,
    pub email_verified: Option<bool>,
    pub name: Option<String>,
    pub nickname: Option<String>,
    pub user_id: Option<String>,
    pub picture: Option<String>,
}

impl Profile {
    pub fn to_map(&self) -> Map {
        map! {
            "token" => self.token.as_str(),
            "workspace" => self.workspace.clone(),
            "expires_in" => self.expires_in,
            "email" => self.email.clone(),
            "email_verified" => self.email_verified,
            "name" => self.name.clone(),
            "nickname" => self.nickname.clone(),
            "user_id" => self.user_id.clone(),
            "picture" => self.picture.clone(),
        }
    }
}

/// Why a login has no outcome.
#[derive(Debug, PartialEq, Error)]
pub enum SessionError {
    #[error("Invalid key, key does not exist")]
    Unknown,
    /// The key went while somebody waited.
    #[error("Login session expired, the maximum login time is {} seconds", LIFETIME.as_secs())]
    Expired,
    #[error("This login was completed by another user already")]
    Complete,
    #[error("Too many calls wait for this login")]
    Crowded,
}

struct Session {
    wish: Wish,
    done: Option<Done>,
    changed: Arc<Notify>,
    waiters: usize,
}

struct Done {
    profile: Profile,
    /// Id of the user whose token it is.
    user: String,
    /// The connection that took it, where that one may take it again.
    taken_by: Option<String>,
}

/// See the module's text.
pub struct Sessions {
    clock: SharedClock,
    /// Whether the connection that took an outcome may ask for it again, as it may where the
    /// server keeps accounts; for everybody else a taken key is gone in any case.
    rereading: bool,
    table: Mutex<Expiring<Session>>,
}

impl Sessions {
    pub fn new(clock: SharedClock, rereading: bool) -> Self {
        Sessions {
            clock,
            rereading,
            table: Mutex::new(Expiring::new(LIFETIME, MOST_SESSIONS)),
        }
    }

    /// Begins a login; its key.
    pub fn start(&self, wish: Wish) -> String {
        let key = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
        let session = Session {
            wish,
            done: None,
            changed: Arc::new(Notify::new()),
            waiters: 0,
        };
        self.table.lock().insert(&key, session, self.clock.now());
        key
    }

    /// What the login was started for.
    ///
    /// # Errors
    /// [`SessionError::Unknown`]
    pub fn wish(&self, key: &str) -> Result<Wish, SessionError> {
        let mut table = self.table.lock();
        let session = table.get_mut(key, self.clock.now());
        let session = session.filter(|session| !session.is_taken());
        Ok(session.ok_or(SessionError::Unknown)?.wish.clone())
    }

    /// Ends a login with the outcome that `user` proved. A second report counts if it is by the
    /// same user.
    ///
    /// # Errors
    /// No such key, or complete.
    pub fn complete(&self, key: &str, user: &str, profile: Profile) -> Result<(), SessionError> {
        let now = self.clock.now();
        let mut table = self.table.lock();
        let session = table.get_mut(key, now);
        let session = session
            .filter(|session| !session.is_taken())
            .ok_or(SessionError::Unknown)?;
        if session.done.as_ref().is_some_and(|done| done.user != user) {
            return Err(SessionError::Complete);
        }
        session.done = Some(Done {
            profile,
            user: user.to_owned(),
            taken_by: None,
        });
        let changed = session.changed.clone();
        table.renew(key, now);
        drop(table);
        changed.notify_waiters();
        Ok(())
    }

    /// Takes the outcome out, for the connection `taker` if it is one. None when it is not there
    /// yet.
    ///
    /// # Errors
    /// [`SessionError::Unknown`], also when it was taken before.
    pub fn take(&self, key: &str, taker: Option<&str>) -> Result<Option<Profile>, SessionError> {
        let mut table = self.table.lock();
        let session = table.get_mut(key, self.clock.now());
        let session = session.ok_or(SessionError::Unknown)?;
        let Some(done) = &mut session.done else {
            return Ok(None);
        };
        if let Some(first) = &done.taken_by
            && taker != Some(first)
        {
            return Err(SessionError::Unknown);
        }
        let profile = done.profile.clone();
        match taker {
            Some(taker) if self.rereading => done.taken_by = Some(taker.to_owned()),
            _ => {
                table.remove(key);
            }
        }
        Ok(Some(profile))
    }

    /// Waits until the outcome is there, at most `timeout`, and takes it out. None when the time
    /// is over.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn wait(
        &self,
        key: &str,
        taker: Option<&str>,
        timeout: Duration,
    ) -> Result<Option<Profile>, SessionError> {
        let waiting = Waiting::begin(self, key)?;
        let until = self.clock.now().saturating_add(timeout);
        loop {
            let changed = waiting.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that a report in between is not missed.
            changed.as_mut().enable();
            if let Some(profile) = self.take(key, taker).map_err(gone)? {
                return Ok(Some(profile));
            }
            let now = self.clock.now();
            if now >= until {
                return Ok(None);
            }
            let expiry = self.table.lock().deadline(key).unwrap_or(now);
            let nap = self.clock.sleep(until.min(expiry).saturating_sub(now));
            tokio::select! {
                () = changed => {}
                () = nap => {}
            }
        }
    }
}

impl Session {
    fn is_taken(&self) -> bool {
        let taken_by = |done: &Done| done.taken_by.is_some();
        self.done.as_ref().is_some_and(taken_by)
    }
}

/// Somebody who waits knew the key, so it has expired or another one was faster.
fn gone(error: SessionError) -> SessionError {
    match error {
        SessionError::Unknown => SessionError::Expired,
        other => other,
    }
}

/// One call that waits for a login; counted until it is dropped.
struct Waiting<'a> {
    sessions: &'a Sessions,
    key: &'a str,
    changed: Arc<Notify>,
}

impl<'a> Waiting<'a> {
    fn begin(sessions: &'a Sessions, key: &'a str) -> Result<Self, SessionError> {
        let mut table = sessions.table.lock();
        let session = table.get_mut(key, sessions.clock.now());
        let session = session.ok_or(SessionError::Unknown)?;
        if session.waiters >= MOST_WAITERS {
            return Err(SessionError::Crowded);
        }
        session.waiters += 1;
        Ok(Waiting {
            sessions,
            key,
            changed: session.changed.clone(),
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let now = self.sessions.clock.now();
        if let Some(session) = self.sessions.table.lock().get_mut(self.key, now) {
            session.waiters -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervision::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    fn sessions(rereading: bool) -> (ManualClock, Arc<Sessions>) {
        let clock = ManualClock::new();
        let sessions = Sessions::new(clock.shared(), rereading);
        (clock, Arc::new(sessions))
    }

    fn profile(token: &str) -> Profile {
        Profile {
            token: token.into(),
            ..Profile::default()
        }
    }

    fn token(taken: Result<Option<Profile>, SessionError>) -> Option<String> {
        taken.ok().flatten().map(|profile| profile.token)
    }

    #[test]
    fn an_outcome_is_taken_once() {
        let (_, sessions) = sessions(false);
        let wish = Wish {
            workspace: Some("lab".into()),
            expires_in: Some(60),
        };
        let key = sessions.start(wish.clone());
        assert_eq!(key.len(), 32);
        assert!(matches!(sessions.take(&key, None), Ok(None)));
        assert_eq!(sessions.wish(&key), Ok(wish));
        sessions.complete(&key, "ann", profile("t")).unwrap();
        assert_eq!(token(sessions.take(&key, Some("a/1"))), Some("t".into()));
        for taker in [None, Some("a/1")] {
            assert!(sessions.take(&key, taker).is_err());
        }
        assert_eq!(sessions.wish(&key), Err(SessionError::Unknown));
        let again = sessions.complete(&key, "ann", profile("t"));
        assert_eq!(again, Err(SessionError::Unknown));
    }

    #[test]
    fn only_the_taker_may_ask_again_where_that_is_allowed() {
        let (_, sessions) = sessions(true);
        let key = sessions.start(Wish::default());
        sessions.complete(&key, "ann", profile("t")).unwrap();
        assert!(token(sessions.take(&key, Some("a/1"))).is_some());
        assert!(token(sessions.take(&key, Some("a/1"))).is_some());
        assert!(sessions.take(&key, Some("a/2")).is_err());
        assert!(sessions.take(&key, None).is_err());
        let again = sessions.complete(&key, "ann", profile("u"));
        assert_eq!(again, Err(SessionError::Unknown));
    }

    #[test]
    fn another_user_does_not_replace_an_outcome() {
        let (_, sessions) = sessions(false);
        let key = sessions.start(Wish::default());
        sessions.complete(&key, "ann", profile("t")).unwrap();
        let other = sessions.complete(&key, "eve", profile("e"));
        assert_eq!(other, Err(SessionError::Complete));
        sessions.complete(&key, "ann", profile("u")).unwrap();
        assert_eq!(token(sessions.take(&key, None)), Some("u".into()));
    }

    #[test]
    fn keys_expire_and_a_report_renews_them() {
        let (clock, sessions) = sessions(false);
        let (first, second) = (
            sessions.start(Wish::default()),
            sessions.start(Wish::default()),
        );
        clock.advance(LIFETIME - SECOND);
        sessions.complete(&second, "ann", profile("t")).unwrap();
        clock.advance(SECOND);
        assert_eq!(sessions.wish(&first), Err(SessionError::Unknown));
        clock.advance(LIFETIME - SECOND * 2);
        assert_eq!(token(sessions.take(&second, None)), Some("t".into()));
    }

    #[actix::test]
    async fn waiting_ends_with_a_report_in_time_or_at_expiry() {
        let (clock, sessions) = sessions(false);
        let wait = |key: &str, seconds: u32| {
            let (sessions, key) = (sessions.clone(), key.to_owned());
            actix::spawn(async move { sessions.wait(&key, None, SECOND * seconds).await })
        };
        let key = sessions.start(Wish::default());
        let waiting = wait(&key, 60);
        clock.wait_for_sleepers(1).await;
        sessions.complete(&key, "ann", profile("t")).unwrap();
        assert_eq!(token(waiting.await.unwrap()), Some("t".into()));

        let key = sessions.start(Wish::default());
        let waiting = wait(&key, 60);
        clock.wait_for_sleepers(1).await;
        clock.advance(SECOND * 60);
        assert!(matches!(waiting.await.unwrap(), Ok(None)));

        let waiting = wait(&key, 600);
        clock.wait_for_sleepers(1).await;
        clock.advance(LIFETIME);
        assert_eq!(waiting.await.unwrap().err(), Some(SessionError::Expired));
        assert_eq!(
            wait("nonsense", 5).await.unwrap().err(),
            Some(SessionError::Unknown)
        );
    }

    #[actix::test]
    async fn few_may_wait_for_one_login_and_leaving_makes_room() {
        let (_, sessions) = sessions(false);
        let key = sessions.start(Wish::default());
        let mut waiting: Vec<_> = (0..MOST_WAITERS)
            .map(|_| Waiting::begin(&sessions, &key).unwrap())
            .collect();
        assert!(matches!(
            Waiting::begin(&sessions, &key),
            Err(SessionError::Crowded)
        ));
        waiting.pop();
        assert!(Waiting::begin(&sessions, &key).is_ok());
    }
}
