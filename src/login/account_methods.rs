//! The methods of the login service about accounts (workspace.md 1.9).

use super::accounts::{Account, AccountError, Accounts, Asked, ProfileChange};
use super::service::LoginService;
use super::sessions::Profile;
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::{Map, Value};

impl LoginService {
    /// The methods about accounts. They answer with `success` and `error` instead of failing.
    pub(super) async fn run_account(
        &self,
        method: &str,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let missing = || ServiceError::key(format!("Method not found: {method}"));
        let accounts = self.accounts.as_ref().ok_or_else(missing)?;
        let outcome = match method {
            "signup" => sign_up(accounts, args).await,
            "verify_email" => verify_email(accounts, args).await,
            "resend_code" => resend_code(accounts, args).await,
            "login" => self.log_in(accounts, args).await,
            "update_profile" => update_profile(accounts, args, context).await,
            _ => return Err(missing()),
        };
        let answer = match outcome {
            Ok(told) => {
                let mut answer = map! { "success" => true };
                answer.extend(told);
                answer
            }
            Err(error) => map! { "success" => false, "error" => error.to_string() },
        };
        Ok(Value::Map(answer).into())
    }

    /// A login with a password, which completes the login with the key if one is given.
    async fn log_in(&self, accounts: &Accounts, args: &Arguments) -> Result<Map, AccountError> {
        let needed = "Email and password are required";
        let (email, password) = (
            need(args, "email", needed)?,
            need(args, "password", needed)?,
        );
        let (key, workspace) = (given(args, "key")?, given(args, "workspace")?);
        if let Some(key) = key {
            self.sessions.wish(key)?;
        }
        let account = accounts.authenticate(email, password).await?;
        let (token, workspace) = accounts.token(&account, workspace)?;
        if let Some(key) = key {
            self.complete_with(key, &account, &token, &workspace)?;
        }
        Ok(map! {
            "token" => token,
            "user_id" => account.id,
            "email" => account.email,
            "workspace" => workspace,
        })
    }

    /// Completes a login as its program wished, with what is known from an account.
    fn complete_with(
        &self,
        key: &str,
        account: &Account,
        token: &str,
        workspace: &str,
    ) -> Result<(), AccountError> {
        let wish = self.sessions.wish(key)?;
        let workspace = wish.workspace.unwrap_or_else(|| workspace.to_owned());
        let user = self.verified(token).map_err(|error| {
            tracing::error!(%error, "a token of ours is not accepted");
            AccountError::Internal
        })?;
        let token = self
            .token_for(&user, &workspace, wish.expires_in)
            .map_err(|_| AccountError::Workspace(workspace.clone()))?;
        let profile = Profile {
            token,
            workspace: Some(workspace),
            expires_in: wish.expires_in,
            email: Some(account.email.clone()),
            email_verified: Some(account.email_verified),
            name: Some(account.name.clone()),
            nickname: Some(account.name.clone()),
            user_id: Some(account.id.clone()),
            picture: None,
        };
        Ok(self.sessions.complete(key, &account.id, profile)?)
    }
}

async fn sign_up(accounts: &Accounts, args: &Arguments) -> Result<Map, AccountError> {
    let needed = "Name, email and password are required";
    let name = need(args, "name", needed)?;
    let email = need(args, "email", needed)?;
    let asked = accounts.sign_up(name, email, need(args, "password", needed)?);
    let mut told = told(asked.await?);
    told.insert("verification_required", true);
    Ok(told)
}

async fn resend_code(accounts: &Accounts, args: &Arguments) -> Result<Map, AccountError> {
    let email = need(args, "email", "Email is required")?;
    Ok(told(accounts.resend(email).await?))
}

fn told(asked: Asked) -> Map {
    let mut told = map! { "email" => asked.email };
    if let Some(code) = asked.code {
        told.insert("dev_code", code);
    }
    told
}

async fn verify_email(accounts: &Accounts, args: &Arguments) -> Result<Map, AccountError> {
    let needed = "Email and verification code are required";
    let email = need(args, "email", needed)?;
    // Six digits may arrive as a number, without the zeros in front.
    let code = match args.get("code") {
        Value::Int(number) => format!("{number:06}"),
        _ => need(args, "code", needed)?.to_owned(),
    };
    let account = accounts.verify(email, &code).await?;
    Ok(map! { "user_id" => account.id, "email_verified" => true })
}

async fn update_profile(
    accounts: &Accounts,
    args: &Arguments,
    context: &CallContext,
) -> Result<Map, AccountError> {
    let change = ProfileChange {
        email: given(args, "user_email")?,
        name: given(args, "name")?,
        current_password: given(args, "current_password")?,
        new_password: given(args, "new_password")?,
    };
    accounts.change(&context.user, change).await?;
    Ok(map! { "message" => "Profile updated successfully" })
}

/// A text; an empty one is none.
fn given<'a>(args: &'a Arguments, name: &str) -> Result<Option<&'a str>, AccountError> {
    let text = args.opt_str(name);
    let text = text.map_err(|error| AccountError::Argument(error.message))?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn need<'a>(
    args: &'a Arguments,
    name: &str,
    otherwise: &'static str,
) -> Result<&'a str, AccountError> {
    given(args, name)?.ok_or(AccountError::Missing(otherwise))
}
