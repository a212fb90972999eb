//! Task queues per workspace: the service `public/queue`.
//!
//! Tasks wait in memory, first in, first out; a restart loses them, as it does in the reference
//! without a Redis of its own. How many there may be is bounded per queue, workspace and node.

mod error;
mod methods;
mod service;
mod tasks;

pub use service::QueueService;
