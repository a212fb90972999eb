//! When a session counts as started: a decision without side effects, fed with events and their times.

use std::time::Duration;

use super::startup::WaitFor;

/// How long an app that registers other services than the implied one must be quiet.
const QUIET: Duration = Duration::from_secs(2);
/// How long a loaded plain page may take to connect.
const CONNECT: Duration = Duration::from_secs(3);
/// Registered by every client for the library's own use.
const BUILT_IN: &str = "built-in";

/// What a start expects of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    pub wait: WaitFor,
    /// The default service is awaited only because nobody said anything.
    pub implied: bool,
    /// A custom HTML page or an external web app, which may have no client at all.
    pub plain_page: bool,
}

/// What is seen of a starting session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// The worker's `start` returned.
    Launched,
    /// The page has loaded.
    PageLoaded,
    ClientConnected,
    ServiceAdded(String),
    /// The worker says the work is done.
    Completed,
    ProcessExited {
        code: i32,
    },
    /// The page or the browser died.
    PageCrashed(String),
    /// An uncaught error in the page.
    PageError(String),
    /// The script of the app raised.
    ScriptFailed(String),
}

/// How a session became ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyBy {
    /// The awaited service is there.
    Service(String),
    /// The awaited connection is there.
    Client,
    /// Nothing was awaited.
    Detached,
    /// The work is done already.
    Completed,
    /// Other services than the implied one were registered, this one first.
    OtherService(String),
    /// A page that connects to nothing; like detached, with a warning.
    PlainPage,
}

/// Where the decision stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing decided; if a time is given, [`Readiness::verdict`] wants to be asked again then.
    Pending(Option<Duration>),
    Ready(ReadyBy),
    Failed(String),
}

/// The running decision for one start. Once settled it stays.
#[derive(Debug, Clone)]
pub struct Readiness {
    expected: Expectation,
    launched: bool,
    loaded_at: Option<Duration>,
    connected: bool,
    services: Vec<String>,
    /// The last time something happened that promises more to come.
    stirred_at: Duration,
    completed: bool,
    failure: Option<String>,
    settled: Option<Verdict>,
}

impl Readiness {
    pub fn new(expected: Expectation) -> Self {
        Self {
            expected,
            launched: false,
            loaded_at: None,
            connected: false,
            services: Vec::new(),
            stirred_at: Duration::ZERO,
            completed: false,
            failure: None,
            settled: None,
        }
    }

    /// The worker reports the session as running: like a plain page it may stay without a client.
    pub fn may_stay_silent(&mut self) {
        self.expected.plain_page = true;
    }

    /// Takes notice of something at the time `now` and decides again.
    pub fn see(&mut self, sighting: Sighting, now: Duration) -> Verdict {
        match sighting {
            Sighting::Launched => {
                self.launched = true;
                self.stirred_at = self.stirred_at.max(now);
                // Workers that report no load return from `start` after it.
                self.loaded_at.get_or_insert(now);
            }
            Sighting::PageLoaded => self.loaded_at = Some(now),
            Sighting::ClientConnected => self.connected = true,
            Sighting::ServiceAdded(name) => self.add_service(name, now),
            Sighting::Completed => self.completed = true,
            Sighting::ProcessExited { code: 0 } => self.completed = true,
            Sighting::ProcessExited { code } => {
                self.fail(format!("process exited with code {code}"));
            }
            Sighting::PageCrashed(cause) => self.fail(cause),
            Sighting::PageError(cause) if self.page_errors_count() => self.fail(cause),
            Sighting::PageError(_) => {}
            Sighting::ScriptFailed(cause) => self.fail(cause),
        }
        self.verdict(now)
    }

    /// The decision at the time `now`.
    pub fn verdict(&mut self, now: Duration) -> Verdict {
        if let Some(verdict) = &self.settled {
            return verdict.clone();
        }
        let verdict = self.judge(now);
        if !matches!(verdict, Verdict::Pending(_)) {
            self.settled = Some(verdict.clone());
        }
        verdict
    }

    /// Services of the session seen so far, in order.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    fn add_service(&mut self, name: String, now: Duration) {
        // Any service proves a connection, whichever notice comes first.
        self.connected = true;
        if name == BUILT_IN {
            return;
        }
        self.stirred_at = self.stirred_at.max(now);
        if !self.services.contains(&name) {
            self.services.push(name);
        }
    }

    fn fail(&mut self, cause: String) {
        self.failure.get_or_insert(cause);
    }

    /// An uncaught error means the worst only for a page that has yet to show a service.
    fn page_errors_count(&self) -> bool {
        let may_be_silent = self.expected.implied && self.expected.plain_page;
        let waits = self.expected.wait != WaitFor::Nothing;
        waits && !may_be_silent && self.services.is_empty()
    }

    fn judge(&self, now: Duration) -> Verdict {
        if let Some(cause) = &self.failure {
            return Verdict::Failed(cause.clone());
        }
        if self.completed {
            return self.judge_completed();
        }
        if !self.launched {
            return Verdict::Pending(None);
        }
        match &self.expected.wait {
            WaitFor::Nothing => Verdict::Ready(ReadyBy::Detached),
            WaitFor::Client if self.connected => Verdict::Ready(ReadyBy::Client),
            WaitFor::Client => Verdict::Pending(None),
            WaitFor::Service(name) if self.services.contains(name) => {
                Verdict::Ready(ReadyBy::Service(name.clone()))
            }
            WaitFor::Service(_) if self.expected.implied => self.judge_implied(now),
            WaitFor::Service(_) => Verdict::Pending(None),
        }
    }

    /// Work that is done satisfies everybody except who named something that can no longer come.
    fn judge_completed(&self) -> Verdict {
        match &self.expected.wait {
            WaitFor::Service(name) if self.services.contains(name) => {
                Verdict::Ready(ReadyBy::Completed)
            }
            WaitFor::Service(name) if !self.expected.implied => Verdict::Failed(format!(
                "Application completed without registering service '{name}'"
            )),
            WaitFor::Client if !self.connected => {
                Verdict::Failed("Application completed without connecting".to_owned())
            }
            _ => Verdict::Ready(ReadyBy::Completed),
        }
    }

    fn judge_implied(&self, now: Duration) -> Verdict {
        if let Some(first) = self.services.first() {
            let due = self.stirred_at + QUIET;
            return match now >= due {
                true => Verdict::Ready(ReadyBy::OtherService(first.clone())),
                false => Verdict::Pending(Some(due)),
            };
        }
        match self.loaded_at {
            Some(loaded) if self.expected.plain_page && !self.connected => {
                let due = loaded + CONNECT;
                match now >= due {
                    true => Verdict::Ready(ReadyBy::PlainPage),
                    false => Verdict::Pending(Some(due)),
                }
            }
            _ => Verdict::Pending(None),
        }
    }
}

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
