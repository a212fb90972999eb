//! Clients and workspaces: listing, closing, unloading.

use std::time::Duration;

use super::AdminService;
use crate::peer::{Arguments, ErrorClass, Reply, ServiceError};
use crate::wire::Value;
use crate::workspace::is_system;

/// Close codes that a WebSocket may carry and that are no protocol failures.
const CODES: [std::ops::RangeInclusive<i64>; 3] = [1000..=1003, 1007..=1014, 3000..=4999];
/// Longest time a caller may wait for a workspace to unload, in seconds.
const MAX_WAIT_S: f64 = 600.0;
const POLL: Duration = Duration::from_millis(50);

impl AdminService {
    pub(super) fn list_servers(&self) -> Reply {
        vec![self.directory.router.server_id()].into()
    }

    pub(super) fn kickout_client(&self, args: &Arguments) -> Result<Reply, ServiceError> {
        let (workspace, id) = (args.str("workspace")?, args.str("client_id")?);
        let (code, reason) = (args.int("code")?, args.str("reason")?);
        if !CODES.iter().any(|range| range.contains(&code)) {
            return Err(ServiceError::value(format!(
                "{code} is not a WebSocket close code"
            )));
        }
        let address = format!("{workspace}/{id}");
        let client = self.directory.router.find(&address);
        let client = client.ok_or_else(|| ServiceError::assertion("Client not connected"))?;
        tracing::info!(client = %address, code, reason, "kicked out");
        client.close(code as u16, reason);
        Ok(Value::Nil.into())
    }

    pub(super) fn list_workspaces(&self) -> Reply {
        let all: Vec<Value> = self
            .directory
            .ids()
            .iter()
            .filter_map(|id| self.directory.get(id))
            .map(|info| info.to_value(self.directory.status()))
            .collect();
        all.into()
    }

    /// Unloads at once what the grace period would unload later. Workspaces with clients, and
    /// those that are meant to stay, are left as they are, which is no error unless one waits.
    pub(super) async fn unload_workspace(&self, args: &Arguments) -> Result<Reply, ServiceError> {
        let workspace = args.str("workspace")?;
        let timeout = args.opt_f64("timeout")?.unwrap_or(10.0);
        self.directory.unload_if_empty(workspace);
        if args.bool("wait")? && !is_system(workspace) {
            let timeout = Duration::from_secs_f64(timeout.clamp(0.0, MAX_WAIT_S));
            self.unloaded_within(workspace, timeout).await?;
        }
        Ok(Value::Nil.into())
    }

    fn is_loaded(&self, workspace: &str) -> bool {
        match self.directory.get(workspace) {
            // A workspace that is stored holds nothing but its clients.
            Some(info) => !info.persistent || self.directory.router.member_count(workspace) > 0,
            None => false,
        }
    }

    async fn unloaded_within(&self, workspace: &str, within: Duration) -> Result<(), ServiceError> {
        let clock = &self.directory.clock;
        let deadline = clock.now() + within;
        while self.is_loaded(workspace) {
            if clock.now() >= deadline {
                return Err(ServiceError::new(
                    ErrorClass::Timeout,
                    format!(
                        "Workspace {workspace} was not unloaded within {:.1} s: {} clients are \
                         connected",
                        within.as_secs_f64(),
                        self.directory.router.member_count(workspace)
                    ),
                ));
            }
            clock.sleep(POLL).await;
            self.directory.unload_if_empty(workspace);
        }
        Ok(())
    }
}
