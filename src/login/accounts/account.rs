//! One account, and what emails, names and passwords may be.

use serde::{Deserialize, Serialize};

use super::error::AccountError;
use crate::identity::UserInfo;

/// Shortest password, in characters.
const MIN_PASSWORD: usize = 8;
/// Longest texts, in bytes.
const MAX_PASSWORD: usize = 1024;
const MAX_NAME: usize = 64;
const MAX_EMAIL: usize = 254;

/// An account as it is stored.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Id of its user.
    pub id: String,
    pub name: String,
    pub email: String,
    /// In the form of the password hashing competition: method, parameters, salt and hash.
    pub password_hash: String,
    /// Seconds since 1970.
    pub created_at: f64,
    /// Whether a mail to the email was read by its owner. Only then the email counts.
    pub email_verified: bool,
    pub roles: Vec<String>,
}

impl Account {
    /// Its user. An email that proves nothing is left out: emails can own workspaces.
    pub fn user(&self) -> UserInfo {
        UserInfo {
            email: self.email_verified.then(|| self.email.clone()),
            ..UserInfo::with_roles(self.id.as_str(), self.roles.clone())
        }
    }

    /// Whether it is the account of a caller, as opposed to somebody whom they gave a token.
    pub fn is_of(&self, caller: &UserInfo) -> bool {
        !caller.is_anonymous && caller.id == self.id
    }
}

/// An email in the form in which accounts are looked up.
pub fn email_of(text: &str) -> Result<String, AccountError> {
    let email = text.trim().to_lowercase();
    let breaks = |c: char| c.is_whitespace() || c.is_control() || "<>(),;:\"\\".contains(c);
    let parts = email.split_once('@');
    let whole = parts.is_some_and(|(name, domain)| {
        let labels = domain.split('.');
        !name.is_empty()
            && !domain.contains('@')
            && labels.clone().count() > 1
            && labels.into_iter().all(|label| !label.is_empty())
    });
    if whole && email.len() <= MAX_EMAIL && !email.contains(breaks) {
        return Ok(email);
    }
    Err(AccountError::Email)
}

/// A name, without spaces around it.
pub fn name_of(text: &str) -> Result<String, AccountError> {
    let name = text.trim();
    if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
        return Err(AccountError::Name(MAX_NAME));
    }
    Ok(name.to_owned())
}

/// A password that may be taken.
pub fn password_of(text: &str) -> Result<&str, AccountError> {
    if text.chars().count() < MIN_PASSWORD {
        return Err(AccountError::ShortPassword(MIN_PASSWORD));
    }
    if text.len() > MAX_PASSWORD {
        return Err(AccountError::LongPassword(MAX_PASSWORD));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_have_one_form() {
        assert_eq!(email_of(" Ann@Lab.ORG ").unwrap(), "ann@lab.org");
        assert_eq!(email_of("a+b.c@x.y.z").unwrap(), "a+b.c@x.y.z");
        for bad in [
            "", "@", "a@", "@b.c", "a@b", "a@b.", "a@.c", "a b@c.d", "a@b@c.d", "a\n@b.c",
            "<a@b.c>",
        ] {
            assert!(email_of(bad).is_err(), "{bad:?}");
        }
        assert!(email_of(&format!("{}@b.c", "a".repeat(254))).is_err());
    }

    #[test]
    fn names_and_passwords_have_limits() {
        assert_eq!(name_of(" Ann Lee ").unwrap(), "Ann Lee");
        for bad in ["", "  ", "a\nb", &"x".repeat(65)] {
            assert!(name_of(bad).is_err(), "{bad:?}");
        }
        assert!(password_of("12345678").is_ok() && password_of("üüüüüüüü").is_ok());
        assert!(password_of("1234567").is_err() && password_of(&"x".repeat(1025)).is_err());
    }

    #[test]
    fn an_email_that_proves_nothing_is_not_the_users() {
        let mut account = Account {
            id: "ann".into(),
            name: "Ann".into(),
            email: "ann@lab.org".into(),
            password_hash: String::new(),
            created_at: 0.0,
            email_verified: false,
            roles: vec!["user".into()],
        };
        assert_eq!(account.user().email, None);
        account.email_verified = true;
        assert_eq!(account.user().email.as_deref(), Some("ann@lab.org"));
        let child = UserInfo {
            parent: Some("ann".into()),
            ..UserInfo::with_roles("kid", Vec::new())
        };
        assert!(account.is_of(&account.user()) && !account.is_of(&child));
    }
}
