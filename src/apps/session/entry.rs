//! What is known of a session, shared by its actor, its app and whoever asks about it.
//!
//! It outlives the lives of the actor: a restart continues the same entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::actor::SessionActor;
use super::journal::SessionJournal;
use super::record::SessionRecord;
use crate::apps::history::{LogLine, SessionHistory};
use crate::apps::ids::SessionId;
use crate::apps::lifecycle::{SessionEvent, SessionState, transition};
use crate::apps::manifest::Manifest;
use crate::apps::startup::StartPlan;
use crate::identity::UserInfo;
use crate::map;
use crate::peer::{Callback, ErrorClass, ServiceError};
use crate::supervision::AddrSlot;
use crate::wire::{Map, Value};

/// Callers who may wait for one start at the same time.
const MOST_WAITING: usize = 500;

/// How a start ended, for everybody who waits for it.
pub type Settled = Result<Map, ServiceError>;

/// What a session is to run; the same for all its lives.
pub struct SessionOrder {
    pub id: SessionId,
    pub app: String,
    /// Label of the version whose files run.
    pub version: String,
    /// It runs the stage, whose content changes.
    pub staged: bool,
    /// The version was asked for; echoed in the record.
    pub asked_version: Option<String>,
    pub manifest: Manifest,
    pub plan: StartPlan,
    /// Whose rights the session gets.
    pub runner: Arc<UserInfo>,
    pub progress: Callback,
    pub worker_id: Option<String>,
    pub worker_mode: Option<String>,
    /// A trial before a commit: found by nobody's lookup.
    pub trial: bool,
    /// The entry page is the author's own HTML, or an external address.
    pub plain_page: bool,
}

struct Life {
    state: SessionState,
    history: SessionHistory,
    worker: Option<String>,
    /// The worker's own id of the session.
    worker_session: Option<String>,
    /// How the start ended, once that is known.
    outcome: Option<Settled>,
    waiters: Vec<oneshot::Sender<Settled>>,
}

/// See the module's text.
pub struct SessionEntry {
    pub order: SessionOrder,
    pub slot: AddrSlot<SessionActor>,
    journal: SessionJournal,
    draining: AtomicBool,
    life: Mutex<Life>,
}

impl SessionEntry {
    pub fn new(order: SessionOrder, journal: SessionJournal, now: f64) -> Arc<Self> {
        let mut history = SessionHistory::default();
        history.record(SessionState::Selecting, now, None);
        Arc::new(SessionEntry {
            order,
            journal,
            slot: AddrSlot::new(),
            draining: AtomicBool::new(false),
            life: Mutex::new(Life {
                state: SessionState::Selecting,
                history,
                worker: None,
                worker_session: None,
                outcome: None,
                waiters: Vec::new(),
            }),
        })
    }

    /// `workspace/client_id`
    pub fn id(&self) -> String {
        self.order.id.to_string()
    }

    pub fn workspace(&self) -> &str {
        self.order.id.workspace()
    }

    /// From now on lookups do not find the session; who holds its services still can call them.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether the session is on its way out: its client may still be connected, but what is
    /// asked of it now would fail half-way.
    pub fn is_leaving(&self) -> bool {
        use SessionState::{Cleanup, Failed, Stopped, Stopping};
        self.is_draining() || matches!(self.state(), Cleanup | Stopping | Failed | Stopped)
    }

    pub fn state(&self) -> SessionState {
        self.life.lock().state
    }

    /// Moves to the next state and notes it. An event without meaning in the present state
    /// changes nothing; late notices of a dying session are normal.
    pub fn advance(&self, event: SessionEvent, now: f64, cause: Option<&str>) -> SessionState {
        let mut life = self.life.lock();
        match transition(life.state, event) {
            Ok(next) => {
                if next != life.state {
                    tracing::debug!(session = %self.order.id, from = %life.state, to = %next, cause, "session");
                    life.history.record(next, now, cause);
                    life.state = next;
                    self.note(&life);
                }
            }
            Err(error) => tracing::debug!(session = %self.order.id, %error, "ignored"),
        }
        life.state
    }

    pub fn worker(&self) -> Option<String> {
        self.life.lock().worker.clone()
    }

    pub fn set_worker(&self, worker: &str) {
        let mut life = self.life.lock();
        life.worker = Some(worker.to_owned());
        life.worker_session = None;
    }

    pub fn set_worker_session(&self, session: Option<String>) {
        self.life.lock().worker_session = session;
    }

    /// The id under which the worker knows the session.
    pub fn worker_session(&self) -> String {
        let own = self.life.lock().worker_session.clone();
        own.unwrap_or_else(|| self.id())
    }

