//! The built-in worker for Python apps.
//!
//! `python-eval` runs its script with the server's interpreter, `python` in an environment of its
//! requirements, the conda types in one that conda makes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::actor::{Adopt, GRACE};
use super::environments::{Environments, Wanted, conda};
use super::folder::Folder;
use super::interpreter::{DRIVER, Interpreter};
use super::session::{ProcessSession, SessionLog, Sessions};
use super::settings::{ProcessSettings, environment};
use crate::apps::files::AppFile;
use crate::map;
use crate::peer::{Callback, ErrorClass, ServiceError};
use crate::processes::{Launch, Process};
use crate::wire::Value;
use crate::workers::{LogQuery, Notices, Picture, StartOrder, Started, Worker, WorkerInfo};
use crate::workspace::PUBLIC;

/// Id of the service through which users reach the worker.
pub const SERVICE_ID: &str = "python-worker";
pub const NAME: &str = "Python Worker";
pub const DESCRIPTION: &str = "Runs Python apps in processes of the server's machine";
const TYPES: [&str; 4] = ["python-eval", "python", "conda", "conda-jupyter-kernel"];
/// Seconds a script may take when nobody says otherwise.
const SCRIPT_S: f64 = 30.0;
/// Longest time a caller may ask for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Whether conda makes the environments of apps of this type.
pub fn is_conda(app_type: &str) -> bool {
    matches!(app_type, "conda" | "conda-jupyter-kernel")
}

#[derive(Default)]
struct PythonSession {
    log: SessionLog,
    interpreter: Mutex<Option<Arc<Interpreter>>>,
}

impl PythonSession {
    fn interpreter(&self) -> Option<Arc<Interpreter>> {
        self.interpreter.lock().clone()
    }
}

impl ProcessSession for PythonSession {
    fn process(&self) -> Option<Process> {
        Some(self.interpreter()?.process.clone())
    }

    fn is_idle(&self) -> bool {
        self.interpreter()
            .is_some_and(|interpreter| interpreter.is_idle())
    }
}

/// See the module's text.
pub struct PythonWorker {
    info: WorkerInfo,
    settings: Arc<ProcessSettings>,
    environments: Environments,
    sessions: Sessions<PythonSession>,
}

impl PythonWorker {
    pub fn new(server_id: &str, settings: Arc<ProcessSettings>) -> Self {
        Folder::sweep(&settings.data_dir);
        PythonWorker {
            info: WorkerInfo {
                id: format!("{PUBLIC}/{server_id}:{SERVICE_ID}"),
                name: NAME.into(),
                description: DESCRIPTION.into(),
                supported_types: TYPES.map(str::to_owned).to_vec(),
                workspace: PUBLIC.into(),
                client: None,
            },
            environments: Environments::new(settings.clone()),
            settings,
            sessions: Sessions::new("Python"),
        }
    }

    /// The interpreter for an app, after its environment was built if need be.
    async fn program(
        &self,
        app_type: &str,
        manifest: &JsonMap<String, Json>,
        progress: Option<&Callback>,
    ) -> Result<std::path::PathBuf, ServiceError> {
        let wanted = match app_type {
            "python-eval" => Wanted::default(),
            _ => Wanted::of(app_type, manifest)
                .map_err(|error| ServiceError::value(error.to_string()))?,
        };
        let tell = |message: &str| {
            if let Some(progress) = progress {
                let message = map! { "type" => "info", "message" => message };
                progress(vec![Value::Map(message)]);
            }
        };
        let found = self.environments.interpreter(&wanted, tell).await;
        found.map_err(|error| ServiceError::runtime(error.to_string()))
    }

    async fn launch(&self, order: &StartOrder, folder: &Folder) -> Result<Launch, ServiceError> {
        let progress = Some(&order.progress);
        let program = self
            .program(&order.app_type, &order.manifest, progress)
            .await?;
        let driver = folder.path().join(".driver.py");
        tokio::fs::write(&driver, DRIVER)
            .await
            .map_err(|error| ServiceError::runtime(format!("{}: {error}", driver.display())))?;
        let mut env = environment(order);
        env.push(("PYTHONUNBUFFERED".into(), "1".into()));
        // Figures are shown as pictures; there is no screen.
        env.push(("MPLBACKEND".into(), "Agg".into()));
        Ok(Launch {
            program,
            args: vec![driver.display().to_string()],
            env,
            folder: folder.path().to_owned(),
            limits: self.settings.limits_of(order),
            control: true,
            terminal: None,
            owner: self.settings.owner.clone(),
        })
    }
}

/// The file to run: the one the manifest names, else what sources without a name become.
fn entry_file(order: &StartOrder, folder: &Folder) -> Result<String, ServiceError> {
    let named = (!order.entry_point.is_empty()).then_some(order.entry_point.as_str());
    let usual = ["main.py", "source"];
    named
        .into_iter()
        .chain(usual)
        .map(|file| folder.path().join(file))
        .find(|path| path.is_file())
        .map(|path| path.display().to_string())
        .ok_or_else(|| {
            ServiceError::value(format!(
                "the app has no file {}",
                named.unwrap_or("main.py; name one as its entry_point")
            ))
        })
}

