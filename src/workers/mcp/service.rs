//! The worker as users reach it directly. It lives in `public` and is open to everybody, so each
//! call is checked against the workspace named by its session id.

use std::sync::Arc;

use futures::FutureExt;

use super::worker::{DESCRIPTION, McpWorker, NAME, SERVICE_ID};
use crate::peer::{Arguments, CallContext, MethodFuture, MethodSpec, Service, ServiceSpec};
use crate::workers::process::{GET_LOGS, STOP, common, session_of};

static SPEC: ServiceSpec = ServiceSpec {
    id: SERVICE_ID,
    name: NAME,
    kind: crate::workers::SERVICE_TYPE,
    description: DESCRIPTION,
    methods: &[GET_LOGS, STOP],
};

/// See the module's text.
pub struct McpService {
    worker: Arc<McpWorker>,
}

impl McpService {
    pub fn new(worker: Arc<McpWorker>) -> Arc<Self> {
        Arc::new(McpService { worker })
    }
}

impl Service for McpService {
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
