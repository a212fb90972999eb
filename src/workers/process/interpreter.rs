//! A Python interpreter that runs an app, and executes code on top of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::folder::Folder;
use super::session::SessionLog;
use crate::processes::{Exit, Incoming, Process, Spawned, each_line};
use crate::workers::log_ring::LogKind;
use crate::workers::{Notice, Notices};

/// What runs in the process before the app does.
pub const DRIVER: &str = concat!(
    include_str!("../../../templates/python/showing.py"),
    include_str!("../../../templates/process/driver.py")
);
/// How long code that was interrupted may take to give up.
const INTERRUPTED: Duration = Duration::from_secs(3);
/// How long the last output of an ended process is waited for.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Code that is being executed.
struct Waiting {
    outputs: Vec<Json>,
    done: oneshot::Sender<Json>,
}

type Cells = Arc<Mutex<HashMap<u64, Waiting>>>;

/// See the module's text.
pub struct Interpreter {
    pub process: Process,
    commands: mpsc::UnboundedSender<Json>,
    cells: Cells,
    next: AtomicU64,
    finished: Arc<AtomicBool>,
}

/// Everything that looks after one interpreter.
pub struct Pump {
    process: Process,
    incoming: Incoming,
    outputs: Vec<JoinHandle<()>>,
    cells: Cells,
    finished: Arc<AtomicBool>,
    log: SessionLog,
    notices: Notices,
    /// Goes when the process is over.
    _folder: Folder,
}

impl Interpreter {
    /// Takes over a process that runs the driver, and gives it its order. None when it was not
    /// started with a line to us.
    pub fn new(
        mut spawned: Spawned,
        order: Json,
        log: SessionLog,
        notices: Notices,
        folder: Folder,
    ) -> Option<(Self, Pump)> {
        let (incoming, mut outgoing) = spawned.control.take()?.split();
        let (commands, mut queue) = mpsc::unbounded_channel();
        // The receiver is right here.
        let _ = commands.send(order);
        tokio::spawn(async move {
            while let Some(command) = queue.recv().await {
                if outgoing.send(&command).await.is_err() {
                    return;
                }
            }
        });
        let mut outputs = Vec::new();
        if let Some(Ok(stdout)) = spawned
            .stdout
            .take()
            .map(tokio::process::ChildStdout::from_std)
        {
            let log = log.clone();
            outputs.push(tokio::spawn(each_line(stdout, move |line| {
                log.push(LogKind::Stdout, line);
            })));
        }
        if let Some(Ok(stderr)) = spawned
            .stderr
            .take()
            .map(tokio::process::ChildStderr::from_std)
        {
            let log = log.clone();
            outputs.push(tokio::spawn(each_line(stderr, move |line| {
                log.push(LogKind::Stderr, line);
            })));
        }
        let interpreter = Interpreter {
            process: spawned.process.clone(),
            commands,
            cells: Cells::default(),
            next: AtomicU64::new(1),
            finished: Arc::default(),
        };
        let pump = Pump {
            process: spawned.process,
            incoming,
            outputs,
            cells: interpreter.cells.clone(),
            finished: interpreter.finished.clone(),
            log,
            notices,
            _folder: folder,
        };
        Some((interpreter, pump))
    }

    /// Whether the app's script is done and nothing is being executed.
    pub fn is_idle(&self) -> bool {
        self.finished.load(Ordering::Acquire) && self.cells.lock().is_empty()
    }

    /// Executes code; the result in the shape of notebooks (server-apps.md 4.1).
    pub async fn execute(&self, script: &str, limit: Duration) -> Json {
        let cell = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, mut done) = oneshot::channel();
        self.cells.lock().insert(
            cell,
            Waiting {
                outputs: Vec::new(),
                done: sender,
            },
        );
        let _forget = Forget(&self.cells, cell);
        let command = json!({ "do": "execute", "cell": cell, "script": script });
        if self.commands.send(command).is_err() || !self.process.is_alive() {
            return self.over(cell).await;
        }
        if let Ok(outcome) = tokio::time::timeout(limit, &mut done).await {
            return match outcome {
                Ok(outcome) => outcome,
                Err(_) => self.over(cell).await,
            };
        }
        // It gets an answer either way.
        let _ = self
            .commands
            .send(json!({ "do": "interrupt", "cell": cell }));
        match tokio::time::timeout(INTERRUPTED, &mut done).await {
            Ok(Ok(outcome)) => outcome,
            _ => failure(
                self.taken(cell),
                "TimeoutError",
                &format!("not done after {} s, and it goes on", limit.as_secs_f64()),
            ),
        }
    }

    fn taken(&self, cell: u64) -> Vec<Json> {
        let waiting = self.cells.lock().remove(&cell);
        waiting.map_or_else(Vec::new, |waiting| waiting.outputs)
    }

    async fn over(&self, cell: u64) -> Json {
        let exit = self.process.exited().await;
        let text = format!("the interpreter has ended ({exit})");
        failure(self.taken(cell), "DeadKernelError", &text)
    }
}

