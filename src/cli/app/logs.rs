//! `rhizome app logs`.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{AppError, Session, needed, text};
use crate::map;
use crate::wire::Value;

/// Between two looks for new lines.
const LOOK: Duration = Duration::from_millis(400);
/// Lines per question.
const PAGE: i64 = 500;

pub(super) fn command() -> Command {
    Command::new("logs")
        .about("Shows the logs of a session, or of the newest one of an app")
        .arg(super::named(
            "session-or-app",
            "Id of the session or the app",
        ))
        .arg(
            Arg::new("follow")
                .short('f')
                .long("follow")
                .action(ArgAction::SetTrue)
                .help("Goes on with what is logged from now"),
        )
        .arg(text("type", "Only lines of this type, e.g. error"))
        .arg(
            Arg::new("lines")
                .short('n')
                .long("lines")
                .value_parser(value_parser!(i64))
                .help("Only the last lines"),
        )
}

/// One page of a log.
struct Page {
    items: Vec<Value>,
    total: i64,
}

impl Session<'_> {
    pub(super) async fn logs(&self, given: &ArgMatches) -> Result<(), AppError> {
        let session = self.session(&needed(given, "session-or-app")?).await?;
        let kind = super::arg(given, "type");
        let skip = match given.get_one::<i64>("lines") {
            Some(lines) => {
                let total = self.page(&session, kind.as_deref(), 0, 1).await?.total;
                (total - lines).max(0)
            }
            None => 0,
        };
        let shown = self.show_from(&session, kind.as_deref(), skip).await?;
        if given.get_flag("follow") {
            self.follow(&session, kind.as_deref(), shown).await?;
        }
        Ok(())
    }

    /// Prints what comes after `offset`; the new offset.
    async fn show_from(
        &self,
        session: &str,
        kind: Option<&str>,
        mut offset: i64,
    ) -> Result<i64, AppError> {
        loop {
            let page = self.page(session, kind, offset, PAGE).await?;
            for item in &page.items {
                self.print(item);
            }
            offset += page.items.len() as i64;
            if page.items.is_empty() || offset >= page.total {
                return Ok(offset);
            }
        }
    }

    /// Prints new lines until the session ends.
    pub(super) async fn follow(
        &self,
        session: &str,
        kind: Option<&str>,
        mut offset: i64,
    ) -> Result<(), AppError> {
        loop {
            tokio::time::sleep(LOOK).await;
            offset = match self.show_from(session, kind, offset).await {
                Ok(offset) => offset,
                Err(AppError::Client(crate::client::ClientError::Remote(reason))) => {
                    self.output.say(&format!("the session ended: {reason}"));
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
        }
    }

    async fn page(
        &self,
        session: &str,
        kind: Option<&str>,
        offset: i64,
        limit: i64,
    ) -> Result<Page, AppError> {
        let mut kwargs = map! { "session_id" => session, "offset" => offset, "limit" => limit };
        if let Some(kind) = kind {
            kwargs.insert("type", kind);
        }
        let page = self.ask("get_logs", kwargs).await?;
        let items = page.get("items").and_then(Value::as_array);
        Ok(Page {
            items: items.unwrap_or_default().to_vec(),
            total: page.get("total").and_then(Value::as_i64).unwrap_or(0),
        })
    }

    fn print(&self, item: &Value) {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        let kind = text("type");
        if kind == "error" {
            return eprintln!("[error] {}", text("content").trim_end());
        }
        self.output.say(text("content").trim_end());
    }
}
