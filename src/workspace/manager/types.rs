//! Service types: declared shapes that services can be checked against by clients.

use super::ManagerService;
use crate::identity::Level;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::Value;
use crate::workspace::error::WorkspaceError;
use crate::workspace::info::ServiceType;

/// Most types of one workspace.
const MAX_TYPES: usize = 1000;

fn as_model(json: serde_json::Value) -> Value {
    let mut value = Value::from_json(json);
    if let Some(map) = value.as_map_mut() {
        map.insert("_rtype", "pydantic-model");
    }
    value
}

fn not_found(id: &str) -> ServiceError {
    ServiceError::key(format!("Service type not found: {id}"))
}

impl ManagerService {
    pub(super) async fn register_service_type(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::ReadWrite)?;
        let mut info: ServiceType = serde_json::from_value(args.get("type_info").to_json())
            .map_err(|error| ServiceError::value(format!("Invalid service type: {error}")))?;
        if let Some((workspace, id)) = info.id.split_once('/') {
            if workspace != context.ws {
                return Err(ServiceError::assertion(format!(
                    "Workspace mismatch: {workspace} != {}, you can only register service type \
                     in your own workspace.",
                    context.ws
                )));
            }
            info.id = id.to_owned();
        }
        let json = serde_json::to_value(&info)
            .map_err(|error| ServiceError::value(format!("Invalid service type: {error}")))?;
        let id = info.id.clone();
        let stored = json.clone();
        let outcome = self
            .directory
            .change(&context.ws, move |workspace| {
                if workspace.service_types.contains_key(&id) {
                    return Err(ServiceError::key(format!(
                        "Service type already exists: {id}"
                    )));
                }
                if workspace.service_types.len() >= MAX_TYPES {
                    return Err(ServiceError::runtime(format!(
                        "a workspace has at most {MAX_TYPES} service types"
                    )));
                }
                workspace.service_types.insert(id, stored);
                Ok(())
            })
            .await?;
        outcome?;
        Ok(as_model(json).into())
    }

    pub(super) fn get_service_type(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let given = args.str("type_id")?;
        let (workspace, id) = given.split_once('/').unwrap_or((&context.ws, given));
        let found = self
            .directory
            .get(workspace)
            .and_then(|info| info.service_types.get(id).cloned());
        let public = found.as_ref().is_some_and(|found| {
            found["config"]["visibility"] == "public" || found["config"]["public"] == true
        });
        if !public {
            self.directory
                .require(&context.user, workspace, Level::Read)?;
        }
        let mut json = found.ok_or_else(|| not_found(given))?;
        json["id"] = format!("{workspace}/{id}").into();
        // A plain map here, unlike the other answers: so the reference has it.
        Ok(Value::from_json(json).into())
    }

    pub(super) fn list_service_types(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let workspace = args.opt_str("workspace")?.unwrap_or(&context.ws);
        self.directory
            .require(&context.user, workspace, Level::Read)?;
        let info = self
            .directory
            .get(workspace)
            .ok_or_else(|| WorkspaceError::NotFound(workspace.to_owned()))?;
        let types: Vec<Value> = info.service_types.values().cloned().map(as_model).collect();
        Ok(types.into())
    }
}
