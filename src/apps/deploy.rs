//! Going back from a new version that does nothing but crash, or that does not start.
//!
//! A version is new until it has run well for a while, or is a day old. When a session of a new
//! version crashes more often than its supervisor tolerates, or as many starts of it fail, the version
//! before becomes current again.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use super::host::Host;
use super::session::SessionEntry;
use super::startup::WaitFor;
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

/// The starts of apps that failed lately, each with its version and times.
#[derive(Default)]
pub(super) struct FailedStarts(DashMap<(String, String), (String, Vec<f64>)>);

impl FailedStarts {
    /// Notes a failure; whether there are now too many of this version.
    fn note(&self, workspace: &str, app: &str, version: &str, now: f64) -> bool {
        let key = (workspace.to_owned(), app.to_owned());
        let mut entry = self.0.entry(key).or_default();
        let (of, times) = &mut *entry;
        if of != version {
            (*of, *times) = (version.to_owned(), Vec::new());
        }
        let tolerated = Intensity::default();
        times.retain(|at| now - at < tolerated.within.as_secs_f64());
        times.push(now);
        is_loop(times, now, tolerated)
    }

    /// A start worked, or the app is no more.
    pub fn clear(&self, workspace: &str, app: &str) {
        self.0.remove(&(workspace.to_owned(), app.to_owned()));
    }
}

impl Host {
    /// A session did not start although its worker was there. Starts that were asked for in a way of
    /// their own tell nothing of the version.
    pub(super) fn judge_failed_start(&self, entry: &Arc<SessionEntry>, cause: &str) {
        let order = &entry.order;
        let usual = order
            .manifest
            .startup_config()
            .and_then(|startup| startup.plan(&order.manifest))
            .is_ok_and(|plan| {
                let wait = match &order.plan.wait {
                    WaitFor::Service(name) => order.manifest.service(name).is_some(),
                    _ => false,
                };
                order.plan.timeout >= plan.timeout && (wait || order.plan.wait == plan.wait)
            });
        let worker_there = entry
            .worker()
            .is_some_and(|worker| self.workers.get(&worker).is_some());
        if order.trial || order.staged || !usual || !worker_there || order.worker_id.is_some() {
            return;
        }
        let (workspace, app) = (entry.workspace().to_owned(), order.app.clone());
        let version = order.version.clone();
        let now = self.clock.unix();
        let (true, Ok(host)) = (
            self.failed_starts.note(&workspace, &app, &version, now),
            self.shared(),
        ) else {
            return;
        };
        let cause = format!("version {version} does not start: {cause}");
        spawn_detached("judge version", async move {
            if let Err(error) = host.go_back(&workspace, &app, &version, cause).await {
                tracing::error!(workspace, app, version, %error, "a version cannot be judged");
            }
        });
    }

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
                let cause = format!("version {version} keeps crashing: {cause}");
                host.go_back(workspace, app, version, cause).await
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
        cause: String,
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
        let Some(before) = self.store.retire(workspace, app, version, &cause).await? else {
            return Ok(());
        };
        self.announce_rollback(workspace, app, version, &before, &cause);
        let ended = self
            .replace_sessions(workspace, app, "its version fails again and again")
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
    fn failed_starts_count_for_their_version() {
        let starts = FailedStarts::default();
        let tolerated = Intensity::default().max_restarts;
        for number in 0..tolerated {
            assert!(!starts.note("ws", "app", "v1", f64::from(number)));
        }
        assert!(!starts.note("ws", "app", "v2", 10.0), "another version");
        assert!(!starts.note("ws", "other", "v1", 10.0), "another app");
        for number in 0..tolerated {
            let last = starts.note("ws", "app", "v2", 11.0 + f64::from(number));
            assert_eq!(last, number + 1 == tolerated);
        }
        starts.clear("ws", "app");
        assert!(!starts.note("ws", "app", "v2", 20.0));
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
