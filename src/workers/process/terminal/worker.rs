//! Sessions of the terminal worker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::screen::{Output, answer, awaits_input, rendered};
use super::tty::Tty;
use crate::map;
use crate::peer::{Callback, ErrorClass, ServiceError};
use crate::processes::{Exit, Launch, Process, WindowSize};
use crate::wire::Value;
use crate::workers::log_ring::LogKind;
use crate::workers::process::actor::{Adopt, GRACE};
use crate::workers::process::folder::Folder;
use crate::workers::process::python_worker::no_pictures;
use crate::workers::process::session::{ProcessSession, SessionLog, Sessions};
use crate::workers::process::settings::{ProcessSettings, environment};
use crate::workers::{LogQuery, Notice, Notices, Picture, StartOrder, Started, Worker, WorkerInfo};
use crate::workspace::PUBLIC;

/// Id of the service through which users reach the worker.
pub const SERVICE_ID: &str = "terminal-worker";
pub const NAME: &str = "Terminal Worker";
pub const DESCRIPTION: &str = "Runs shells and other programs in terminals";
const SHELL: &str = "/bin/bash";
const SIZE: WindowSize = WindowSize { rows: 24, cols: 80 };
/// Seconds a command may take when nobody says otherwise.
const COMMAND_S: f64 = 5.0;
/// A command counts as done when a prompt has stood for this long.
const QUIET: Duration = Duration::from_millis(150);
/// How long a program may take to say its first word before a command is typed all the same.
const START: Duration = Duration::from_secs(3);
/// How long earlier output may go on before a command is typed all the same.
const SETTLE: Duration = Duration::from_secs(1);

/// The program of a session and its terminal.
pub(super) struct Life {
    process: Process,
    pub tty: Tty,
    pub command: String,
}

#[derive(Default)]
pub(super) struct TerminalSession {
    log: SessionLog,
    pub output: Mutex<Output>,
    more: Notify,
    life: Mutex<Option<Arc<Life>>>,
    size: Mutex<Option<WindowSize>>,
    /// What `read_terminal` has handed out.
    pub read: Mutex<u64>,
    /// One command at a time.
    typing: tokio::sync::Mutex<()>,
}

impl TerminalSession {
    pub fn life(&self) -> Option<Arc<Life>> {
        self.life.lock().clone()
    }

    fn cols(&self) -> u16 {
        self.size.lock().unwrap_or(SIZE).cols
    }

    /// All that was shown, as text.
    fn screen(&self) -> String {
        rendered(self.output.lock().all(), self.cols())
    }

    pub fn set_size(&self, size: WindowSize) {
        *self.size.lock() = Some(size);
    }

    /// Waits until nothing was written for a moment, and `done` agrees; false when the time is
    /// over.
    async fn settle(&self, deadline: Instant, done: impl Fn(&Output) -> bool) -> bool {
        loop {
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            let quiet = Instant::now() + QUIET;
            tokio::select! {
                () = &mut more => {}
                () = tokio::time::sleep_until(quiet.min(deadline)) => {
                    if done(&self.output.lock()) {
                        return true;
                    }
                    if Instant::now() >= deadline {
                        return false;
                    }
                    // Nothing to look at before more comes.
                    tokio::select! {
                        () = more => {}
                        () = tokio::time::sleep_until(deadline) => return false,
                    }
                }
            }
        }
    }
}

impl ProcessSession for TerminalSession {
    fn process(&self) -> Option<Process> {
        Some(self.life()?.process.clone())
    }
}

/// See the module's text.
pub struct TerminalWorker {
    info: WorkerInfo,
    settings: Arc<ProcessSettings>,
    pub(super) sessions: Sessions<TerminalSession>,
}

impl TerminalWorker {
    pub fn new(server_id: &str, settings: Arc<ProcessSettings>) -> Self {
        TerminalWorker {
            info: WorkerInfo {
                id: format!("{PUBLIC}/{server_id}:{SERVICE_ID}"),
                name: NAME.into(),
                description: DESCRIPTION.into(),
                supported_types: vec!["terminal".into()],
                workspace: PUBLIC.into(),
                client: None,
            },
            settings,
            sessions: Sessions::new("Terminal"),
        }
    }

