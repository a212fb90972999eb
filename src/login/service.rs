//! The service `public/hypha-login` (workspace.md 1.8).

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use super::methods;
use super::page::{Page, PageError};
use super::sessions::{Profile, SessionError, Sessions, Wish};
use crate::identity::{Level, UserInfo};
use crate::map;
use crate::peer::{
    Arguments, CallContext, ErrorClass, MethodFuture, MethodSpec, Reply, Service, ServiceError,
    ServiceSpec,
};
use crate::wire::{Map, Value};
use crate::workspace::Directory;

/// Seconds that a token made for a workspace lives when nobody says otherwise.
const DEFAULT_LIFETIME_S: i64 = 3600;
/// The longest that anybody may ask for.
const LONGEST_LIFETIME_S: i64 = 365 * 86_400;
/// Longest token and longest other text that is kept for a login, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
const MAX_TEXT: usize = 256;
const MAX_ADDRESS: usize = 2048;

/// See the module's text.
pub struct LoginService {
    directory: Arc<Directory>,
    sessions: Sessions,
    page: Page,
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
    pub fn new(directory: Arc<Directory>) -> Result<Arc<Self>, PageError> {
        Ok(Arc::new(LoginService {
            sessions: Sessions::new(directory.clock.clone(), false),
            page: Page::new(false)?,
            directory,
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
            other => Err(ServiceError::key(format!("Method not found: {other}"))),
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
        let profile = Profile {
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
        self.sessions.complete(key, &user.id, profile)?;
        Ok(Value::Nil.into())
    }

    fn verified(&self, token: &str) -> Result<UserInfo, ServiceError> {
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
    fn token_for(
        &self,
        user: &UserInfo,
        workspace: &str,
        expires_in: Option<i64>,
    ) -> Result<String, ServiceError> {
        let info = self.directory.ensure(workspace, user)?;
        let pinned = user.scope.client_id.as_deref();
        let user = user.acting_in(workspace, pinned, info.is_owned_personally(user));
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
        &methods::SPEC
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

fn too_long(name: &str, limit: usize) -> ServiceError {
    ServiceError::value(format!("argument '{name}' is longer than {limit} bytes"))
}

/// A text that is not too long; an empty one is none, as pages send it for what they do not know.
fn text(args: &Arguments, name: &str, limit: usize) -> Result<Option<String>, ServiceError> {
    match args.opt_str(name)? {
        None | Some("") => Ok(None),
        Some(text) if text.len() > limit => Err(too_long(name, limit)),
        Some(text) => Ok(Some(text.to_owned())),
    }
}

/// A whole number of seconds, or the text of one, or nothing.
fn lifetime(args: &Arguments) -> Result<Option<i64>, ServiceError> {
    let value = args.get("expires_in");
    let seconds = match value {
        Value::Nil => return Ok(None),
        Value::Str(text) if text.is_empty() => return Ok(None),
        Value::Str(text) => text.trim().parse::<f64>().ok(),
        other => other.as_f64(),
    };
    match seconds {
        // No time at all means the default, as it does for the reference.
        Some(0.0) => Ok(None),
        Some(seconds) if seconds >= 1.0 => Ok(Some((seconds as i64).min(LONGEST_LIFETIME_S))),
        Some(_) => Err(ServiceError::new(
            ErrorClass::Assertion,
            "expires_in should be greater than 0",
        )),
        None => Err(ServiceError::type_(format!(
            "argument 'expires_in' must be an integer, got {}",
            value.type_name()
        ))),
    }
}

fn flag(args: &Arguments, name: &str) -> Result<Option<bool>, ServiceError> {
    match args.get(name) {
        Value::Str(text) => match text.to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(ServiceError::type_(format!(
                "argument '{name}' must be true or false"
            ))),
        },
        _ => args.opt_bool(name),
    }
}

fn email(args: &Arguments) -> Result<Option<String>, ServiceError> {
    let email = text(args, "email", MAX_TEXT)?;
    match &email {
        Some(text) if !text.contains('@') => Err(ServiceError::value(
            "value is not a valid email address: it must have an @-sign",
        )),
        _ => Ok(email),
    }
}

fn picture(args: &Arguments) -> Result<Option<String>, ServiceError> {
    let picture = text(args, "picture", MAX_ADDRESS)?;
    match picture.as_deref().map(url::Url::parse) {
        None => Ok(None),
        Some(Ok(url)) if matches!(url.scheme(), "http" | "https") => Ok(picture),
        Some(_) => Err(ServiceError::value(
            "argument 'picture' must be an http or https address",
        )),
    }
}
