//! Accounts with email and password, kept by this server (workspace.md 1.9).
//!
//! Somebody signs up, proves the email with a code, and logs in with the password. Passwords are
//! kept as argon2id hashes; guesses of passwords and codes are counted.

mod account;
mod error;
mod guesses;
mod mail;
mod passwords;
mod pending;
mod signup;

use std::sync::Arc;

use parking_lot::Mutex;

pub use account::Account;
pub use error::AccountError;
pub use signup::Asked;

use account::{email_of, name_of, password_of};
use guesses::Guesses;
use mail::Mailer;
use passwords::Passwords;
use pending::Pending;

use crate::config;
use crate::identity::{Level, UserInfo};
use crate::store::{Batch, Store, StoreError, Tree};
use crate::workspace::Directory;

/// Seconds that a token from a login with a password lives.
const TOKEN_LIFETIME_S: f64 = 86_400.0;

/// See the module's text.
pub struct Accounts {
    directory: Arc<Directory>,
    store: Store,
    /// By email.
    tree: Tree<Account>,
    /// Emails by user id.
    emails: Tree<String>,
    pending: Mutex<Pending>,
    guesses: Mutex<Guesses>,
    passwords: Passwords,
    mailer: Mailer,
    /// Held while an account is made, so that two of one email do not race.
    making: Mutex<()>,
}

/// What an owner wants to change.
pub struct ProfileChange<'a> {
    pub email: Option<&'a str>,
    pub name: Option<&'a str>,
    pub current_password: Option<&'a str>,
    pub new_password: Option<&'a str>,
}

impl Accounts {
    /// # Errors
    /// The store cannot be read.
    pub fn open(
        directory: Arc<Directory>,
        store: &Store,
        settings: &config::Accounts,
    ) -> Result<Self, StoreError> {
        let mailer = Mailer::new(settings);
        if !mailer.sends() {
            tracing::warn!(
                "no mail provider is set (accounts.resend_api_key): codes for new accounts are \
                 handed to whoever signs up, so emails prove nothing; fit for trying out only"
            );
        }
        Ok(Accounts {
            tree: store.tree("accounts")?,
            emails: store.tree("account_emails")?,
            store: store.clone(),
            pending: Mutex::new(Pending::new(settings)),
            guesses: Mutex::new(Guesses::new()),
            passwords: Passwords::new(),
            mailer,
            making: Mutex::new(()),
            directory,
        })
    }

    /// The account of a user.
    ///
    /// # Errors
    /// The store failed.
    pub fn by_user(&self, user_id: &str) -> Result<Option<Account>, AccountError> {
        let Some(email) = self.emails.get(user_id)? else {
            return Ok(None);
        };
        Ok(self.tree.get(&email)?)
    }

    /// Checks email and password.
    ///
    /// # Errors
    /// Wrong ones (which of both, is not told), or too many wrong ones before.
    pub async fn authenticate(&self, email: &str, password: &str) -> Result<Account, AccountError> {
        let email = email_of(email).map_err(|_| AccountError::Credentials)?;
        let account = self.tree.get(&email)?;
        let hash = account
            .as_ref()
            .map(|account| account.password_hash.clone());
        if self.guess(&email, password, hash).await? {
            return account.ok_or(AccountError::Credentials);
        }
        Err(AccountError::Credentials)
    }

    /// One guess of a password, counted until it proves right. Without a hash it is wrong, but
    /// takes as long.
    async fn guess(
        &self,
        email: &str,
        password: &str,
        hash: Option<String>,
    ) -> Result<bool, AccountError> {
        self.guesses.lock().count(email, self.now())?;
        let right = self.passwords.verify(password, hash).await?;
        if right {
            self.guesses.lock().forgive(email);
        }
        Ok(right)
    }

    /// A token for the owner of an account, for `workspace` or their own one.
    ///
    /// # Errors
    /// They have no rights in the workspace (rule S9).
    pub fn token(
        &self,
        account: &Account,
        workspace: Option<&str>,
    ) -> Result<(String, String), AccountError> {
        let user = account.user();
        let personal = user.personal_workspace();
        let workspace = workspace.unwrap_or(&personal);
        let denied = || AccountError::Workspace(workspace.to_owned());
        let info = self.directory.ensure(workspace, &user).map_err(|error| {
            tracing::debug!(%error, workspace, "no login into a workspace");
            denied()
        })?;
        let mut user = user.acting_in(workspace, None, info.is_owned_by(&user));
        user.scope.grant(&personal, Level::Admin);
        if !user.allows(workspace, Level::Read) {
            return Err(denied());
        }
        let tokens = &self.directory.tokens;
        let token = tokens.issue(&user, &user.scope, TOKEN_LIFETIME_S)?;
        Ok((token, workspace.to_owned()))
    }

    /// Changes an account: its owner may, and who has its password. A new password needs the old
    /// one in any case.
    ///
    /// # Errors
    /// Neither of both, or what is wanted is not allowed.
    pub async fn change(
        &self,
        caller: &UserInfo,
        change: ProfileChange<'_>,
    ) -> Result<(), AccountError> {
        let email = match change.email {
            Some(email) => email_of(email)?,
            None => {
                let own = self.emails.get(&caller.id)?;
                own.ok_or(AccountError::Missing(
                    "Email is required for profile updates",
                ))?
            }
        };
        let name = change.name.map(name_of).transpose()?;
        let new_password = change.new_password.map(password_of).transpose()?;
        if new_password.is_some() && change.current_password.is_none() {
            return Err(AccountError::CurrentPassword);
        }
        let account = self.tree.get(&email)?;
        let proven = match change.current_password {
            Some(password) => {
                let hash = account
                    .as_ref()
                    .map(|account| account.password_hash.clone());
                if !self.guess(&email, password, hash).await? {
                    return Err(AccountError::WrongPassword);
                }
                true
            }
            None => account
                .as_ref()
                .is_some_and(|account| account.is_of(caller)),
        };
        // Strangers are not told whether there is such an account.
        if !proven {
            return Err(AccountError::NotOwner);
        }
        let hash = match new_password {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        self.alter(&email, |account| {
            if let Some(name) = name {
                account.name = name;
            }
            if let Some(hash) = hash {
                account.password_hash = hash;
            }
        })?;
        Ok(self.store.durable().await?)
    }

    /// Changes the account as it is now: hashing took a while.
    fn alter(&self, email: &str, alter: impl FnOnce(&mut Account)) -> Result<(), AccountError> {
        let _making = self.making.lock();
        let mut account = self.tree.get(email)?.ok_or(AccountError::NotOwner)?;
        alter(&mut account);
        Ok(self.tree.put(email, &account)?)
    }

    /// Makes an account, unless its email has one already.
    fn create(&self, account: &Account) -> Result<(), AccountError> {
        let _making = self.making.lock();
        if self.tree.contains(&account.email)? {
            return Err(AccountError::Registered);
        }
        let mut batch = Batch::new();
        batch.put(&self.tree, &account.email, account)?;
        batch.put(&self.emails, &account.id, &account.email)?;
        Ok(self.store.apply(batch)?)
    }

    fn now(&self) -> std::time::Duration {
        self.directory.clock.now()
    }
}
