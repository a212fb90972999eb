//! What process sessions have in common: a log, a process, and a table that remembers some of
//! those that are over.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::map;
use crate::peer::ServiceError;
use crate::processes::Process;
use crate::wire::Value;
use crate::workers::LogQuery;
use crate::workers::log_ring::{LogKind, LogLine, LogRing};

/// Logs of ended sessions that are kept.
const KEPT: usize = 100;

/// The log of a session, which continues over restarts.
#[derive(Clone, Default)]
pub struct SessionLog(Arc<Mutex<LogRing>>);

impl SessionLog {
    pub fn push(&self, kind: LogKind, text: impl Into<String>) {
        let ts = SystemTime::now().duration_since(UNIX_EPOCH);
        self.0.lock().push(LogLine {
            kind,
            level: match kind {
                LogKind::Stderr | LogKind::Error => "error".into(),
                _ => "info".into(),
            },
            text: text.into(),
            source: "process".into(),
            ts: ts.map_or(0.0, |since| since.as_secs_f64()),
        });
    }

    /// The last lines that the process wrote to its standard error, for a cause of death.
    pub fn last_words(&self) -> String {
        let page = self.0.lock().page(Some(LogKind::Stderr.as_str()), 0, None);
        let lines: Vec<_> = page.items.iter().map(|entry| entry.content()).collect();
        let last = lines.iter().rev().find(|line| !line.trim().is_empty());
        last.cloned().unwrap_or_default()
    }

    /// As `get_logs` returns it (server-apps.md 4.1).
    pub fn page(&self, query: &LogQuery) -> Value {
        let page = self
            .0
            .lock()
            .page(query.kind.as_deref(), query.offset, query.limit);
        let items: Vec<Value> = page
            .items
            .iter()
            .map(|entry| {
                Value::Map(map! {
                    "type" => entry.line.kind.as_str(),
                    "content" => entry.content(),
                    "level" => entry.line.level.as_str(),
                    "ts" => entry.line.ts,
                    "seq" => entry.seq as i64,
                })
            })
            .collect();
        Value::Map(map! {
            "items" => items,
            "total" => page.total,
            "offset" => query.offset,
            "limit" => query.limit,
        })
    }
}

/// What a worker keeps of each of its sessions.
pub trait ProcessSession: Send + Sync {
    /// The process while there is one.
    fn process(&self) -> Option<Process>;

    /// Whether it may be ended to make room for another.
    fn is_idle(&self) -> bool {
        false
    }
}

/// The sessions of one worker by id.
pub struct Sessions<S> {
    what: &'static str,
    entries: DashMap<String, Arc<S>>,
    /// Ended sessions, oldest first.
    ended: Mutex<VecDeque<String>>,
}

impl<S: ProcessSession> Sessions<S> {
    /// No sessions yet; `what` they are, for errors: "Terminal".
    pub fn new(what: &'static str) -> Self {
        Sessions {
            what,
            entries: DashMap::new(),
            ended: Mutex::default(),
        }
    }

    /// A session.
    ///
    /// # Errors
    /// It is not known here.
    pub fn get(&self, id: &str) -> Result<Arc<S>, ServiceError> {
        let found = self.entries.get(id).map(|session| session.clone());
        found.ok_or_else(|| ServiceError::key(format!("{} session {id} not found", self.what)))
    }

    /// A session that is there or made now.
    pub fn enter(&self, id: &str, make: impl FnOnce() -> S) -> Arc<S> {
        self.entries
            .entry(id.to_owned())
            .or_insert_with(|| Arc::new(make()))
            .clone()
    }

    /// All sessions with their ids, sorted.
    pub fn all(&self) -> Vec<(String, Arc<S>)> {
        let mut all: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (entry.key().clone(), entry.value().clone()))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Makes sure that one more process may run, ending an idle one if need be.
    ///
    /// # Errors
    /// All places are taken.
    pub fn make_room(&self, most: usize) -> Result<(), ServiceError> {
        let living: Vec<_> = self
            .all()
            .into_iter()
            .filter(|(_, session)| session.process().is_some_and(|process| process.is_alive()))
            .collect();
        if living.len() < most {
            return Ok(());
        }
        let idle = living.iter().find(|(_, session)| session.is_idle());
        match idle.and_then(|(_, session)| session.process()) {
            Some(process) => {
                process.signal(libc::SIGKILL);
                Ok(())
            }
            None => Err(ServiceError::runtime(format!(
                "Maximum concurrent sessions ({most}) reached. Stop unused sessions before \
                 creating new ones."
            ))),
        }
    }

    /// Notes that a session is over; its log is kept for a while.
    pub fn remember(&self, id: &str) {
        let mut ended = self.ended.lock();
        ended.retain(|known| known != id);
        ended.push_back(id.to_owned());
        if ended.len() > KEPT
            && let Some(oldest) = ended.pop_front()
        {
            self.entries.remove_if(&oldest, |_, session| {
                !session.process().is_some_and(|process| process.is_alive())
            });
        }
    }
}
