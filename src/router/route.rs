//! The way of one frame: read its header, find its target, stamp it, hand it over.
//!
//! Runs on the sender's own task. The body is never decoded and never copied here.

use std::sync::Arc;

use bytes::Bytes;

use super::client::Client;
use super::mailbox::{Outgoing, PushError};
use super::{Router, local_part};
use crate::identity::Level;
use crate::map;
use crate::wire::{self, Header, HeaderError, Limits, Stamp, Value};

/// A frame addressed to one of the server's own peers.
pub struct Incoming {
    pub caller: Arc<Client>,
    /// The address used, e.g. `*/manager-…`; answers must come from exactly this.
    pub to: String,
    pub kind: String,
    pub method: Option<String>,
    pub session: Option<String>,
    /// Encoded body map, or empty.
    pub body: Bytes,
}

/// What became of a frame.
pub enum Routed {
    /// It is in the mailboxes of all its receivers.
    Delivered,
    /// For the server itself.
    Local(Incoming),
    /// These receivers are full: the sender must wait for them before it reads on.
    Blocked(Vec<(Arc<Client>, Outgoing)>),
    /// Not delivered; the sender is told because it waits for an answer.
    Rejected(Outgoing),
    /// Not delivered, and nobody waits for an answer.
    Dropped(String),
}

/// How a frame counts for the message rate of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Sent on the sender's own account.
    Full,
    /// Others waited for it, or it is large enough to be slowed down by its size.
    Light,
}

/// Frames from this length on are limited by what the receiver takes, not by their number: pieces
/// of long messages are that large.
const LARGE: usize = 100_000;

/// The target of a frame, after the rules of protocol 2.2.
enum Target<'a> {
    /// Everybody in the sender's workspace.
    Broadcast,
    Local(&'a str),
    Direct(String),
    Refused(String),
}

fn resolve<'a>(router: &Router, from: &Client, to: &'a str) -> Target<'a> {
    let (workspace, client) = match to.split_once('/') {
        None if to == "*" => (&*from.workspace, "*"),
        None => (&*from.workspace, to),
        Some(parts) => parts,
    };
    if client == "*" {
        // Broadcasting is for members with more than read permission, inside their own
        // workspace; tested after the target is resolved, so that `ws/*` is no way round it (S15).
        if workspace != &*from.workspace {
            return Target::Refused(format!(
                "PermissionError: Cannot broadcast to workspace {workspace} from workspace {}",
                from.workspace
            ));
        }
        if from.level < Level::ReadWrite {
            return Target::Refused(format!(
                "Read-only client {} cannot broadcast messages. Only \
                 point-to-point messages are allowed for read-only clients.",
                from.address
            ));
        }
        return Target::Broadcast;
    }
    if router.is_local(client) && (to.contains('/') || client == router.server_id()) {
        return Target::Local(to);
    }
    if to.contains('/') {
        Target::Direct(to.to_owned())
    } else {
        Target::Direct(format!("{workspace}/{client}"))
    }
}

impl Router {
    /// Routes one frame of `from`.
    /// A frame whose header cannot be read is ignored, or rejected when it has a session: the
    /// connection did nothing that would justify its end (protocol 2.4).
    pub fn route(&self, from: &Arc<Client>, frame: Bytes) -> (Routed, Weight) {
        from.tally.frame(frame.len());
        let (routed, weight) = match Header::parse(&frame, &Limits::default()) {
            Ok(header) => self.route_read(from, &header, &frame),
            Err(error) => (unreadable(from, &frame, error), Weight::Full),
        };
        if let Routed::Rejected(_) | Routed::Dropped(_) = routed {
            from.tally.refused();
        }
        (routed, weight)
    }

    fn route_read(
        &self,
        from: &Arc<Client>,
        header: &Header<'_>,
        frame: &Bytes,
    ) -> (Routed, Weight) {
        if header.session.is_some() {
            from.tally.call();
        }
        let target = resolve(self, from, header.to);
        let weight = weigh(from, header, &target, frame.len());
        (self.deliver(from, header, target, frame), weight)
    }

    fn deliver(
        &self,
        from: &Arc<Client>,
        header: &Header<'_>,
        target: Target<'_>,
        frame: &Bytes,
    ) -> Routed {
        match target {
            Target::Direct(to) => self.deliver_direct(from, header, &to, frame),
            Target::Local(to) => Routed::Local(Incoming {
                caller: from.clone(),
                to: to.to_owned(),
                kind: header.kind.to_owned(),
                method: header.method.map(str::to_owned),
                session: header.session.map(str::to_owned),
                body: frame.slice(header.body_at..),
            }),
            Target::Broadcast => self.deliver_broadcast(from, header, frame),
            Target::Refused(reason) => reject(from, header, header.to, reason),
        }
    }