    /// Keeps the last log lines for whoever asks how it ended.
    pub fn keep_logs(&self, lines: Vec<LogLine>) {
        let mut life = self.life.lock();
        life.history.keep_logs(lines);
        self.note(&life);
    }

    /// The outcome of the start: at once if it is known, else when it is.
    ///
    /// # Errors
    /// Too many wait for it already.
    pub fn settled(&self) -> Result<oneshot::Receiver<Settled>, ServiceError> {
        let (sender, receiver) = oneshot::channel();
        let mut life = self.life.lock();
        if let Some(outcome) = &life.outcome {
            let _ = sender.send(outcome.clone());
            return Ok(receiver);
        }
        // Callers who gave up make room.
        life.waiters.retain(|waiter| !waiter.is_closed());
        if life.waiters.len() >= MOST_WAITING {
            return Err(ServiceError::new(
                ErrorClass::Busy,
                format!(
                    "App {} is starting, and {MOST_WAITING} callers wait for it already",
                    self.order.app
                ),
            ));
        }
        life.waiters.push(sender);
        Ok(receiver)
    }

    /// Tells everybody who waits how the start ended.
    pub fn settle(&self, outcome: Settled) {
        let waiters = {
            let mut life = self.life.lock();
            // What comes first counts: an end after a start does not undo it.
            life.outcome.get_or_insert_with(|| outcome.clone());
            std::mem::take(&mut life.waiters)
        };
        for waiter in waiters {
            // Callers may have given up.
            let _ = waiter.send(outcome.clone());
        }
    }

    /// A session that was started has crashed: whoever asks from now on waits for its next life.
    pub fn interrupt(&self) {
        let mut life = self.life.lock();
        if matches!(life.outcome, Some(Ok(_))) {
            life.outcome = None;
        }
    }

    /// How long ago the session came to where it stands.
    pub fn since_started(&self, now: f64) -> std::time::Duration {
        let at = self.life.lock().history.updated_at().unwrap_or(now);
        std::time::Duration::try_from_secs_f64(now - at).unwrap_or_default()
    }

    /// The record of a started session.
    pub fn record(&self) -> Option<Map> {
        self.life.lock().outcome.clone()?.ok()
    }

    /// Everything that is kept of the session.
    pub fn snapshot(&self) -> SessionRecord {
        self.snapshot_of(&self.life.lock())
    }

    fn snapshot_of(&self, life: &Life) -> SessionRecord {
        let mut fields = self.bare_record();
        let started = life
            .outcome
            .as_ref()
            .and_then(|outcome| outcome.as_ref().ok());
        if let Some(service) = started.and_then(|record| record.get("service_id")) {
            fields.insert("service_id", service.clone());
        }
        let fields = match Value::Map(fields).to_json() {
            serde_json::Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        };
        SessionRecord {
            workspace: self.workspace().to_owned(),
            client: self.order.id.client_id().to_owned(),
            app: self.order.app.clone(),
            version: self.order.version.clone(),
            fields,
            worker: life.worker.clone(),
            user: self.order.runner.effective_id().to_owned(),
            history: life.history.clone(),
        }
    }

    /// Trials come and go with their installs; nobody asks for them later.
    fn note(&self, life: &Life) {
        if !self.order.trial {
            self.journal.note(self.snapshot_of(life));
        }
    }

    /// The record with status, times, restarts and history.
    pub fn info(&self) -> Map {
        let life = self.life.lock();
        let started = life.outcome.clone().and_then(Result::ok);
        let told = self.snapshot_of(&life);
        told.told(started.unwrap_or_else(|| self.bare_record()))
    }

    /// How long its latest life ran, in seconds.
    pub fn ran_for(&self, now: f64) -> f64 {
        self.life.lock().history.ran_for(now)
    }

    /// When it crashed, in seconds since 1970, as far as that is remembered.
    pub fn crashes(&self) -> Vec<f64> {
        let life = self.life.lock();
        life.history.crashes().map(|crash| crash.at).collect()
    }

    /// The fields that are known before the session has started (server-apps.md 1.5).
    pub fn bare_record(&self) -> Map {
        let order = &self.order;
        let manifest = &order.manifest;
        let text = |key: &str| {
            manifest
                .get(key)
                .cloned()
                .map(Value::from_json)
                .unwrap_or_default()
        };
        map! {
            "id" => self.id(),
            "app_id" => order.app.as_str(),
            "workspace" => order.id.workspace(),
            "client_id" => order.id.client_id(),
            "app_type" => text("type"),
            "entry_point" => text("entry_point"),
            "name" => text("name"),
            "description" => text("description"),
            "version" => order.asked_version.clone(),
            "source_hash" => text("source_hash"),
            "daemon" => manifest.daemon(),
            "worker_managed" => manifest.worker_managed(),
            "session_id" => self.id(),
        }
    }
}
