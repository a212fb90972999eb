//! From asking for an account to having it.

use super::Accounts;
use super::account::{Account, email_of, name_of, password_of};
use super::error::AccountError;
use super::pending::Candidate;
use crate::identity::readable_id;

/// A code is on its way.
pub struct Asked {
    pub email: String,
    /// The code itself, where no mail can be sent.
    pub code: Option<String>,
}

impl Accounts {
    /// Asks for an account.
    ///
    /// # Errors
    /// Bad texts, an email that has an account, or mails in too short a time.
    pub async fn sign_up(
        &self,
        name: &str,
        email: &str,
        password: &str,
    ) -> Result<Asked, AccountError> {
        let password = password_of(password)?;
        let (name, email) = (name_of(name)?, email_of(email)?);
        if self.tree.contains(&email)? {
            return Err(AccountError::Registered);
        }
        self.pending.lock().check_pace(&email, self.now())?;
        let candidate = Candidate {
            name,
            email: email.clone(),
            password_hash: self.passwords.hash(password).await?,
        };
        let code = {
            let mut pending = self.pending.lock();
            // Another one may have asked while this one was hashed.
            pending.check_pace(&email, self.now())?;
            pending.put(candidate, self.now())
        };
        let sent = self.send(email.clone(), code).await;
        if sent.is_err() {
            self.pending.lock().forget(&email);
        }
        sent
    }

    /// Sends a new code.
    ///
    /// # Errors
    /// Nobody asked for that account, or it is too soon.
    pub async fn resend(&self, email: &str) -> Result<Asked, AccountError> {
        let email = email_of(email).map_err(|_| AccountError::NotPending)?;
        let code = self.pending.lock().renew_code(&email, self.now())?;
        self.send(email, code).await
    }

    async fn send(&self, email: String, code: String) -> Result<Asked, AccountError> {
        if !self.mailer.sends() {
            let code = Some(code);
            return Ok(Asked { email, code });
        }
        self.mailer.send_code(&email, &code).await?;
        Ok(Asked { email, code: None })
    }

    /// Makes the account that was asked for; durable when it returns.
    ///
    /// # Errors
    /// A wrong or expired code.
    pub async fn verify(&self, email: &str, code: &str) -> Result<Account, AccountError> {
        let email = email_of(email).map_err(|_| AccountError::NotPending)?;
        let candidate = self.pending.lock().take(&email, code, self.now())?;
        let account = Account {
            id: self.fresh_id(),
            name: candidate.name,
            email,
            password_hash: candidate.password_hash,
            created_at: self.directory.clock.unix(),
            email_verified: self.mailer.sends(),
            roles: vec!["user".to_owned()],
        };
        self.create(&account)?;
        self.store.durable().await?;
        tracing::info!(user = account.id, "a new account");
        Ok(account)
    }

    /// An id whose personal workspace nobody has had: names of users and of their tokens'
    /// children are drawn from the same words.
    fn fresh_id(&self) -> String {
        loop {
            let id = readable_id();
            if !self.directory.exists(&format!("ws-user-{id}")) {
                return id;
            }
        }
    }
}
