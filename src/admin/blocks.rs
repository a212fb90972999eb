//! Keeping users and addresses out.

use super::AdminService;
use crate::identity::{Block, ROOT, parse_range};
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::Value;
use crate::workspace::store_failure;

fn seconds(args: &Arguments) -> Result<f64, ServiceError> {
    Ok(args.opt_f64("duration")?.unwrap_or_default())
}

fn user_id(args: &Arguments) -> Result<&str, ServiceError> {
    match args.str("user_id")? {
        "" => Err(ServiceError::value("user_id must not be empty")),
        id => Ok(id),
    }
}

fn range(args: &Arguments) -> Result<ipnet::IpNet, ServiceError> {
    parse_range(args.str("ip")?).map_err(|error| ServiceError::value(error.to_string()))
}

fn listed(blocks: Vec<Block>) -> Vec<Value> {
    let value = |block: Block| {
        Value::Map(map! {
            "id" => block.id,
            "reason" => block.reason,
            "ttl_seconds" => block.rest as i64,
        })
    };
    blocks.into_iter().map(value).collect()
}

impl AdminService {
    pub(super) async fn block_user(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (id, reason) = (user_id(args)?, args.str("reason")?);
        // Nobody could take it back.
        if id == ROOT {
            return Err(ServiceError::value("The root user cannot be blocked"));
        }
        let list = &self.directory.blocklist;
        list.block_user(id, seconds(args)?, reason)
            .map_err(|error| store_failure(&error))?;
        let kicked = self.directory.close_blocked();
        tracing::info!(
            by = context.user.id,
            user = id,
            reason,
            kicked,
            "user blocked"
        );
        self.directory.durable().await?;
        Ok(format!("Blocked user {id}, kicked {kicked} connections").into())
    }

    pub(super) async fn unblock_user(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let id = user_id(args)?;
        let list = &self.directory.blocklist;
        list.unblock_user(id)
            .map_err(|error| store_failure(&error))?;
        tracing::info!(by = context.user.id, user = id, "user unblocked");
        self.directory.durable().await?;
        Ok(format!("Unblocked user {id}").into())
    }

    pub(super) async fn block_ip(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (range, reason) = (range(args)?, args.str("reason")?);
        let list = &self.directory.blocklist;
        list.block_ip(range, seconds(args)?, reason)
            .map_err(|error| store_failure(&error))?;
        let kicked = self.directory.close_blocked();
        tracing::info!(by = context.user.id, %range, reason, kicked, "address blocked");
        self.directory.durable().await?;
        Ok(format!("Blocked IP {}", args.str("ip")?).into())
    }

    pub(super) async fn unblock_ip(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let range = range(args)?;
        let list = &self.directory.blocklist;
        list.unblock_ip(range)
            .map_err(|error| store_failure(&error))?;
        tracing::info!(by = context.user.id, %range, "address unblocked");
        self.directory.durable().await?;
        Ok(format!("Unblocked IP {}", args.str("ip")?).into())
    }

    pub(super) fn list_blocked(&self) -> Reply {
        let (users, addresses) = self.directory.blocklist.list();
        Value::Map(map! { "users" => listed(users), "ips" => listed(addresses) }).into()
    }
}
