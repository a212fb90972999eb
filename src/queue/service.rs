//! The service `public/queue` (workspace.md 2.8): each caller sees the queues of its workspace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;

use super::error::QueueError;
use super::methods;
use super::tasks::{QueueLimits, Queues};
use crate::identity::Level;
use crate::peer::{
    Arguments, CallContext, MethodFuture, MethodSpec, Reply, Service, ServiceError, ServiceSpec,
};
use crate::wire::{self, Limits, Value};
use crate::workspace::Directory;

const MAX_NAME: usize = 128;
const MAX_PEEK: u32 = 100;
const MAX_WAIT_S: u32 = 300;
/// Seconds between two looks for workspaces that are no more.
const SWEEP_EVERY_S: u64 = 60;

/// See the module's text.
pub struct QueueService {
    directory: Arc<Directory>,
    queues: Queues,
    /// Second of the clock at the last sweep.
    swept: AtomicU64,
}

impl QueueService {
    pub fn new(directory: Arc<Directory>) -> Arc<Self> {
        let queues = Queues::new(directory.clock.clone(), QueueLimits::default());
        Arc::new(QueueService {
            directory,
            queues,
            swept: AtomicU64::new(0),
        })
    }

    async fn run(
        self: Arc<Self>,
        method: &'static str,
        mut arguments: Arguments,
        context: CallContext,
    ) -> Result<Reply, ServiceError> {
        let args = &mut arguments;
        let changes = matches!(method, "push" | "pop");
        let level = if changes {
            Level::ReadWrite
        } else {
            Level::Read
        };
        self.directory.require(&context.user, &context.ws, level)?;
        let name = queue_name(args)?;
        match method {
            "push" => self.push(args, &context.ws, &name),
            "pop" => self.pop(args, &context, &name).await,
            "get_length" => {
                let length = self.queues.length(&context.ws, &name);
                Ok(Value::from(length as i64).into())
            }
            "peek" => self.peek(args, &context.ws, &name),
            other => Err(ServiceError::key(format!("Method not found: {other}"))),
        }
    }

    fn push(
        &self,
        args: &mut Arguments,
        workspace: &str,
        name: &str,
    ) -> Result<Reply, ServiceError> {
        self.sweep();
        let task = args.take("task");
        if task.as_map().is_none() {
            return Err(QueueError::NotAnObject(task.type_name()).into());
        }
        if !is_json(&task) {
            return Err(QueueError::Bytes.into());
        }
        self.queues.push(workspace, name, wire::encode(&task))?;
        Ok(Value::Nil.into())
    }

    async fn pop(
        &self,
        args: &Arguments,
        context: &CallContext,
        name: &str,
    ) -> Result<Reply, ServiceError> {
        let seconds = args.opt_f64("timeout")?.unwrap_or_default();
        check_range("timeout", seconds, 0, MAX_WAIT_S)?;
        let timeout = Duration::from_secs_f64(seconds);
        let popping = self.queues.pop(&context.ws, name, timeout);
        let task = match &context.client {
            None => popping.await?,
            Some(client) => tokio::select! {
                biased;
                // A task taken for somebody who left would be lost to all.
                () = client.mailbox.closed() => None,
                task = popping => task?,
            },
        };
        Ok(task.map_or(Value::Nil.into(), Reply::Packed))
    }

    fn peek(&self, args: &Arguments, workspace: &str, name: &str) -> Result<Reply, ServiceError> {
        let n = args.int("n")?;
        check_range("n", n as f64, 1, MAX_PEEK)?;
        let tasks = self.queues.peek(workspace, name, n as usize);
        let tasks: Result<Vec<Value>, _> = tasks
            .iter()
            .map(|task| wire::decode(task, &Limits::default()))
            .collect();
        match tasks {
            Ok(tasks) => Ok(Value::Array(tasks).into()),
            Err(error) => {
                tracing::error!(%error, "a kept task cannot be read");
                Err(ServiceError::runtime("internal error"))
            }
        }
    }

    fn sweep(&self) {
        let now = self.directory.clock.now().as_secs();
        let last = self.swept.load(Ordering::Relaxed);
        let due = now >= last + SWEEP_EVERY_S;
        let mine = |_| {
            self.swept
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        if due && mine(()).is_ok() {
            self.queues.keep_only(|ws| self.directory.exists(ws));
        }
    }
}

impl Service for QueueService {
    fn spec(&self) -> &ServiceSpec {
        &methods::SPEC
    }

    fn call(
        self: Arc<Self>,
        method: &'static MethodSpec,
        arguments: Arguments,
        context: CallContext,
    ) -> MethodFuture {
        self.run(method.name, arguments, context).boxed()
    }
}

fn queue_name(args: &Arguments) -> Result<String, ServiceError> {
    let name = args.str("queue_name")?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if starts && name.len() <= MAX_NAME && name.bytes().all(allowed) {
        return Ok(name.to_owned());
    }
    let shown = name.escape_debug().take(MAX_NAME).collect();
    Err(QueueError::Name(shown).into())
}

fn check_range(name: &'static str, got: f64, least: u32, most: u32) -> Result<(), QueueError> {
    if (f64::from(least)..=f64::from(most)).contains(&got) {
        return Ok(());
    }
    Err(QueueError::Range {
        name,
        least,
        most,
        got,
    })
}

/// Whether JSON can hold a value.
fn is_json(value: &Value) -> bool {
    match value {
        Value::Bin(_) | Value::Ext(..) => false,
        Value::Array(items) => items.iter().all(is_json),
        Value::Map(map) => map.values().all(is_json),
        _ => true,
    }
}
