//! The logs of sessions: pages of them, and following them.

use futures::StreamExt;

use super::Controller;
use super::inspect::Seen;
use crate::apps::history::LogLine;
use crate::apps::session::follow;
use crate::identity::Level;
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::{Map, RemoteFunction, Value};
use crate::workers::LogQuery;
use crate::workers::browser::service::log_query;

const UNKNOWN: &str = "Server app instance not found";

impl Controller {
    pub(super) async fn get_logs(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let query = log_query(args)?;
        let seen = self.session(args, context, Level::Read, UNKNOWN).await?;
        match seen {
            Seen::Living(entry) => {
                let worker = self.worker_of(&entry)?;
                let logs = worker.logs(&entry.worker_session(), &query).await?;
                Ok(documented(logs, &query).into())
            }
            Seen::Ended(record) => {
                let lines: Vec<&LogLine> = record.history.last_logs.iter().collect();
                Ok(kept_page(&lines, &query).into())
            }
        }
    }

    /// The log as it grows: a generator, or the lines sent to a callback; then the result is how
    /// many they were.
    pub(super) async fn tail_logs(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let kind = args.opt_str("type")?.map(str::to_owned);
        let callback = RemoteFunction::try_from(args.get("callback")).ok();
        let seen = self.session(args, context, Level::Read, UNKNOWN).await?;
        let Seen::Living(entry) = seen else {
            return Err(ServiceError::runtime(
                "the session has ended, ask get_logs for what it said",
            ));
        };
        let client = context.client.clone().ok_or_else(|| {
            ServiceError::value("logs are followed over a connection; ask get_logs again and again")
        })?;
        let mut lines = follow(self.host.shared()?, entry, kind);
        let peer = &self.host.directory.peer;
        let Some(callback) = callback else {
            let generator = peer.generator(&context.to, &client, lines)?;
            return Ok(generator.into());
        };
        let mut sent = 0_i64;
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                // Nobody is left to read.
                () = client.mailbox.closed() => break,
            };
            let Some(line) = line else {
                break;
            };
            peer.notify(&context.to, &client, &callback, vec![line?]);
            sent += 1;
        }
        Ok(sent.into())
    }
}

/// Completes a worker's answer: some ignore the paging, or leave out what they were asked.
fn documented(answer: Value, query: &LogQuery) -> Value {
    let Value::Map(mut page) = answer else {
        return answer;
    };
    if let (Some(limit), Some(Value::Array(items))) = (query.limit, page.get_mut("items")) {
        items.truncate(limit);
    }
    let count = page.get("items").and_then(Value::as_array);
    let end = query.offset + count.map_or(0, <[Value]>::len);
    for (key, value) in [
        ("total", Value::from(end)),
        ("offset", query.offset.into()),
        ("limit", query.limit.into()),
    ] {
        if page.get(key).is_none_or(Value::is_nil) {
            page.insert(key, value);
        }
    }
    Value::Map(page)
}

/// A page of the lines that were kept of a session.
fn kept_page(lines: &[&LogLine], query: &LogQuery) -> Value {
    let wanted = |line: &&&LogLine| query.kind.as_ref().is_none_or(|kind| line.kind == *kind);
    let total = lines.iter().filter(wanted).count();
    let items: Vec<Value> = lines
        .iter()
        .filter(wanted)
        .skip(query.offset)
        .take(query.limit.unwrap_or(usize::MAX))
        .map(|line| {
            let item: Map =
                map! { "type" => line.kind.as_str(), "content" => line.content.as_str() };
            Value::Map(item)
        })
        .collect();
    Value::Map(map! {
        "items" => items,
        "total" => total,
        "offset" => query.offset,
        "limit" => query.limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_careless_worker_is_put_right() {
        let items: Vec<Value> = ["a", "b", "c"].map(Value::from).into();
        let query = LogQuery {
            kind: None,
            offset: 1,
            limit: Some(2),
        };
        let page = documented(Value::Map(map! { "items" => items }), &query);
        assert_eq!(page.get("items").unwrap().as_array().unwrap().len(), 2);
        assert_eq!(page.get("total").unwrap().as_i64(), Some(3));
        assert_eq!(page.get("limit").unwrap().as_i64(), Some(2));
    }

    #[test]
    fn kept_lines_are_paged_after_filtering() {
        let line = |kind: &str, content: &str| LogLine {
            kind: kind.into(),
            content: content.into(),
        };
        let kept = [
            line("console", "a"),
            line("error", "b"),
            line("console", "c"),
        ];
        let query = LogQuery {
            kind: Some("console".into()),
            offset: 1,
            limit: None,
        };
        let page = kept_page(&kept.iter().collect::<Vec<_>>(), &query);
        assert_eq!(page.get("total").unwrap().as_i64(), Some(2));
        let items = page.get("items").unwrap().as_array().unwrap();
        assert_eq!(items[0].get("content").unwrap().as_str(), Some("c"));
    }
}
