//! The service `public/hypha-login` (workspace.md 1.8).

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use super::accounts::{Account, Accounts};
use super::arguments::{MAX_TEXT, email, flag, lifetime, picture, text, too_long};
use super::methods;
use super::page::{Page, PageError};
use super::sessions::{Profile, SessionError, Sessions, Wish};
use crate::identity::{Level, UserInfo};
use crate::map;
use crate::peer::{
    Arguments, CallContext, MethodFuture, MethodSpec, Reply, Service, ServiceError, ServiceSpec,
};
use crate::wire::{Map, Value};
use crate::workspace::Directory;

/// Seconds that a token made for a workspace lives when nobody says otherwise.
const DEFAULT_LIFETIME_S: i64 = 3600;
/// Longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// See the module's text.
pub struct LoginService {
    directory: Arc<Directory>,
    pub(super) sessions: Sessions,
    page: Page,
    pub(super) accounts: Option<Accounts>,
}

impl From<SessionError> for ServiceError {
    fn from(error: SessionError) -> Self {
        let text = error.to_string();
        match error {
            SessionError::Unknown => ServiceError::assertion(text),
            SessionError::Expired => ServiceError::plain(text),
            SessionError::Complete => ServiceError::permission(text),
            SessionError::Crowded => ServiceError::runtime(text),
        }
    }
}

impl From<PageError> for ServiceError {
    fn from(error: PageError) -> Self {
        tracing::error!(%error, "no login page");
        ServiceError::runtime("the login page cannot be shown")
    }
}

impl LoginService {
    /// # Errors
    /// The page's template is broken.
    pub fn new(
        directory: Arc<Directory>,
        accounts: Option<Accounts>,
    ) -> Result<Arc<Self>, PageError> {
        Ok(Arc::new(LoginService {
            sessions: Sessions::new(directory.clock.clone(), accounts.is_some()),
            page: Page::new(accounts.is_some())?,
            directory,
            accounts,
        }))
    }

    async fn run(
        self: Arc<Self>,
        method: &'static str,
        arguments: Arguments,
        context: CallContext,
    ) -> Result<Reply, ServiceError> {
        let args = &arguments;
        match method {
            "index" => Ok(Value::Map(self.page.render()?).into()),
            "start" => self.start(args),
            "check" => self.check(args, &context).await,
            "report" => self.report(args),
            "profile" => Ok(Value::Map(map! {
                "status" => 302,
                "headers" => map! { "Location" => self.page_url() },
                "body" => "Redirecting to the login page",
            })
            .into()),
            "logout" => Ok(Value::Map(map! {
                "logout_url" => format!("{}?logout=true&close=true", self.page_url()),
            })
            .into()),
            other => self.run_account(other, args, &context).await,
        }
    }

    fn page_url(&self) -> String {
        format!("{}/public/apps/hypha-login/", self.base_url())
    }

    fn base_url(&self) -> &str {
        self.directory.peer.public_base_url()
    }

    fn start(&self, args: &Arguments) -> Result<Reply, ServiceError> {
        let wish = Wish {
            workspace: text(args, "workspace", MAX_TEXT)?,
            expires_in: lifetime(args)?,
        };
        let service = format!("{}/public/services/hypha-login", self.base_url());
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let key = self.sessions.start(wish.clone());
        query.append_pair("key", &key);
        if let Some(workspace) = &wish.workspace {
            query.append_pair("workspace", workspace);
        }
        if let Some(seconds) = wish.expires_in {
            query.append_pair("expires_in", &seconds.to_string());
        }
        Ok(Value::Map(map! {
            "login_url" => format!("{}?{}", self.page_url(), query.finish()),
            "key" => key,
            "report_url" => format!("{service}/report"),
            "check_url" => format!("{service}/check"),
            "generate_url" => format!("{service}/generate"),
        })
        .into())
    }

