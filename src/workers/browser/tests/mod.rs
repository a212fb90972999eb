//! Tests with a real Chromium, which `scripts/setup` installs.

mod apps;
mod client;
mod engine;
mod pages;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(30);

async fn browser() -> Engine {
    browser_with(BrowserSettings::default()).await
}

async fn browser_with(settings: BrowserSettings) -> Engine {
    let profile_dir = std::env::temp_dir().join(format!("rhizome-test-{}", uuid::Uuid::new_v4()));
    let launched = Engine::launch(BrowserSettings {
        profile_dir,
        ..settings
    });
    launched.await.unwrap()
}

/// Waits, but not for ever.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work)
        .await
        .expect("it should have happened by now")
}

/// The events up to the first that is not a log line, and the lines before it.
async fn outcome(events: &mut PageEvents) -> (Vec<LogLine>, Option<PageEvent>) {
    let mut lines = Vec::new();
    loop {
        match soon(events.recv()).await {
            Some(PageEvent::Log(line)) => lines.push(line),
            other => return (lines, other),
        }
    }
}

/// Waits for a log line that contains `text`.
async fn line_with(events: &mut PageEvents, text: &str) -> LogLine {
    loop {
        match soon(events.recv()).await {
            Some(PageEvent::Log(line)) if line.text.contains(text) => return line,
            Some(_) => {}
            None => panic!("no line with '{text}' came"),
        }
    }
}

/// A web server with a fixed set of pages; `/hang` never answers, `/assets/` comes from a directory if one is given.
struct Site {
    address: String,
}

impl Site {
    async fn serve(pages: &[(&str, String)], assets: Option<PathBuf>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let pages: HashMap<String, String> = pages
            .iter()
            .map(|(path, body)| (path.to_string(), body.clone()))
            .collect();
        let pages = Arc::new(pages);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, pages.clone(), assets.clone()));
            }
        });
        Self { address }
    }

    async fn page(path: &str, body: &str) -> Self {
        Self::serve(&[(path, body.to_owned())], None).await
    }

    fn request(&self, path: &str, init: Value) -> PageRequest {
        PageRequest {
            url: format!("{}{path}", self.address),
            init,
            session: "ws/client".into(),
            timeout: LIMIT,
            outfit: Outfit::default(),
            start: PageStart::Fresh,
        }
    }

    async fn open(&self, engine: &Engine, path: &str) -> (Page, PageEvents) {
        let page = engine.open(self.request(path, Value::Null)).await.unwrap();
        let events = page.events().unwrap();
        (page, events)
    }
}

async fn answer(
    mut stream: TcpStream,
    pages: Arc<HashMap<String, String>>,
    assets: Option<PathBuf>,
) -> Option<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream
            .read(&mut buffer)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        head.extend_from_slice(&buffer[..read]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split_whitespace().nth(1)?.split('?').next()?;
    if path == "/hang" {
        return std::future::pending().await;
    }
    let asset = || std::fs::read_to_string(assets?.join(path.strip_prefix("/assets/")?)).ok();
    let (status, body) = match pages.get(path).cloned().or_else(asset) {
        Some(body) => ("200 OK", body),
        None if path == "/favicon.ico" => ("200 OK", String::new()),
        None => ("404 Not Found", String::new()),
    };
    let kind = if path.ends_with("js") {
        "text/javascript"
    } else {
        "text/html"
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()
}
