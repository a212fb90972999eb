//! Counts for whoever watches the server.
//!
//! Each connection counts its own frames, on the task that reads them: no two threads write the
//! same count. They are summed when somebody asks.

use super::client::Transport;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one connection sent.
#[derive(Debug, Default)]
pub struct Tally {
    frames: AtomicU64,
    bytes: AtomicU64,
    calls: AtomicU64,
    refused: AtomicU64,
}

/// The same as plain numbers, of one connection or many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub frames: u64,
    /// Of whole frames, headers included.
    pub bytes: u64,
    /// Frames that ask for an answer.
    pub calls: u64,
    /// Frames that reached nobody: unreadable, not allowed, or to peers that are not connected.
    pub refused: u64,
}

impl Tally {
    /// Counts a frame that is being routed.
    pub fn frame(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a call among the frames.
    pub fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a frame that reached nobody.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> Totals {
        self.each(|count| count.load(Ordering::Relaxed))
    }

    /// What was counted since the last time, which is then counted elsewhere.
    pub fn take(&self) -> Totals {
        self.each(|count| count.swap(0, Ordering::Relaxed))
    }

    fn each(&self, get: impl Fn(&AtomicU64) -> u64) -> Totals {
        Totals {
            frames: get(&self.frames),
            bytes: get(&self.bytes),
            calls: get(&self.calls),
            refused: get(&self.refused),
        }
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.calls += other.calls;
        self.refused += other.refused;
    }
}

/// Rare happenings of the whole node.
#[derive(Debug, Default)]
pub struct Notes {
    websockets: AtomicU64,
    streams: AtomicU64,
    events: AtomicU64,
    cuts: AtomicU64,
}

impl Notes {
    /// A connection was registered.
    pub(super) fn registered(&self, transport: Transport) {
        let count = match transport {
            Transport::WebSocket => &self.websockets,
            Transport::Http => &self.streams,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// An event of the server went out.
    pub(super) fn event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// A receiver was cut because its mailbox stayed full or unread.
    pub fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections ever registered: over WebSocket, and over HTTP.
    pub fn established(&self) -> (u64, u64) {
        (
            self.websockets.load(Ordering::Relaxed),
            self.streams.load(Ordering::Relaxed),
        )
    }

    /// Events of the server that went out.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Receivers that were cut.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}
