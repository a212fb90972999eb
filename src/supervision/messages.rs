//! The two messages of supervision.

use std::time::Duration;

use actix::Message;

use super::tree::TreeNode;

/// Asks an actor to end. It leaves `ExitReason::Shutdown` in its exit slot and stops
/// within the deadline; after that it is killed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop {
    /// How long it may take.
    pub deadline: Duration,
}

/// Asks an actor for its part of the tree.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "TreeNode")]
pub struct GetTree {
    /// How long the answer may take. Each level gives less to the next one, so that one
    /// unresponsive leaf does not make the whole branch look dead.
    pub within: Duration,
}

impl GetTree {
    /// The question for one level further down.
    pub fn deeper(self) -> Self {
        Self {
            within: self.within * 3 / 4,
        }
    }
}

impl Default for GetTree {
    fn default() -> Self {
        Self {
            within: Duration::from_millis(200),
        }
    }
}
