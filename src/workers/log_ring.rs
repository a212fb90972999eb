//! The newest log lines of one session.

use std::collections::VecDeque;

/// Most lines kept.
pub const CAPACITY: usize = 2048;
/// Most text kept in all lines together, in bytes.
const MAX_TEXT: usize = 4 << 20;
/// Longest text of one line, in bytes; the rest is cut off.
const MAX_LINE: usize = 64 << 10;

/// Which log a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// Written by the page or its workers, or said by the browser about them.
    Console,
    /// An uncaught error.
    Error,
    /// Written by a process.
    Stdout,
    Stderr,
    /// Said by the worker about a process.
    Info,
}

impl LogKind {
    /// The name by which clients filter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Error => "error",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Info => "info",
        }
    }
}

/// One thing that was said.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Which log.
    pub kind: LogKind,
    /// `log`, `info`, `debug`, `warning`, `error`, …
    pub level: String,
    /// The text.
    pub text: String,
    /// Who said it: `page`, `worker`, `network`, …
    pub source: String,
    /// When, in seconds since 1970.
    pub ts: f64,
}

/// A kept line with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Counts up from 0 over the life of the session.
    pub seq: u64,
    /// The line.
    pub line: LogLine,
}

impl LogEntry {
    /// The line as `get_logs` shows it: console lines carry their level in front.
    pub fn content(&self) -> String {
        match self.line.kind {
            LogKind::Console => format!("[{}] {}", self.line.level, self.line.text),
            _ => self.line.text.clone(),
        }
    }
}

/// A section of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    /// The lines, oldest first.
    pub items: Vec<LogEntry>,
    /// How many lines passed the filter, before paging.
    pub total: usize,
}

/// Bounded memory of log lines: bounded in their number and in their text.
#[derive(Debug, Default)]
pub struct LogRing {
    entries: VecDeque<LogEntry>,
    next: u64,
    text: usize,
}

impl LogRing {
    /// An empty ring.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line, forgetting the oldest ones where there is no room.
    pub fn push(&mut self, mut line: LogLine) -> u64 {
        shorten(&mut line.text, MAX_LINE);
        let seq = self.next;
        self.next += 1;
        self.text += line.text.len();
        self.entries.push_back(LogEntry { seq, line });
        while self.entries.len() > CAPACITY || self.text > MAX_TEXT {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.text -= oldest.line.text.len();
        }
        seq
    }

    /// The lines of one kind (all when none is named), from the `offset`-th, at most `limit`.
    pub fn page(&self, kind: Option<&str>, offset: usize, limit: Option<usize>) -> LogPage {
        let matching = || {
            self.entries
                .iter()
                .filter(|entry| kind.is_none_or(|kind| entry.line.kind.as_str() == kind))
        };
        let items = matching()
            .skip(offset)
            .take(limit.unwrap_or(usize::MAX))
            .cloned()
            .collect();
        LogPage {
            items,
            total: matching().count(),
        }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Cuts `text` to at most `most` bytes, at a character boundary, and says so.
pub(crate) fn shorten(text: &mut String, most: usize) {
    const NOTE: &str = " … [cut]";
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub(NOTE.len())));
        text.push_str(NOTE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: LogKind, text: &str) -> LogLine {
        LogLine {
            kind,
            level: "log".into(),
            text: text.into(),
            source: "page".into(),
            ts: 0.0,
        }
    }

    #[test]
    fn keeps_the_newest_and_goes_on_counting() {
        let mut ring = LogRing::new();
        for n in 0..CAPACITY + 10 {
            assert_eq!(ring.push(line(LogKind::Console, &n.to_string())), n as u64);
        }
        assert_eq!(ring.len(), CAPACITY);
        let first = &ring.page(None, 0, Some(1)).items[0];
        assert_eq!((first.seq, first.content().as_str()), (10, "[log] 10"));
    }

    #[test]
    fn pages_after_filtering() {
        let mut ring = LogRing::new();
        for n in 0..6 {
            let kind = if n % 2 == 0 {
                LogKind::Console
            } else {
                LogKind::Error
            };
            ring.push(line(kind, &n.to_string()));
        }
        let page = ring.page(Some("error"), 1, Some(1));
        assert_eq!(
            (
                page.total,
                page.items.len(),
                page.items[0].content().as_str()
            ),
            (3, 1, "3")
        );
        assert_eq!(ring.page(Some("nothing"), 0, None).total, 0);
        assert_eq!(
            ring.page(None, 100, None),
            LogPage {
                items: vec![],
                total: 6
            }
        );
        assert_eq!(ring.page(None, 0, Some(0)).items.len(), 0);
    }

    #[test]
    fn bounds_text_without_splitting_characters() {
        let mut ring = LogRing::new();
        for _ in 0..100 {
            ring.push(line(LogKind::Console, &"ü".repeat(MAX_LINE)));
        }
        assert!(ring.len() < 100 && ring.text <= MAX_TEXT);
        assert!(
            ring.page(None, 0, Some(1)).items[0]
                .line
                .text
                .ends_with("… [cut]")
        );
    }
}
