//! Following the log of a session while it grows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;

use super::entry::SessionEntry;
use crate::apps::host::Host;
use crate::peer::{Items, ServiceError};
use crate::wire::Value;
use crate::workers::LogQuery;

/// How often a worker is asked for new lines.
const EVERY: Duration = Duration::from_millis(300);
/// Lines asked for again, to notice when more came than a worker keeps.
const OVERLAP: usize = 256;

/// How far a log was read. Workers that number their lines keep only the newest ones; others keep
/// all and are read by their place.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cursor {
    /// Number of the last line, where lines are numbered.
    seq: Option<i64>,
    /// How many lines there were.
    total: usize,
}

impl Cursor {
    fn offset(&self) -> usize {
        match self.seq {
            Some(_) => self.total.saturating_sub(OVERLAP),
            None => self.total,
        }
    }

    /// The new lines of a page that was asked for at [`Cursor::offset`]; none when lines between
    /// are missing and the page must be read from its beginning.
    fn take(&mut self, page: &Value, offset: usize) -> Option<Vec<Value>> {
        let items = page.get("items").and_then(Value::as_array);
        let items = items.unwrap_or_default();
        let total = page.get("total").and_then(Value::as_i64);
        let total = total.and_then(|total| usize::try_from(total).ok());
        let seq = |item: &Value| item.get("seq").and_then(Value::as_i64);
        let numbered = items.iter().all(|item| seq(item).is_some()) && !items.is_empty();
        if !numbered {
            // A log that shrank was begun anew.
            let end = offset + items.len();
            self.total = total.map_or(end, |total| end.min(total.max(items.len())));
            return Some(items.to_vec());
        }
        let last = self.seq.unwrap_or(-1);
        let first = items.first().and_then(seq).unwrap_or_default();
        if first > last + 1 && offset > 0 {
            return None;
        }
        self.seq = items.last().and_then(seq);
        self.total = total.unwrap_or(offset + items.len());
        let new = items.iter().filter(|item| seq(item) > Some(last));
        Some(new.cloned().collect())
    }
}

struct Tail {
    host: Arc<Host>,
    entry: Arc<SessionEntry>,
    kind: Option<String>,
    cursor: Cursor,
    ready: VecDeque<Value>,
    over: bool,
}

/// The lines of a living session, those there are and those to come, until it ends.
pub fn follow(host: Arc<Host>, entry: Arc<SessionEntry>, kind: Option<String>) -> Items {
    let tail = Tail {
        host,
        entry,
        kind,
        cursor: Cursor::default(),
        ready: VecDeque::new(),
        over: false,
    };
    stream::unfold(tail, |mut tail| async move {
        let item = tail.next().await?;
        Some((item, tail))
    })
    .boxed()
}

impl Tail {
    async fn next(&mut self) -> Option<Result<Value, ServiceError>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            if self.over {
                return None;
            }
            // Looked at before the lines are: what a session says at its end is not missed.
            let ended = self.has_ended();
            if let Err(error) = self.read().await {
                self.over = true;
                return (!ended).then_some(Err(error));
            }
            self.over = ended;
            if self.ready.is_empty() && !ended {
                self.host.clock.sleep(EVERY).await;
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.entry.state().is_final() || self.host.sessions.get(&self.entry.id()).is_none()
    }

    async fn read(&mut self) -> Result<(), ServiceError> {
        let worker = self
            .entry
            .worker()
            .and_then(|id| self.host.workers.get(&id));
        let Some(worker) = worker else {
            return Ok(());
        };
        let session = self.entry.worker_session();
        let mut offset = self.cursor.offset();
        loop {
            let query = LogQuery {
                kind: self.kind.clone(),
                offset,
                limit: None,
            };
            let page = worker.logs(&session, &query).await?;
            match self.cursor.take(&page, offset) {
                Some(lines) => {
                    self.ready.extend(lines);
                    return Ok(());
                }
                None => offset = 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map;

    fn page(lines: &[(Option<i64>, &str)], total: usize) -> Value {
        let items: Vec<Value> = lines
            .iter()
            .map(|(seq, text)| {
                let mut line = map! { "type" => "console", "content" => *text };
                if let Some(seq) = seq {
                    line.insert("seq", *seq);
                }
                Value::Map(line)
            })
            .collect();
        Value::Map(map! { "items" => items, "total" => total })
    }

    fn texts(lines: Option<Vec<Value>>) -> Vec<String> {
        let text = |line: &Value| line.get("content").unwrap().as_str().unwrap().to_owned();
        lines.unwrap().iter().map(text).collect()
    }

    #[test]
    fn numbered_lines_are_told_once_although_they_are_read_again() {
        let mut cursor = Cursor::default();
        let first = page(&[(Some(0), "a"), (Some(1), "b")], 2);
        assert_eq!(texts(cursor.take(&first, 0)), ["a", "b"]);
        assert_eq!(cursor.offset(), 0);
        let again = page(&[(Some(0), "a"), (Some(1), "b"), (Some(2), "c")], 3);
        assert_eq!(texts(cursor.take(&again, 0)), ["c"]);
    }

    #[test]
    fn a_gap_sends_the_reader_back_to_the_beginning() {
        let mut cursor = Cursor {
            seq: Some(9),
            total: 2048,
        };
        let offset = cursor.offset();
        assert_eq!(offset, 2048 - OVERLAP);
        let ahead = page(&[(Some(3000), "x")], 2048);
        assert_eq!(cursor.take(&ahead, offset), None);
        let whole = page(&[(Some(2999), "w"), (Some(3000), "x")], 2048);
        assert_eq!(texts(cursor.take(&whole, 0)), ["w", "x"]);
    }

    #[test]
    fn lines_without_numbers_are_read_by_their_place() {
        let mut cursor = Cursor::default();
        assert_eq!(texts(cursor.take(&page(&[(None, "a")], 1), 0)), ["a"]);
        assert_eq!(cursor.offset(), 1);
        assert!(texts(cursor.take(&page(&[], 1), 1)).is_empty());
        assert_eq!(texts(cursor.take(&page(&[(None, "b")], 2), 1)), ["b"]);
        assert_eq!(cursor.offset(), 2);
        // The worker began its log anew.
        assert!(texts(cursor.take(&page(&[], 0), 2)).is_empty());
        assert_eq!(cursor.offset(), 0);
    }
}