    async fn check(&self, args: &Arguments, context: &CallContext) -> Result<Reply, ServiceError> {
        let (key, shape) = (args.str("key")?, args.bool("profile")?);
        let seconds = args.opt_f64("timeout")?.unwrap_or_default();
        let client = context.client.as_ref();
        let taker = client.map(|client| &*client.address);
        let reply = |profile: Profile| match shape {
            true => Reply::from(profile.to_map()),
            false => profile.token.into(),
        };
        if seconds <= 0.0 {
            let taken = self.sessions.take(key, taker)?;
            return Ok(taken.map_or(Value::Nil.into(), reply));
        }
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let waiting = self.sessions.wait(key, taker, timeout);
        let outcome = match client {
            None => waiting.await,
            Some(client) => tokio::select! {
                biased;
                // An outcome taken for somebody who left would be lost to all.
                () = client.mailbox.closed() => {
                    return Err(ServiceError::plain("the caller has left"));
                }
                outcome = waiting => outcome,
            },
        };
        match outcome? {
            Some(profile) => Ok(reply(profile)),
            None => Err(ServiceError::plain(format!(
                "Login timeout, waited for {seconds} seconds"
            ))),
        }
    }

    /// Completes a login. The token is verified always, with or without a workspace (rule V9).
    fn report(&self, args: &Arguments) -> Result<Reply, ServiceError> {
        let key = args.str("key")?;
        let wish = self
            .sessions
            .wish(key)
            .map_err(|_| ServiceError::assertion("Invalid key, key does not exist or expired"))?;
        let token = args.str("token")?;
        let user = self.verified(token)?;
        let workspace = text(args, "workspace", MAX_TEXT)?.or(wish.workspace);
        let expires_in = lifetime(args)?.or(wish.expires_in);
        let token = match &workspace {
            Some(workspace) => self.token_for(&user, workspace, expires_in)?,
            None => token.to_owned(),
        };
        let mut profile = Profile {
            token,
            workspace,
            expires_in,
            email: email(args)?.or_else(|| user.email.clone()),
            email_verified: flag(args, "email_verified")?,
            name: text(args, "name", MAX_TEXT)?,
            nickname: text(args, "nickname", MAX_TEXT)?,
            user_id: text(args, "user_id", MAX_TEXT)?.or_else(|| Some(user.id.clone())),
            picture: picture(args)?,
        };
        if let Some(account) = self.account_of(&user) {
            // What the server knows by itself is better than what it is told.
            profile.name = profile.name.or(Some(account.name));
            profile.email = Some(account.email);
            profile.email_verified = Some(account.email_verified);
        }
        self.sessions.complete(key, &user.id, profile)?;
        Ok(Value::Nil.into())
    }

    fn account_of(&self, user: &UserInfo) -> Option<Account> {
        let found = self.accounts.as_ref()?.by_user(&user.id);
        // Why not, is in the log; a login does not fail for it.
        found.ok().flatten()
    }

    pub(super) fn verified(&self, token: &str) -> Result<UserInfo, ServiceError> {
        if token.len() > MAX_TOKEN {
            return Err(too_long("token", MAX_TOKEN));
        }
        let parsed = self.directory.tokens.parse(token);
        parsed
            .and_then(|user| user.check_general_use().map(|()| user))
            .map_err(|error| {
                ServiceError::value(format!(
                    "Invalid token provided to report_login: {error}. It must be a token that \
                     this server accepts."
                ))
            })
    }

    /// A token of `user` for `workspace`, in which they may read at least.
    pub(super) fn token_for(
        &self,
        user: &UserInfo,
        workspace: &str,
        expires_in: Option<i64>,
    ) -> Result<String, ServiceError> {
        let info = self.directory.ensure(workspace, user)?;
        let pinned = user.scope.client_id.as_deref();
        let user = user.acting_in(workspace, pinned, info.is_owned_by(user));
        if !user.allows(workspace, Level::Read) {
            return Err(ServiceError::permission(format!(
                "Invalid permission for the workspace {workspace}"
            )));
        }
        let seconds = expires_in.unwrap_or(DEFAULT_LIFETIME_S) as f64;
        Ok(self.directory.tokens.issue(&user, &user.scope, seconds)?)
    }
}

impl Service for LoginService {
    fn spec(&self) -> &ServiceSpec {
        match self.accounts {
            Some(_) => &methods::SPEC_WITH_ACCOUNTS,
            None => &methods::SPEC,
        }
    }

    fn config(&self) -> Map {
        map! { "visibility" => "public" }
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
