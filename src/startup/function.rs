//! One run of a startup function: the child process, what it tells, how it ends.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::io::AsyncRead;
use tokio::sync::oneshot;

use super::auth::RemoteAuthority;
use super::entry::{Runner, StartupEntry};
use crate::identity::{Level, Scope, UserInfo};
use crate::processes::python::Python;
use crate::processes::{Launch, Limits, Process, each_line};
use crate::supervision::ExitReason;
use crate::workspace::{Directory, PUBLIC};

const PYTHON_HOST: &str = include_str!("../../templates/startup/host.py");
const NODE_HOST: &str = include_str!("../../templates/startup/host.mjs");
/// Life of the token that a host connects with, in seconds. It is made when the process starts.
const TOKEN_S: f64 = 120.0;
/// How long a child may take to end when asked to.
const GRACE: Duration = Duration::from_secs(3);
/// The client library for Node, in the folder of browser files.
const CLIENT_MODULE: &str = "hypha-rpc/hypha-rpc-websocket.mjs";

/// What all startup functions of a node share.
pub struct Setting {
    pub directory: Arc<Directory>,
    pub python: Arc<Python>,
    /// How a child on this machine reaches the server.
    pub server_url: String,
    /// Folder of the host scripts.
    pub folder: PathBuf,
    pub assets: PathBuf,
    /// What the processes belong to.
    pub owner: String,
}

/// Whom the outcome of a first run is told.
pub(super) type FirstOutcome = Arc<Mutex<Option<oneshot::Sender<Result<(), String>>>>>;

/// A startup function that is being run.
pub(super) struct Run {
    pub setting: Arc<Setting>,
    pub entry: StartupEntry,
    pub client_id: String,
    pub first: FirstOutcome,
    /// The process, for whoever has to stop it.
    pub process: Arc<OnceLock<Process>>,
}

impl Run {
    /// Runs the function until its process is over; why it is.
    pub async fn until_over(self) -> ExitReason {
        let (outcome, told) = match self.go().await {
            Ok(ended) => {
                let text = format!("the process ended ({ended})");
                (ExitReason::Lost(text.clone()), text)
            }
            Err(reason) => (ExitReason::Error(reason.clone()), reason),
        };
        match self.first.lock().take() {
            // A first failure is the boot's; there is nothing to try again.
            Some(waiting) => {
                // The boot may have been interrupted.
                let _ = waiting.send(Err(told));
                ExitReason::Normal
            }
            None => outcome,
        }
    }

    async fn go(&self) -> Result<crate::processes::Exit, String> {
        let name = self.entry.name();
        let mut spawned = self
            .launch()
            .await?
            .spawn()
            .await
            .map_err(|error| format!("{}: {error}", self.entry.text))?;
        let process = spawned.process.clone();
        // Each run has a place of its own for its process.
        let _ = self.process.set(process.clone());
        tracing::info!(
            startup = name,
            pid = process.pid(),
            "startup function begins"
        );
        log_lines(
            &name,
            spawned
                .stdout
                .take()
                .map(tokio::process::ChildStdout::from_std),
        );
        log_lines(
            &name,
            spawned
                .stderr
                .take()
                .map(tokio::process::ChildStderr::from_std),
        );
        let control = spawned.control.take().ok_or("a host without a line")?;
        let (mut incoming, mut outgoing) = control.split();
        let order = self.order()?;
        outgoing
            .send(&order)
            .await
            .map_err(|error| error.to_string())?;
        let mut authority = None;
        while let Some(message) = incoming.next().await {
            match message["event"].as_str() {
                Some("auth") => authority = Some(self.trust(&message)),
                Some("ready") => {
                    tracing::info!(startup = name, "startup function is done");
                    if let Some(waiting) = self.first.lock().take() {
                        let _ = waiting.send(Ok(()));
                    }
                }
                Some("failed") => {
                    let traceback = message["traceback"].as_str().unwrap_or_default();
                    tracing::error!(startup = name, "startup function failed\n{traceback}");
                    process.stop(GRACE).await;
                    let error = message["error"].as_str().unwrap_or("it failed");
                    return Err(format!("{}: {error}\n{traceback}", self.entry.text));
                }
                _ => {}
            }
        }
        let ended = process.exited().await;
        drop(authority);
        Ok(ended)
    }

