//! What the commands print: tables and progress for people, JSON for programs.

use std::io::IsTerminal;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::client;
use crate::wire::Value;

/// See the module's text.
#[derive(Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

/// Progress of a running command, on standard error.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// What the server calls with its progress messages (server-apps.md 2.7).
    pub fn callback(&self) -> client::Progress {
        let bar = self.bar.clone();
        Arc::new(move |args| {
            let Some(message) = args.first() else {
                return;
            };
            let text = message.get("message").and_then(Value::as_str);
            let kind = message.get("type").and_then(Value::as_str);
            let text = text.unwrap_or_default().to_owned();
            if bar.is_hidden() {
                // Not a terminal: one line each, so that logs of builds can be read.
                eprintln!("{}: {text}", kind.unwrap_or("info"));
            } else if matches!(kind, Some("error" | "warning")) {
                bar.println(text);
            } else {
                bar.set_message(text);
            }
        })
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

impl Output {
    pub fn new(json: bool) -> Self {
        Output { json }
    }

    pub fn progress(&self) -> Progress {
        let bar = ProgressBar::new_spinner();
        if self.json || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        Progress { bar }
    }

    /// A remark for people; programs get nothing.
    pub fn say(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    /// A value with all its fields.
    pub fn whole(&self, value: &Value) {
        println!("{:#}", value.to_json());
    }

    /// A result: bare text for people, JSON for everything else.
    pub fn result(&self, value: &Value) {
        match value {
            Value::Str(text) if !self.json => println!("{text}"),
            other => self.whole(other),
        }
    }

    /// Some fields of a record.
    pub fn record(&self, record: &Value, fields: &[&str]) {
        if self.json {
            return self.whole(record);
        }
        for field in fields {
            if let Some(value) = record.get(field).filter(|value| !value.is_nil()) {
                println!("{field:<12} {}", shown(value));
            }
        }
    }

    /// A list of texts, one per line.
    pub fn lines(&self, list: &Value, none: &str) {
        if self.json {
            return self.whole(list);
        }
        let items = list.as_array().unwrap_or_default();
        if items.is_empty() {
            println!("{none}");
        }
        for item in items {
            println!("{}", shown(item));
        }
    }

    /// A list of records as a table.
    pub fn table(&self, list: &Value, columns: &[&str], none: &str) {
        if self.json {
            return self.whole(list);
        }
        let rows: Vec<Vec<String>> = list
            .as_array()
            .unwrap_or_default()
            .iter()
            .map(|record| {
                columns
                    .iter()
                    .map(|column| record.get(column).map(shown).unwrap_or_default())
                    .collect()
            })
            .collect();
        if rows.is_empty() {
            return println!("{none}");
        }
        for line in laid_out(columns, &rows) {
            println!("{line}");
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Nil => String::new(),
        Value::Str(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_json().to_string(),
    }
}

/// The head and the rows with aligned columns.
fn laid_out(columns: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let head: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
    let width = |at: usize| {
        rows.iter()
            .chain([&head])
            .map(|row| row[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    [&head]
        .into_iter()
        .chain(rows)
        .map(|row| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![
            vec!["a".to_owned(), "long one".to_owned()],
            vec!["bcd".to_owned(), "x".to_owned()],
        ];
        assert_eq!(
            laid_out(&["id", "name"], &rows),
            ["ID   NAME", "a    long one", "bcd  x"]
        );
    }
}