    /// The program of a session that is running.
    pub(super) fn alive(
        &self,
        id: &str,
    ) -> Result<(Arc<TerminalSession>, Arc<Life>), ServiceError> {
        let session = self.sessions.get(id)?;
        let life = session.life().filter(|life| life.process.is_alive());
        let life = life.ok_or_else(|| {
            worker_error(format!("Terminal process for session {id} is not alive"))
        })?;
        Ok((session, life))
    }

    fn launch(&self, order: &StartOrder, words: &[String], folder: &Folder) -> Launch {
        let mut env = environment(order);
        env.push(("TERM".into(), "xterm-256color".into()));
        // A shell that reads the server's own start files would do who knows what.
        env.retain(|(name, _)| name != "HOME");
        env.push(("HOME".into(), folder.path().display().to_string()));
        Launch {
            program: words.first().cloned().unwrap_or_default().into(),
            args: words.iter().skip(1).cloned().collect(),
            env,
            folder: folder.path().to_owned(),
            limits: self.settings.limits_of(order),
            control: false,
            terminal: Some(SIZE),
            owner: self.settings.owner.clone(),
        }
    }
}

fn worker_error(text: impl Into<String>) -> ServiceError {
    ServiceError::new(ErrorClass::Named("WorkerError"), text)
}

/// The program that a manifest names, in words.
fn startup_command(order: &StartOrder) -> Result<Option<Vec<String>>, ServiceError> {
    let wrong = || ServiceError::value("startup_command must be a text or a list of texts");
    let words: Vec<String> = match order.manifest.get("startup_command") {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::String(text)) => {
            // A shell takes it apart, and then is that program.
            let line = format!("exec {text}");
            vec!["/bin/sh".into(), "-c".into(), line]
        }
        Some(Json::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong()),
    };
    if words.is_empty() {
        return Err(wrong());
    }
    Ok(Some(words))
}

/// Carries the output of a terminal to its session until the program is over.
async fn pump(
    session: Arc<TerminalSession>,
    life: Arc<Life>,
    notices: Notices,
    folder: Folder,
) -> Exit {
    let mut buffer = vec![0; 8 << 10];
    loop {
        let read = tokio::select! {
            read = life.tty.read(&mut buffer) => read,
            _ = life.process.exited() => 0,
        };
        if read == 0 {
            break;
        }
        session.output.lock().push(&buffer[..read]);
        session.more.notify_waiters();
    }
    let exit = life.process.exited().await;
    session
        .log
        .push(LogKind::Info, format!("Terminal session ended with {exit}"));
    let (code, cause) = match exit {
        Exit::Code(code) => (code, exit.to_string()),
        _ => (-1, exit.to_string()),
    };
    // The session may be over already.
    let _ = notices.send(Notice::Exited {
        code,
        cause: format!("the terminal's program ended with {cause}"),
    });
    drop(folder);
    exit
}

#[async_trait]
impl Worker for TerminalWorker {
    fn info(&self) -> &WorkerInfo {
        &self.info
    }

