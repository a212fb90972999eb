//! The terminal worker as users reach it directly: besides what all workers offer, the keyboard
//! and the screen.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use super::worker::{DESCRIPTION, NAME, SERVICE_ID, TerminalWorker};
use crate::identity::Level;
use crate::map;
use crate::peer::schema::{Kind, required};
use crate::peer::{
    Arguments, CallContext, MethodFuture, MethodSpec, Reply, Service, ServiceError, ServiceSpec,
};
use crate::processes::WindowSize;
use crate::wire::{Map, Value};
use crate::workers::process::service::{EXECUTE, GET_LOGS, SESSION, STOP, common, session_of};
use crate::workers::process::session::ProcessSession;

/// How long `read_terminal` waits for output.
const READ_WITHIN: Duration = Duration::from_millis(100);

static SPEC: ServiceSpec = ServiceSpec {
    id: SERVICE_ID,
    name: NAME,
    kind: crate::workers::SERVICE_TYPE,
    description: DESCRIPTION,
    methods: &[
        GET_LOGS,
        EXECUTE,
        STOP,
        MethodSpec {
            name: "get_screen_content",
            doc: "Returns what the terminal has shown, with its control codes.",
            params: &[SESSION],
        },
        MethodSpec {
            name: "read_terminal",
            doc: "Returns what the terminal has shown since the last call.",
            params: &[SESSION],
        },
        MethodSpec {
            name: "write_terminal",
            doc: "Types into the terminal.",
            params: &[SESSION, required("data", Kind::Str, "what to type")],
        },
        MethodSpec {
            name: "resize_terminal",
            doc: "Gives the terminal another size.",
            params: &[
                SESSION,
                required("rows", Kind::Int, "lines"),
                required("cols", Kind::Int, "characters in a line"),
            ],
        },
        MethodSpec {
            name: "list_sessions",
            doc: "Lists the terminals of the workspaces that the caller may read.",
            params: &[],
        },
    ],
};

/// See the module's text.
pub struct TerminalService {
    worker: Arc<TerminalWorker>,
}

impl TerminalService {
    pub fn new(worker: Arc<TerminalWorker>) -> Arc<Self> {
        Arc::new(TerminalService { worker })
    }

    async fn run(
        &self,
        method: &str,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        if method == "list_sessions" {
            return Ok(Value::Map(self.list(context)).into());
        }
        let id = session_of(method, args, context)?;
        match method {
            "get_screen_content" => {
                let session = self.worker.sessions.get(&id)?;
                let shown = String::from_utf8_lossy(session.output.lock().all()).into_owned();
                Ok(Value::Map(map! { "success" => true, "content" => shown }).into())
            }
            "read_terminal" => Ok(Value::Map(self.read(&id).await?).into()),
            "write_terminal" => {
                let (_, life) = self.worker.alive(&id)?;
                let data = args.str("data")?;
                let written = life.tty.write(data.as_bytes()).await;
                Ok(outcome(written, map! { "bytes_written" => data.len() }).into())
            }
            "resize_terminal" => {
                let (session, life) = self.worker.alive(&id)?;
                let side = |name: &str| {
                    let number = args.get(name).as_i64().and_then(|n| u16::try_from(n).ok());
                    number.filter(|number| *number > 0).ok_or_else(|| {
                        ServiceError::value(format!("{name} must be a positive number"))
                    })
                };
                let size = WindowSize {
                    rows: side("rows")?,
                    cols: side("cols")?,
                };
                session.set_size(size);
                Ok(outcome(life.tty.resize(size), Map::new()).into())
            }
            _ => common(&*self.worker, method, &id, args).await,
        }
    }

    async fn read(&self, id: &str) -> Result<Map, ServiceError> {
        let session = self.worker.sessions.get(id)?;
        let unread = || session.output.lock().total() > *session.read.lock();
        if !unread() {
            tokio::time::sleep(READ_WITHIN).await;
        }
        if !unread() && !session.process().is_some_and(|process| process.is_alive()) {
            return Ok(map! { "success" => false, "error" => "Process not alive" });
        }
        let output = session.output.lock();
        let mut read = session.read.lock();
        let text = String::from_utf8_lossy(output.since(*read)).into_owned();
        *read = output.total();
        Ok(map! { "success" => true, "output" => text })
    }

    fn list(&self, context: &CallContext) -> Map {
        let sessions: Vec<Value> = self
            .worker
            .sessions
            .all()
            .into_iter()
            .filter_map(|(id, session)| {
                let (workspace, _) = id.split_once('/')?;
                if !context.user.allows(workspace, Level::Read) {
                    return None;
                }
                let life = session.life()?;
                let alive = session.process().is_some_and(|process| process.is_alive());
                Some(Value::Map(map! {
                    "session_id" => id.as_str(),
                    "workspace" => workspace,
                    "startup_command" => life.command.as_str(),
                    "is_alive" => alive,
                    "status" => if alive { "running" } else { "stopped" },
                }))
            })
            .collect();
        map! { "success" => true, "sessions" => sessions }
    }
}

fn outcome(result: std::io::Result<()>, mut more: Map) -> Value {
    match result {
        Ok(()) => {
            more.insert("success", true);
            Value::Map(more)
        }
        Err(error) => Value::Map(map! { "success" => false, "error" => error.to_string() }),
    }
}

impl Service for TerminalService {
    fn spec(&self) -> &ServiceSpec {
        &SPEC
    }

    fn call(
        self: Arc<Self>,
        method: &'static MethodSpec,
        arguments: Arguments,
        context: CallContext,
    ) -> MethodFuture {
        async move { self.run(method.name, &arguments, &context).await }.boxed()
    }
}