/// Forgets code whose caller has gone.
struct Forget<'a>(&'a Cells, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

fn failure(outputs: Vec<Json>, name: &str, text: &str) -> Json {
    json!({
        "status": "error",
        "outputs": outputs,
        "error": { "ename": name, "evalue": text, "traceback": [format!("{name}: {text}")] },
    })
}

impl Pump {
    /// Carries what the interpreter says to whom it concerns, until its process is over.
    pub async fn run(mut self) -> Exit {
        while let Some(message) = self.incoming.next().await {
            self.hear(message);
        }
        let exit = self.process.exited().await;
        for output in self.outputs.drain(..) {
            // A process of the app's own may hold the pipe open.
            let abort = output.abort_handle();
            if tokio::time::timeout(LAST_OUTPUT, output).await.is_err() {
                abort.abort();
            }
        }
        self.cells.lock().clear();
        if !self.finished.load(Ordering::Acquire) {
            let code = match exit {
                Exit::Code(code) => code,
                Exit::Signal(signal) => -signal,
                Exit::Unknown => -1,
            };
            self.log.push(LogKind::Info, return_code(code));
            let last = self.log.last_words();
            let cause = match last.as_str() {
                "" => format!("the process ended with {exit}"),
                last => format!("the process ended with {exit}: {last}"),
            };
            // The session may be over already.
            let _ = self.notices.send(Notice::Exited { code, cause });
        }
        exit
    }

    fn hear(&self, mut message: Json) {
        let cell = message["cell"].as_u64().unwrap_or(0);
        match message["event"].as_str() {
            Some("finished") => {
                self.finished.store(true, Ordering::Release);
                self.log.push(LogKind::Info, return_code(0));
                let _ = self.notices.send(Notice::Completed);
            }
            Some("output") => {
                if let Some(waiting) = self.cells.lock().get_mut(&cell) {
                    add_output(&mut waiting.outputs, message["output"].take());
                }
            }
            Some("done") => {
                let Some(waiting) = self.cells.lock().remove(&cell) else {
                    return;
                };
                let error = message["error"].take();
                let status = if error.is_null() { "ok" } else { "error" };
                let outcome =
                    json!({ "status": status, "outputs": waiting.outputs, "error": error });
                // Whoever asked may have gone.
                let _ = waiting.done.send(outcome);
            }
            _ => {}
        }
    }
}

fn return_code(code: i32) -> String {
    format!("Python code executed with return code: {code}")
}

/// Adds an output; text of the same stream goes on where the last one ended.
fn add_output(outputs: &mut Vec<Json>, output: Json) {
    if output["type"] == "stream"
        && let Some(last) = outputs.last_mut()
        && last["type"] == "stream"
        && last["name"] == output["name"]
        && let Json::String(text) = &mut last["text"]
    {
        text.push_str(output["text"].as_str().unwrap_or_default());
        return;
    }
    outputs.push(output);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_one_stream_is_one_output() {
        let mut outputs = Vec::new();
        let stream = |name: &str, text: &str| json!({"type": "stream", "name": name, "text": text});
        add_output(&mut outputs, stream("stdout", "a"));
        add_output(&mut outputs, stream("stdout", "b"));
        add_output(&mut outputs, stream("stderr", "c"));
        add_output(&mut outputs, json!({"type": "display_data"}));
        assert_eq!(outputs.len(), 3);
        assert_eq!(outputs[0]["text"], "ab");
    }
}