    async fn start(&self, order: StartOrder, notices: Notices) -> Result<Started, ServiceError> {
        self.sessions.make_room(self.settings.max_sessions)?;
        let named = startup_command(&order)?;
        let folder = Folder::fill(&self.settings.data_dir, &self.settings.store, &order).await?;
        let script = folder.path().join(&order.entry_point);
        // A shell runs the script of its app first.
        let runs_script = named.is_none() && !order.entry_point.is_empty() && script.is_file();
        let words = named.unwrap_or_else(|| vec![SHELL.into()]);
        let spawned = self
            .launch(&order, &words, &folder)
            .spawn()
            .await
            .map_err(|error| worker_error(format!("Failed to spawn terminal process: {error}")))?;
        let tty = spawned
            .terminal
            .map(Tty::new)
            .transpose()
            .ok()
            .flatten()
            .ok_or_else(|| worker_error("Failed to spawn terminal process: no terminal"))?;
        let session = self
            .sessions
            .enter(&order.session, TerminalSession::default);
        let shown = order.manifest.get("startup_command").and_then(Json::as_str);
        let command = shown.map_or_else(|| words.join(" "), str::to_owned);
        session.log.push(
            LogKind::Info,
            format!("Terminal session started with command: {command}"),
        );
        let life = Arc::new(Life {
            process: spawned.process.clone(),
            tty,
            command,
        });
        *session.life.lock() = Some(life.clone());
        let adopt = Adopt {
            session: order.session.clone(),
            process: spawned.process,
            work: Box::pin(pump(session.clone(), life.clone(), notices, folder)),
        };
        self.settings
            .processes
            .send(adopt)
            .await
            .map_err(|_| ServiceError::runtime("the supervisor of processes is restarting"))?;
        if runs_script {
            let line = format!("source '{}'\n", order.entry_point.replace('\'', "'\\''"));
            life.tty
                .write(line.as_bytes())
                .await
                .map_err(|error| worker_error(error.to_string()))?;
        }
        Ok(Started {
            running: true,
            ..Started::default()
        })
    }

    async fn stop(&self, session: &str) -> Result<(), ServiceError> {
        let Ok(found) = self.sessions.get(session) else {
            return Ok(());
        };
        let life = found.life.lock().take();
        if let Some(life) = life {
            // What an interactive shell takes as the end of its terminal.
            life.process.signal(libc::SIGHUP);
            life.process.stop(GRACE).await;
        }
        self.sessions.remember(session);
        Ok(())
    }

    /// The kind `screen` is the text on the screen instead of a list.
    async fn logs(&self, session: &str, query: &LogQuery) -> Result<Value, ServiceError> {
        let session = self.sessions.get(session)?;
        if query.kind.as_deref() == Some("screen") {
            return Ok(session.screen().into());
        }
        Ok(session.log.page(query))
    }

    async fn execute(
        &self,
        id: &str,
        script: &str,
        config: Value,
        progress: Option<Callback>,
    ) -> Result<Value, ServiceError> {
        let (session, life) = self.alive(id)?;
        let _one_at_a_time = session.typing.lock().await;
        if let Some(progress) = &progress {
            let message =
                map! { "type" => "info", "message" => "Executing command in terminal..." };
            progress(vec![Value::Map(message)]);
        }
        let seconds = config.get("timeout").and_then(Value::as_f64);
        let seconds = seconds.filter(|given| *given > 0.0).unwrap_or(COMMAND_S);
        let limit = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(3600));
        let silent = session.output.lock().total() == 0;
        let settled = Instant::now() + if silent { START } else { SETTLE };
        session.settle(settled, |output| output.total() > 0).await;
        let from = session.output.lock().total();
        let line = format!("{}\n", script.trim_end_matches('\n'));
        life.tty
            .write(line.as_bytes())
            .await
            .map_err(|error| worker_error(error.to_string()))?;
        let cols = session.cols();
        session
            .settle(Instant::now() + limit, |output| {
                let shown = rendered(output.since(from), cols);
                shown.lines().count() > 1 && awaits_input(&shown)
            })
            .await;
        let raw = session.output.lock().since(from).to_vec();
        let text = match config.get("raw_output").is_some_and(Value::truthy) {
            true => String::from_utf8_lossy(&raw).into_owned(),
            false => answer(&rendered(&raw, cols), script),
        };
        let output = map! { "type" => "stream", "name" => "stdout", "text" => text };
        Ok(Value::Map(map! {
            "status" => "ok",
            "outputs" => vec![Value::Map(output)],
            "error" => Value::Nil,
        }))
    }

    async fn screenshot(&self, _session: &str, _picture: &Picture) -> Result<Value, ServiceError> {
        Err(no_pictures())
    }
}
