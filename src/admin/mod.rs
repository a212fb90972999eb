//! `admin-utils`: what an administrator does to a running server (workspace.md 4, 2.8).
//!
//! Offered in the root user's workspace. `methods` is the table of what it offers; the other files
//! hold the methods by subject. Whoever calls is checked before every method, since the address
//! of the server can be called without a lookup.

mod blocks;
mod methods;
mod reports;
mod spaces;

use std::sync::Arc;

use futures::FutureExt;

use crate::identity::{EVERYWHERE, Level, UserInfo};
use crate::map;
use crate::peer::{
    Arguments, CallContext, MethodFuture, MethodSpec, Reply, Service, ServiceError, ServiceSpec,
};
use crate::wire::Map;
use crate::workspace::Directory;

/// See the module's text.
pub struct AdminService {
    directory: Arc<Directory>,
    /// The gateway's limit of messages per second and at once, for reports.
    messages: (f64, f64),
}

/// Whether somebody may administer the server: whoever may do everything in every workspace. That
/// is root, the admin role, and tokens that root made for it.
pub fn is_administrator(user: &UserInfo) -> bool {
    user.allows(EVERYWHERE, Level::Admin)
}

impl AdminService {
    /// `messages` is how many of them the gateway takes of a client per second, and at once.
    pub fn new(directory: Arc<Directory>, messages: (f64, f64)) -> Arc<Self> {
        Arc::new(AdminService {
            directory,
            messages,
        })
    }

    async fn run(
        self: Arc<Self>,
        method: &'static str,
        arguments: Arguments,
        context: CallContext,
    ) -> Result<Reply, ServiceError> {
        if !is_administrator(&context.user) {
            return Err(ServiceError::permission(format!(
                "{} is not an administrator of this server",
                context.user.id
            )));
        }
        let args = &arguments;
        match method {
            "list_servers" => Ok(self.list_servers()),
            "kickout_client" => self.kickout_client(args),
            "list_workspaces" => Ok(self.list_workspaces()),
            "unload_workspace" => self.unload_workspace(args).await,
            "get_metrics" => Ok(self.get_metrics()),
            "block_user" => self.block_user(args, &context).await,
            "unblock_user" => self.unblock_user(args, &context).await,
            "block_ip" => self.block_ip(args, &context).await,
            "unblock_ip" => self.unblock_ip(args, &context).await,
            "list_blocked" => Ok(self.list_blocked()),
            "get_resource_usage" => Ok(self.get_resource_usage()),
            other => Err(ServiceError::key(format!("Method not found: {other}"))),
        }
    }
}

impl Service for AdminService {
    fn spec(&self) -> &ServiceSpec {
        &methods::SPEC
    }

    fn config(&self) -> Map {
        map! { "visibility" => "protected", "require_context" => false }
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
