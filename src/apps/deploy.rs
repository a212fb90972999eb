//! Going back from a new version that does nothing but crash.
//!
//! A version is new until it has run well for a while, or is a day old. When a session of a new
//! version crashes more often than its supervisor tolerates, the version before becomes current
//! again.

use std::sync::Arc;
use std::time::Duration;

use super::host::Host;
use super::session::SessionEntry;
use crate::supervision::{Intensity, spawn_detached};

/// A version that ran for so long in one life is not to blame for what comes after.
const PROVEN_AFTER: Duration = Duration::from_secs(600);
/// A version of this age is not new, however it ran.
const NEW_FOR: Duration = Duration::from_secs(24 * 3600);

/// Whether a version was committed lately and has not shown yet that it works. Times are seconds
/// since 1970.
fn is_new(proven: bool, committed_at: f64, now: f64) -> bool {
    !proven && now - committed_at < NEW_FOR.as_secs_f64()
}

/// Whether crashes at these times are more than is tolerated in a session's life.
fn is_loop(crashes: &[f64], now: f64, tolerated: Intensity) -> bool {
    let since = now - tolerated.within.as_secs_f64();
    let recent = crashes.iter().filter(|at| **at > since).count();
    recent > tolerated.max_restarts as usize
}

impl Host {
    /// Looks at a session that has just crashed or ended: what its version has to answer for.
    pub(super) fn judge_version(&self, entry: &Arc<SessionEntry>, ran_for: f64, cause: &str) {
        let order = &entry.order;
        if order.trial || order.staged {
            return;
        }
        let proven = ran_for >= PROVEN_AFTER.as_secs_f64();
        let now = self.clock.unix();
        let loops = is_loop(&entry.crashes(), now, Intensity::default());
        let Ok(host) = self.shared() else {
            return;
        };
        if !proven && !loops {
            return;
        }
        let (entry, cause) = (entry.clone(), cause.to_owned());
        spawn_detached("judge version", async move {
            let (workspace, app) = (entry.workspace(), entry.order.app.as_str());
            let version = entry.order.version.as_str();
            let judged = if proven {
                host.store.prove(workspace, app, version).await
            } else {
                host.go_back(workspace, app, version, &cause).await
            };
            if let Err(error) = judged {
                tracing::error!(workspace, app, version, %error, "a version cannot be judged");
            }
        });
    }

    async fn go_back(
        &self,
        workspace: &str,
        app: &str,
        version: &str,
        cause: &str,
    ) -> Result<(), super::store::AppStoreError> {
        let versions = self.store.versions(workspace, app).await?;
        let now = self.clock.unix();
        let proven = self.store.is_proven(workspace, app, version).await?;
        let new = versions
            .iter()
            .any(|known| known.label == version && is_new(proven, known.created_at as f64, now));
        if !new {
            return Ok(());
        }
        let cause = format!("version {version} keeps crashing: {cause}");
        let Some(before) = self.store.retire(workspace, app, version, &cause).await? else {
            return Ok(());
        };
        self.announce_rollback(workspace, app, version, &before, &cause);
        let ended = self
            .replace_sessions(workspace, app, "its version keeps crashing")
            .await;
        if let Err(error) = ended {
            tracing::warn!(workspace, app, %error, "sessions of a failing version go on");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervision::{Clock, ManualClock};

    #[test]
    fn a_version_is_new_until_it_is_proven_or_a_day_old() {
        let clock = ManualClock::at(1_000_000.0);
        let committed = clock.unix();
        assert!(is_new(false, committed, clock.unix()));
        assert!(!is_new(true, committed, clock.unix()));
        clock.advance(NEW_FOR - Duration::from_secs(1));
        assert!(is_new(false, committed, clock.unix()));
        clock.advance(Duration::from_secs(1));
        assert!(!is_new(false, committed, clock.unix()));
    }

    #[test]
    fn only_many_crashes_in_a_short_time_are_a_loop() {
        let tolerated = Intensity::default();
        let clock = ManualClock::at(1_000_000.0);
        let mut crashes = Vec::new();
        for _ in 0..tolerated.max_restarts {
            clock.advance(Duration::from_secs(2));
            crashes.push(clock.unix());
            assert!(!is_loop(&crashes, clock.unix(), tolerated));
        }
        clock.advance(Duration::from_secs(2));
        crashes.push(clock.unix());
        assert!(is_loop(&crashes, clock.unix(), tolerated));
        // Of the same number, spread over hours, none matters.
        clock.advance(tolerated.within);
        assert!(!is_loop(&crashes, clock.unix(), tolerated));
    }
}
