//! Workspaces: making, deleting, describing.

use super::ManagerService;
use crate::identity::Level;
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::Value;
use crate::workspace::error::WorkspaceError;
use crate::workspace::info::WorkspaceInfo;

/// Most workspaces of one answer.
const MAX_PAGE: i64 = 256;

impl ManagerService {
    pub(super) async fn create_workspace(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let config = args.opt_map("config")?.ok_or(WorkspaceError::MissingId)?;
        let info = self
            .directory
            .create(config, args.bool("overwrite")?, &context.user)
            .await?;
        self.keep_bookmark(&info, context).await;
        // The answer says "loading" as the reference's does; callers poll `check_status`.
        let status = map! { "ready" => false, "status" => "loading" };
        Ok(info.to_value(Value::Map(status)).into())
    }

    pub(super) async fn delete_workspace(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let workspace = args.str("workspace")?;
        self.directory.delete(workspace, &context.user).await?;
        self.drop_bookmark("workspace", workspace, context).await;
        Ok(Value::Nil.into())
    }

    fn may_see(&self, info: &WorkspaceInfo, context: &CallContext) -> bool {
        context.user.allows(&info.id, Level::Read) || info.is_owned_by(&context.user)
    }

    pub(super) fn list_workspaces(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::Read)?;
        let (offset, limit) = (args.int("offset")?, args.int("limit")?);
        if limit <= 0 || limit > MAX_PAGE {
            return Err(ServiceError::value(
                "Limit must be greater than 0 and less than 256",
            ));
        }
        let Ok(offset) = usize::try_from(offset) else {
            return Err(ServiceError::value(
                "Offset number must be greater than or equal to 0",
            ));
        };
        let wanted = args.opt_map("match")?;
        let matches = |info: &WorkspaceInfo| {
            let whole = info.to_value(Value::Nil);
            wanted.is_none_or(|wanted| {
                wanted
                    .iter()
                    .all(|(key, value)| whole.get(key) == Some(value))
            })
        };
        let page: Vec<Value> = self
            .directory
            .ids()
            .iter()
            .filter_map(|id| self.directory.get(id))
            .filter(|info| self.may_see(info, context) && matches(info))
            .skip(offset)
            .take(limit as usize)
            .map(|info| info.summary())
            .collect();
        Ok(page.into())
    }

    pub(super) fn get_workspace_info(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let workspace = args.opt_str("workspace")?.unwrap_or(&context.ws);
        // Checked on the workspace that is asked about (rule S1).
        let info = self.directory.get(workspace);
        let visible = info
            .as_ref()
            .is_some_and(|info| self.may_see(info, context));
        if !visible {
            self.directory
                .require(&context.user, workspace, Level::Read)?;
        }
        let info = info.ok_or_else(|| WorkspaceError::NotFound(workspace.to_owned()))?;
        Ok(info.to_value(self.directory.status()).into())
    }

    pub(super) fn get_summary(&self, context: &CallContext) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::Read)?;
        let info = self
            .directory
            .get(&context.ws)
            .ok_or_else(|| WorkspaceError::NotFound(context.ws.clone()))?;
        let records = self.directory.registry.list(&context.ws);
        let clients: Vec<Value> = records
            .iter()
            .filter(|record| record.is_built_in())
            .map(|record| record.address().into())
            .collect();
        let services: Vec<Value> = records
            .iter()
            .map(|record| {
                let mut whole = record.to_map(true);
                let mut take = |key: &str| whole.remove(key).unwrap_or_default();
                Value::Map(map! {
                    "id" => take("id"),
                    "name" => take("name"),
                    "type" => take("type"),
                    "description" => take("description"),
                    "config" => take("config"),
                })
            })
            .collect();
        Ok(Value::Map(map! {
            "name" => info.name,
            "description" => info.description,
            "client_count" => clients.len(),
            "clients" => clients,
            "service_count" => services.len(),
            "services" => services,
        })
        .into())
    }

    pub(super) fn check_status(&self, context: &CallContext) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::Read)?;
        let level = context.user.level_in(&context.ws).map(Level::letter);
        let mut status = if self.directory.exists(&context.ws) {
            map! { "status" => "ready", "errors" => Value::Nil }
        } else {
            let error = format!("Workspace {} not found", context.ws);
            map! { "status" => "not_found", "error" => error }
        };
        status.insert("user_permission", level);
        Ok(Value::Map(status).into())
    }
}
