//! Tokens: making, reading, revoking (workspace.md 1.6).

use super::ManagerService;
use crate::identity::{IdentityError, Level, TokenRequest, check_may_generate};
use crate::peer::{Arguments, CallContext, ErrorClass, Reply, ServiceError};
use crate::router::CLOSE_GOING_AWAY;
use crate::wire::Value;
use crate::workspace::membership::REVOKED;

impl From<IdentityError> for ServiceError {
    fn from(error: IdentityError) -> Self {
        ServiceError::new(ErrorClass::Named(error.class()), error.to_string())
    }
}

impl ManagerService {
    pub(super) async fn generate_token(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let request = TokenRequest::from_value(args.get("config"))?;
        let workspace = request.workspace_or(&context.ws);
        let owner = self
            .directory
            .get(workspace)
            .is_some_and(|info| info.is_owned_by(&context.user));
        check_may_generate(&context.user, workspace, owner)?;
        let caller = context.user.acting_in(workspace, None, owner);
        let token = self
            .directory
            .tokens
            .generate_for(&caller, &context.ws, request)
            .await?;
        Ok(token.into())
    }

    pub(super) async fn parse_token(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::Read)?;
        let user = self
            .directory
            .tokens
            .look_into(args.str("token")?, &context.ws)
            .await?;
        Ok(user.to_value().into())
    }

    pub(super) async fn revoke_token(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::Admin)?;
        let hash = self.directory.tokens.revoke(args.str("token")?)?;
        self.directory.durable().await?;
        for client in self.directory.router.all() {
            if client.user.origin.as_ref() == Some(&hash) {
                client.close(CLOSE_GOING_AWAY, REVOKED);
            }
        }
        Ok(Value::Nil.into())
    }
}
