//! Somebody else who knows users by their tokens: an authentication that the operator brings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use parking_lot::RwLock;

use super::generate::{NewToken, TokenRequest};
use super::{IdentityError, TokenError, Tokens, UserInfo};
use crate::wire::Value;

/// See the module's text. Each function may be missing.
pub trait Authority: Send + Sync {
    /// The user behind a token that is none of ours.
    fn parse(&self, token: &str) -> Option<BoxFuture<'static, Result<UserInfo, TokenError>>>;

    /// A token of its own kind.
    fn generate(
        &self,
        user: &UserInfo,
        expires_in: f64,
    ) -> Option<BoxFuture<'static, Result<String, IdentityError>>>;

    /// Where a request hides its token; `scope` is shaped like that of ASGI.
    fn extract(&self, scope: Value) -> Option<BoxFuture<'static, Option<String>>>;
}

/// The authority in use.
#[derive(Default)]
pub(super) struct Trusted {
    /// Spares everybody the lock while there is none.
    any: AtomicBool,
    authority: Arc<RwLock<Option<Arc<dyn Authority>>>>,
}

/// Keeps an authority in use; dropping it ends that.
pub struct Trust {
    place: Arc<RwLock<Option<Arc<dyn Authority>>>>,
    authority: Arc<dyn Authority>,
}

impl Drop for Trust {
    fn drop(&mut self) {
        let mut place = self.place.write();
        // A later one stays.
        if place
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, &self.authority))
        {
            *place = None;
        }
    }
}

impl Tokens {
    /// Lets an authority decide about tokens that are none of ours, in place of an earlier one.
    pub fn trust(&self, authority: Arc<dyn Authority>) -> Trust {
        let trusted = &self.trusted;
        *trusted.authority.write() = Some(authority.clone());
        trusted.any.store(true, Ordering::Release);
        Trust {
            place: trusted.authority.clone(),
            authority,
        }
    }

    /// The authority in use, if there is one.
    pub fn authority(&self) -> Option<Arc<dyn Authority>> {
        if !self.trusted.any.load(Ordering::Acquire) {
            return None;
        }
        self.trusted.authority.read().clone()
    }

    /// The user behind a token, be it ours or the authority's.
    ///
    /// # Errors
    /// Neither accepts it. What is signed by us is never asked about elsewhere, so what was taken
    /// back stays so.
    pub async fn recognise(&self, token: &str) -> Result<UserInfo, TokenError> {
        let own = self.parse(token);
        let foreign = matches!(
            own,
            Err(TokenError::Malformed | TokenError::Algorithm(_) | TokenError::Signature)
        );
        if !foreign {
            return own;
        }
        let Some(asked) = self
            .authority()
            .and_then(|authority| authority.parse(super::revocations::bare(token)))
        else {
            return own;
        };
        asked.await
    }

    /// What the manager tells about a token, as [`Tokens::inspect`]; tokens of the authority are
    /// not bound to a workspace.
    ///
    /// # Errors
    /// As for [`Tokens::inspect`].
    pub async fn look_into(&self, token: &str, workspace: &str) -> Result<UserInfo, IdentityError> {
        let own = self.inspect(token, workspace);
        if own.is_ok() || self.authority().is_none() {
            return own;
        }
        match self.parse(token) {
            Ok(_) => own,
            Err(_) => self
                .recognise(token)
                .await
                .map_err(IdentityError::Unauthorized),
        }
    }

    /// A token for a new child of `caller`, as [`Tokens::generate`], made by the authority where
    /// it makes tokens.
    ///
    /// # Errors
    /// As for [`Tokens::generate`], and those of the authority.
    pub async fn generate_for(
        &self,
        caller: &UserInfo,
        workspace: &str,
        request: TokenRequest,
    ) -> Result<String, IdentityError> {
        let Some(authority) = self.authority() else {
            return self.generate(caller, workspace, request);
        };
        let NewToken {
            mut user,
            scope,
            expires_in,
        } = super::generate::new_token(caller, workspace, request)?;
        user.scope = scope.clone();
        user.current_workspace = scope.current_workspace.clone();
        match authority.generate(&user, expires_in) {
            Some(made) => made.await,
            None => self.issue(&user, &scope, expires_in),
        }
    }
}
