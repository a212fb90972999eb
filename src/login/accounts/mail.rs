//! Sending codes by mail, through the HTTP interface of Resend.

use std::time::Duration;

use serde_json::json;

use super::error::AccountError;
use crate::config;

const TIMEOUT: Duration = Duration::from_secs(10);

/// See the module's text. Without a key nothing is sent.
pub struct Mailer {
    agent: ureq::Agent,
    address: String,
    key: String,
    from: String,
    /// Minutes that a code is good for.
    minutes: u64,
}

impl Mailer {
    pub fn new(settings: &config::Accounts) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .build();
        Mailer {
            agent: agent.into(),
            address: settings.resend_address.clone(),
            key: settings.resend_api_key.clone(),
            from: settings.mail_from.clone(),
            minutes: (settings.code_lifetime / 60.0).round() as u64,
        }
    }

    /// Whether mails are sent at all.
    pub fn sends(&self) -> bool {
        !self.key.is_empty()
    }

    /// Sends a code.
    ///
    /// # Errors
    /// The provider did not take it; why, is in the log.
    pub async fn send_code(&self, to: &str, code: &str) -> Result<(), AccountError> {
        let text = format!(
            "Your verification code is {code}.\n\nIt is good for {} minutes. If you did not ask \
             for it, somebody mistyped an address; there is nothing to do.\n",
            self.minutes
        );
        let body = json!({
            "from": self.from,
            "to": [to],
            "subject": "Your verification code",
            "text": text,
        });
        let request = self
            .agent
            .post(&self.address)
            .header("Authorization", format!("Bearer {}", self.key))
            .header("Content-Type", "application/json");
        let sending = tokio::task::spawn_blocking(move || request.send(body.to_string()));
        match sending.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(%error, "the mail provider did not take a mail");
                Err(AccountError::Mail)
            }
            Err(error) => {
                tracing::error!(%error, "sending a mail ended");
                Err(AccountError::Mail)
            }
        }
    }
}