    fn deliver_direct(
        &self,
        from: &Arc<Client>,
        header: &Header<'_>,
        to: &str,
        frame: &Bytes,
    ) -> Routed {
        let now = self.now_ms();
        if let (Some(open), Some(method)) = (&from.open_calls, header.method) {
            open.saw(method, now);
        }
        let Some(target) = self.find(to) else {
            return not_connected(from, header, to);
        };
        target.used(now);
        if let Some(session) = header.session {
            target.load.count(now);
            target.owed.asked();
            if let Some(open) = &target.open_calls {
                open.began(session, now);
            }
        }
        match target.push(stamped(from, header, to, frame)) {
            Ok(()) => Routed::Delivered,
            Err(PushError::Full(message)) => Routed::Blocked(vec![(target, message)]),
            Err(PushError::Closed) => not_connected(from, header, to),
        }
    }

    fn deliver_broadcast(&self, from: &Arc<Client>, header: &Header<'_>, frame: &Bytes) -> Routed {
        let message = stamped(from, header, &format!("{}/*", from.workspace), frame);
        let mut blocked = Vec::new();
        for target in self.subscribers(&from.workspace, header.kind) {
            if let Err(PushError::Full(message)) = target.push(message.clone()) {
                blocked.push((target, message));
            }
        }
        if blocked.is_empty() {
            Routed::Delivered
        } else {
            Routed::Blocked(blocked)
        }
    }
}

fn weigh(from: &Client, header: &Header<'_>, target: &Target<'_>, length: usize) -> Weight {
    if length >= LARGE {
        return Weight::Light;
    }
    let method = header.method.unwrap_or_default();
    let answers = match target {
        Target::Direct(_) => {
            header.session.is_none()
                && (method.ends_with(".resolve") || method.ends_with(".reject"))
        }
        // Also what a client asks of functions that the server lent it for a call: the server's
        // answers to these allow the next ones.
        Target::Local(_) => !method.is_empty() && !method.starts_with("services."),
        Target::Broadcast | Target::Refused(_) => false,
    };
    if answers && from.owed.answered() {
        Weight::Light
    } else {
        Weight::Full
    }
}

fn unreadable(from: &Client, frame: &[u8], error: HeaderError) -> Routed {
    let reason = format!("ValueError: {error}");
    match Header::session_of(frame, &Limits::default()) {
        Some(session) => {
            Routed::Rejected(reject_frame(&from.address, &from.address, session, &reason))
        }
        None => Routed::Dropped(reason),
    }
}

fn stamped(from: &Client, header: &Header<'_>, to: &str, frame: &Bytes) -> Outgoing {
    let stamp = Stamp {
        ws: &from.workspace,
        to,
        from: &from.address,
        user: &from.user_packed,
    };
    Outgoing::Frame {
        header: Bytes::from(header.rewrite(&stamp)),
        body: frame.slice(header.body_at..),
    }
}

fn not_connected(from: &Client, header: &Header<'_>, to: &str) -> Routed {
    reject(
        from,
        header,
        to,
        format!("Target peer {to} is not connected"),
    )
}

/// Tells the sender of a call that it failed. Messages nobody waits for vanish: rejecting
/// answers and heartbeats to the dead made reject storms (protocol 2.4).
fn reject(from: &Client, header: &Header<'_>, to: &str, reason: String) -> Routed {
    let Some(session) = header.session else {
        return Routed::Dropped(reason);
    };
    Routed::Rejected(reject_frame(to, &from.address, session, &reason))
}

/// The frame that ends session `session` of the caller with an error (protocol 2.4).
pub fn reject_frame(from: &str, to: &str, session: &str, reason: &str) -> Outgoing {
    let header = map! {
        "type" => "method",
        "from" => from,
        "to" => to,
        "method" => format!("{session}.reject"),
    };
    let body = map! { "args" => vec![wire::error_value(reason)] };
    Outgoing::Frame {
        header: wire::encode(&Value::Map(header)),
        body: wire::encode(&Value::Map(body)),
    }
}

/// An event made by the server: one map without sender (protocol 2.3).
pub fn event_frame(kind: &str, data: Value) -> Outgoing {
    let event = map! { "type" => kind, "to" => "*", "data" => data };
    Outgoing::Frame {
        header: wire::encode(&Value::Map(event)),
        body: Bytes::new(),
    }
}

/// Whether a full address names a peer of the server itself.
pub(super) fn names_local(router: &Router, address: &str) -> bool {
    router.is_local(local_part(address))
}
