//! What every transport does with a frame it received: route it, and wait where routing has to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Gateway;
use crate::router::{Client, Outgoing, PushError, Routed, Router, Weight};

/// Messages that did not fit into their receivers' mailboxes.
pub type Blocked = Vec<(Arc<Client>, Outgoing)>;

/// Routes one frame of `client`. What is given back must be settled before the next one; the weight
/// is for the throttle.
pub fn deliver(gateway: &Gateway, client: &Arc<Client>, frame: Bytes) -> (Blocked, Weight) {
    let (routed, weight) = gateway.router.route(client, frame);
    let blocked = match routed {
        Routed::Delivered => Vec::new(),
        Routed::Local(incoming) => {
            gateway.peer.receive(incoming);
            Vec::new()
        }
        Routed::Blocked(blocked) => blocked,
        Routed::Rejected(answer) => answer_sender(client, answer),
        Routed::Dropped(reason) => {
            tracing::debug!(client = %client.address, reason, "frame dropped");
            Vec::new()
        }
    };
    (blocked, weight)
}

/// Puts a message into the mailbox of the sender itself.
pub fn answer_sender(client: &Arc<Client>, answer: Outgoing) -> Blocked {
    match client.push(answer) {
        Err(PushError::Full(answer)) => vec![(client.clone(), answer)],
        _ => Vec::new(),
    }
}

/// Waits until full receivers have taken their messages, and for the throttle.
pub async fn settle(
    router: Arc<Router>,
    blocked: Blocked,
    patience: Duration,
    pause: Option<Duration>,
) {
    for (receiver, message) in blocked {
        let pushed = receiver.mailbox.push_within(message, patience).await;
        if let Err(PushError::Full(_)) = pushed {
            tracing::warn!(client = %receiver.address, "cutting a receiver that takes nothing");
            router.notes.cut();
            receiver.cut();
        }
    }
    if let Some(pause) = pause {
        tokio::time::sleep(pause).await;
    }
}