    async fn launch(&self) -> Result<Launch, String> {
        let entry = &self.entry;
        let (program, host, text) = match entry.runner {
            Runner::Node => (node(), "host.mjs", NODE_HOST),
            _ => (self.python().await?, "host.py", PYTHON_HOST),
        };
        let script = self.setting.folder.join(host);
        write_host(&self.setting.folder, &script, text)
            .await
            .map_err(|error| format!("cannot write {}: {error}", script.display()))?;
        // The operator's own code gets the operator's environment.
        let mut env: Vec<(String, String)> = std::env::vars().collect();
        env.push(("PYTHONUNBUFFERED".into(), "1".into()));
        // Node 20 has the WebSocket that the client needs behind a flag.
        env.push(("NODE_OPTIONS".into(), "--experimental-websocket".into()));
        let folder = std::env::current_dir().map_err(|error| error.to_string())?;
        Ok(Launch {
            program,
            args: vec![script.display().to_string()],
            env,
            folder,
            limits: Limits::default(),
            control: true,
            terminal: None,
            owner: self.setting.owner.clone(),
        })
    }

    async fn python(&self) -> Result<PathBuf, String> {
        let found = self.setting.python.with_client().await;
        found.map_err(|error| format!("{}: {error}", self.entry.text))
    }

    fn order(&self) -> Result<Json, String> {
        let setting = &self.setting;
        let root = UserInfo::root();
        let scope = Scope {
            current_workspace: Some(PUBLIC.into()),
            workspaces: vec![(crate::identity::EVERYWHERE.into(), Level::Admin)],
            client_id: Some(self.client_id.clone()),
            ..Scope::default()
        };
        let token = setting
            .directory
            .tokens
            .issue(&root, &scope, TOKEN_S)
            .map_err(|error| error.to_string())?;
        let module = std::path::absolute(setting.assets.join(CLIENT_MODULE));
        let module = module.ok().filter(|path| path.exists());
        if self.entry.runner == Runner::Node && module.is_none() {
            return Err(format!(
                "{}: the client library is not in {}; scripts/fetch-runtimes gets it",
                self.entry.text,
                setting.assets.display()
            ));
        }
        Ok(json!({
            "target": self.entry.target,
            "function": self.entry.function,
            "name": self.entry.name(),
            "server_url": setting.server_url,
            "server_id": setting.directory.router.server_id(),
            "client_id": self.client_id,
            "token": token,
            "client_module": module,
        }))
    }

    /// Lets the functions that the child announced decide about tokens.
    fn trust(&self, message: &Json) -> crate::identity::Trust {
        let functions: Vec<String> = message["functions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        tracing::info!(
            startup = self.entry.name(),
            ?functions,
            "own authentication"
        );
        let directory = &self.setting.directory;
        let address = format!("{PUBLIC}/{}", self.client_id);
        directory.tokens.trust(Arc::new(RemoteAuthority::new(
            directory.peer.clone(),
            directory.clock.clone(),
            address,
            functions,
        )))
    }
}

/// Stops the process of a run, where there is one.
pub(super) async fn stop(process: Arc<OnceLock<Process>>) {
    if let Some(process) = process.get() {
        process.stop(GRACE).await;
    }
}

async fn write_host(folder: &Path, script: &Path, text: &str) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    // Two functions may start at the same time; neither may read half of it.
    let fresh = script.with_extension(format!("{}.new", uuid::Uuid::new_v4().simple()));
    tokio::fs::write(&fresh, text).await?;
    tokio::fs::rename(&fresh, script).await
}

fn node() -> PathBuf {
    PathBuf::from("node")
}

/// Carries the output of a child into the log, line by line.
fn log_lines<R>(name: &str, output: Option<std::io::Result<R>>)
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let Some(Ok(output)) = output else {
        return;
    };
    let name = name.to_owned();
    tokio::spawn(each_line(output, move |line| {
        tracing::info!(startup = name, "{line}");
    }));
}
