//! The browser worker as users reach it directly (`get_service(worker_id)`, server-apps.md 4.4).
//!
//! It lives in `public` and is open to everybody, so each call is checked against the workspace
//! named by its session id.

use std::sync::Arc;

use futures::FutureExt;

use super::worker::{BrowserWorker, SERVICE_ID};
use crate::apps::ids::SessionId;
use crate::identity::Level;
use crate::map;
use crate::peer::schema::{Kind, Param, Preset, optional, required, with_default};
use crate::peer::{
    Arguments, CallContext, MethodFuture, MethodSpec, Reply, Service, ServiceError, ServiceSpec,
};
use crate::wire::{Map, Value};
use crate::workers::{LogQuery, Picture, Worker};

const SESSION: Param = required(
    "session_id",
    Kind::Str,
    "workspace/client_id of the session",
);

static SPEC: ServiceSpec = ServiceSpec {
    id: SERVICE_ID,
    name: "Browser Worker",
    kind: crate::workers::SERVICE_TYPE,
    description: "Runs web apps in pages of the server's own browser",
    methods: &[
        MethodSpec {
            name: "get_logs",
            doc: "Returns what a session logged.",
            params: &[
                SESSION,
                optional("type", Kind::Str, "only this kind: console or error"),
                with_default("offset", Kind::Int, Preset::Int(0), "how many to skip"),
                optional("limit", Kind::Int, "how many to return"),
            ],
        },
        MethodSpec {
            name: "execute",
            doc: "Runs JavaScript in the page of a session and returns its result.",
            params: &[
                SESSION,
                required(
                    "script",
                    Kind::Str,
                    "an expression, a function, or statements",
                ),
                optional(
                    "config",
                    Kind::Object,
                    "timeout in seconds; structured: as a notebook shows it",
                ),
                optional(
                    "progress_callback",
                    Kind::Any,
                    "called with progress messages",
                ),
            ],
        },
        MethodSpec {
            name: "take_screenshot",
            doc: "Takes a picture of the page of a session.",
            params: &[
                SESSION,
                with_default("format", Kind::Str, Preset::Str("png"), "png or jpeg"),
                with_default(
                    "full_page",
                    Kind::Bool,
                    Preset::Bool(false),
                    "the whole page, not only what a window of its size shows",
                ),
            ],
        },
        MethodSpec {
            name: "get_load",
            doc: "Returns the share of its sessions that the worker has, from 0 to 1.",
            params: &[],
        },
        MethodSpec {
            name: "get_health",
            doc: "Returns how the worker is, with the pages that wait for apps.",
            params: &[],
        },
        MethodSpec {
            name: "stop",
            doc: "Closes the page of a session.",
            params: &[SESSION],
        },
    ],
};

/// See the module's text.
pub struct BrowserService {
    worker: Arc<BrowserWorker>,
}

impl BrowserService {
    pub fn new(worker: Arc<BrowserWorker>) -> Arc<Self> {
        Arc::new(BrowserService { worker })
    }

    async fn run(
        self: Arc<Self>,
        method: &'static str,
        args: Arguments,
        context: CallContext,
    ) -> Result<Reply, ServiceError> {
        match method {
            "get_load" => return Ok(Value::from(self.worker.load()).into()),
            "get_health" => return Ok(Value::from_json(self.worker.health()).into()),
            _ => {}
        }
        let session = SessionId::parse(args.str("session_id")?, &context.ws)
            .map_err(|error| ServiceError::value(error.to_string()))?;
        let needed = match method {
            "get_logs" => Level::Read,
            _ => Level::ReadWrite,
        };
        if !context.user.allows(session.workspace(), needed) {
            return Err(ServiceError::permission(format!(
                "Permission denied for workspace {}",
                session.workspace()
            )));
        }
        let id = session.to_string();
        match method {
            "get_logs" => Ok(self.worker.logs(&id, &log_query(&args)?).await?.into()),
            "execute" => {
                let config = args.get("config").clone();
                let script = args.str("script")?;
                Ok(self.worker.execute(&id, script, config, None).await?.into())
            }
            "take_screenshot" => {
                let picture = picture(&args)?;
                Ok(self.worker.screenshot(&id, &picture).await?.into())
            }
            _ => {
                self.worker.stop(&id).await?;
                Ok(Value::Nil.into())
            }
        }
    }
}

/// Reads the arguments of `take_screenshot`.
///
/// # Errors
/// A wrong value.
pub fn picture(args: &Arguments) -> Result<Picture, ServiceError> {
    Ok(Picture {
        format: args.str("format")?.to_owned(),
        full_page: args.get("full_page").as_bool().unwrap_or(false),
    })
}

/// Reads the paging arguments of `get_logs`.
///
/// # Errors
/// A negative or wrong value.
pub fn log_query(args: &Arguments) -> Result<LogQuery, ServiceError> {
    let size = |name: &str| {
        args.get(name).as_i64().map_or(Ok(None), |number| {
            usize::try_from(number)
                .map(Some)
                .map_err(|_| ServiceError::value(format!("{name} must not be negative")))
        })
    };
    Ok(LogQuery {
        kind: args.opt_str("type")?.map(str::to_owned),
        offset: size("offset")?.unwrap_or(0),
        limit: size("limit")?,
    })
}

impl Service for BrowserService {
    fn spec(&self) -> &ServiceSpec {
        &SPEC
    }

    fn config(&self) -> Map {
        map! { "require_context" => true, "visibility" => "public" }
    }

    fn call(
        self: Arc<Self>,
        method: &'static MethodSpec,
        arguments: Arguments,
        context: CallContext,
    ) -> MethodFuture {
        self.run(method.name, arguments, context).boxed()
    }
}
