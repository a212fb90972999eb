//! The supervision tree as people see it.

use actix::Actor;
use actix::dev::{MessageResponse, OneshotSender};
use serde::{Deserialize, Serialize};

use super::messages::GetTree;

/// What a child is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChildState {
    /// It runs.
    Running,
    /// It died and waits for its restart.
    Backoff,
    /// It was asked to stop.
    Stopping,
    /// It died too often.
    Failed,
    /// It is over.
    Stopped,
    /// It runs, but did not answer in time.
    Unresponsive,
}

impl ChildState {
    /// Whether something of it is still to come: it runs, ends or will be restarted.
    pub fn is_active(self) -> bool {
        !matches!(self, Self::Failed | Self::Stopped)
    }
}

/// One actor of the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeNode {
    /// Unique among its siblings.
    pub id: String,
    /// What it is, as "session".
    pub kind: String,
    /// What it is doing.
    pub state: ChildState,
    /// Seconds since its last start; 0 when it is not up.
    pub uptime_s: f64,
    /// How often it was restarted, a coming restart included.
    pub restarts: u32,
    /// Why it ended the last time.
    pub last_exit: Option<String>,
    /// Requests that wait for it, where that is known.
    pub mailbox: Option<usize>,
    /// What it tells about itself.
    pub detail: serde_json::Value,
    /// Its own children, in start order.
    pub children: Vec<TreeNode>,
}

impl TreeNode {
    /// An actor's answer to [`GetTree`]: only it knows its detail and its children; the
    /// rest is filled in by its parent.
    pub fn own(detail: serde_json::Value, children: Vec<TreeNode>) -> Self {
        Self {
            id: String::new(),
            kind: String::new(),
            state: ChildState::Running,
            uptime_s: 0.0,
            restarts: 0,
            last_exit: None,
            mailbox: None,
            detail,
            children,
        }
    }

    /// How many actors this is, itself and what is below it.
    pub fn count(&self) -> usize {
        1 + self.children.iter().map(TreeNode::count).sum::<usize>()
    }

    /// The same under a name, for the root, which has no parent to name it.
    pub fn named(mut self, id: impl Into<String>, kind: impl Into<String>) -> Self {
        self.id = id.into();
        self.kind = kind.into();
        self
    }
}

/// Lets a handler answer with `type Result = TreeNode`.
impl<A: Actor> MessageResponse<A, GetTree> for TreeNode {
    fn handle(self, _: &mut A::Context, tx: Option<OneshotSender<TreeNode>>) {
        if let Some(tx) = tx {
            // The asker may have given up.
            let _ = tx.send(self);
        }
    }
}