#[async_trait]
impl Worker for PythonWorker {
    fn info(&self) -> &WorkerInfo {
        &self.info
    }

    /// Builds the environment, so that what is wrong with it is told at the install.
    async fn compile(
        &self,
        manifest: JsonMap<String, Json>,
        files: Vec<AppFile>,
    ) -> Result<(JsonMap<String, Json>, Vec<AppFile>), ServiceError> {
        let app_type = manifest
            .get("type")
            .and_then(Json::as_str)
            .unwrap_or_default();
        if is_conda(app_type) && conda().is_none() {
            let missing = super::environments::EnvironmentError::NoConda;
            return Err(ServiceError::runtime(missing.to_string()));
        }
        self.program(app_type, &manifest, None).await?;
        Ok((manifest, files))
    }

    async fn start(&self, order: StartOrder, notices: Notices) -> Result<Started, ServiceError> {
        self.sessions.make_room(self.settings.max_sessions)?;
        let session = self.sessions.enter(&order.session, PythonSession::default);
        let folder = Folder::fill(&self.settings.data_dir, &self.settings.store, &order).await?;
        let entry = entry_file(&order, &folder)?;
        let launch = self.launch(&order, &folder).await?;
        let spawned = launch
            .spawn()
            .await
            .map_err(|error| ServiceError::runtime(format!("Python cannot be run: {error}")))?;
        let linger = self.settings.linger.as_secs_f64();
        let name = order.manifest.get("name").and_then(Json::as_str);
        let command = json!({
            "entry": entry,
            "linger": linger,
            "name": name.unwrap_or(&order.app_id),
        });
        let made = Interpreter::new(spawned, command, session.log.clone(), notices, folder);
        let (interpreter, pump) =
            made.ok_or_else(|| ServiceError::runtime("the process has no line to the server"))?;
        let process = interpreter.process.clone();
        *session.interpreter.lock() = Some(Arc::new(interpreter));
        let adopt = Adopt {
            session: order.session,
            process,
            work: Box::pin(pump.run()),
        };
        self.settings
            .processes
            .send(adopt)
            .await
            .map_err(|_| ServiceError::runtime("the supervisor of processes is restarting"))?;
        Ok(Started::default())
    }

    async fn stop(&self, session: &str) -> Result<(), ServiceError> {
        let Ok(found) = self.sessions.get(session) else {
            return Ok(());
        };
        let interpreter = found.interpreter.lock().take();
        if let Some(interpreter) = interpreter {
            interpreter.process.stop(GRACE).await;
        }
        self.sessions.remember(session);
        Ok(())
    }

    async fn logs(&self, session: &str, query: &LogQuery) -> Result<Value, ServiceError> {
        Ok(self.sessions.get(session)?.log.page(query))
    }

    async fn execute(
        &self,
        session: &str,
        script: &str,
        config: Value,
        progress: Option<Callback>,
    ) -> Result<Value, ServiceError> {
        let found = self.sessions.get(session)?;
        let interpreter = found.interpreter().ok_or_else(|| {
            ServiceError::runtime(format!(
                "Python session {session} has no interpreter any more"
            ))
        })?;
        let tell = |kind: &str, message: &str| {
            if let Some(progress) = &progress {
                progress(vec![Value::Map(
                    map! { "type" => kind, "message" => message },
                )]);
            }
        };
        tell("info", "Executing script...");
        let outcome = interpreter.execute(script, time_limit(&config)).await;
        match outcome["error"].as_object() {
            None => tell("success", "Script executed successfully"),
            Some(error) => {
                let text = |key: &str| error.get(key).and_then(Json::as_str).unwrap_or_default();
                let (name, value) = (text("ename"), text("evalue"));
                tell(
                    "error",
                    &format!("Script execution failed: {name}: {value}"),
                );
            }
        }
        Ok(Value::from_json(outcome))
    }

    async fn screenshot(&self, _session: &str, _picture: &Picture) -> Result<Value, ServiceError> {
        Err(no_pictures())
    }
}

/// The time that a caller gives a script.
pub(super) fn time_limit(config: &Value) -> Duration {
    let seconds = config
        .get("timeout")
        .and_then(Value::as_f64)
        .filter(|seconds| *seconds > 0.0)
        .unwrap_or(SCRIPT_S);
    Duration::try_from_secs_f64(seconds).map_or(LONGEST, |limit| limit.min(LONGEST))
}

pub(super) fn no_pictures() -> ServiceError {
    ServiceError::new(
        ErrorClass::Named("NotImplementedError"),
        "sessions of this type have no page to take a picture of",
    )
}
