//! The process workers as users reach them directly (`get_service(worker_id)`, server-apps.md
//! 4.4). They live in `public` and are open to everybody, so each call is checked against the
//! workspace named by its session id.

use std::sync::Arc;

use futures::FutureExt;

use super::python_worker::{DESCRIPTION, NAME, PythonWorker, SERVICE_ID};
use crate::apps::ids::SessionId;
use crate::identity::Level;
use crate::peer::schema::{Kind, Param, Preset, optional, required, with_default};
use crate::peer::{
    Arguments, CallContext, MethodFuture, MethodSpec, Reply, Service, ServiceError, ServiceSpec,
};
use crate::wire::Value;
use crate::workers::Worker;
use crate::workers::browser::service::log_query;

pub(super) const SESSION: Param = required(
    "session_id",
    Kind::Str,
    "workspace/client_id of the session",
);

pub(in crate::workers) const GET_LOGS: MethodSpec = MethodSpec {
    name: "get_logs",
    doc: "Returns what a session logged.",
    params: &[
        SESSION,
        optional(
            "type",
            Kind::Str,
            "only this kind: stdout, stderr, info or error",
        ),
        with_default("offset", Kind::Int, Preset::Int(0), "how many to skip"),
        optional("limit", Kind::Int, "how many to return"),
    ],
};

pub(super) const EXECUTE: MethodSpec = MethodSpec {
    name: "execute",
    doc: "Runs code in a session and returns what it showed.",
    params: &[
        SESSION,
        required("script", Kind::Str, "the code"),
        optional("config", Kind::Object, "timeout in seconds"),
        optional(
            "progress_callback",
            Kind::Any,
            "not called here; the controller's is",
        ),
    ],
};

pub(in crate::workers) const STOP: MethodSpec = MethodSpec {
    name: "stop",
    doc: "Ends the process of a session.",
    params: &[SESSION],
};

static SPEC: ServiceSpec = ServiceSpec {
    id: SERVICE_ID,
    name: NAME,
    kind: crate::workers::SERVICE_TYPE,
    description: DESCRIPTION,
    methods: &[GET_LOGS, EXECUTE, STOP],
};

/// The session that a call is about, which its caller may use.
///
/// # Errors
/// No session id, or `Permission denied`.
pub(in crate::workers) fn session_of(
    method: &str,
    args: &Arguments,
    context: &CallContext,
) -> Result<String, ServiceError> {
    let session = SessionId::parse(args.str("session_id")?, &context.ws)
        .map_err(|error| ServiceError::value(error.to_string()))?;
    let needed = match method {
        "get_logs" | "get_screen_content" => Level::Read,
        _ => Level::ReadWrite,
    };
    if !context.user.allows(session.workspace(), needed) {
        return Err(ServiceError::permission(format!(
            "Permission denied for workspace {}",
            session.workspace()
        )));
    }
    Ok(session.to_string())
}

/// What all workers offer.
///
/// # Errors
/// Those of the worker.
pub(in crate::workers) async fn common(
    worker: &dyn Worker,
    method: &str,
    session: &str,
    args: &Arguments,
) -> Result<Reply, ServiceError> {
    match method {
        "get_logs" => Ok(worker.logs(session, &log_query(args)?).await?.into()),
        "execute" => {
            let config = args.get("config").clone();
            let script = args.str("script")?;
            Ok(worker.execute(session, script, config, None).await?.into())
        }
        _ => {
            worker.stop(session).await?;
            Ok(Value::Nil.into())
        }
    }
}

/// See the module's text.
pub struct ProcessService {
    worker: Arc<PythonWorker>,
}

impl ProcessService {
    pub fn new(worker: Arc<PythonWorker>) -> Arc<Self> {
        Arc::new(ProcessService { worker })
    }
}

impl Service for ProcessService {
    fn spec(&self) -> &ServiceSpec {
        &SPEC
    }

    fn call(
        self: Arc<Self>,
        method: &'static MethodSpec,
        arguments: Arguments,
        context: CallContext,
    ) -> MethodFuture {
        async move {
            let session = session_of(method.name, &arguments, &context)?;
            common(&*self.worker, method.name, &session, &arguments).await
        }
        .boxed()
    }
}
