//! Bounds of the gateway.

use std::time::Duration;

/// See the fields; defaults are the reference's where it has one.
#[derive(Debug, Clone)]
pub struct GatewayLimits {
    /// Largest frame, and largest message put together from fragments, in bytes.
    pub max_frame_bytes: usize,
    /// Binary messages per second and client, sustained. A faster sender is read more slowly.
    pub message_rate: f64,
    /// Messages a client may send at once before `message_rate` applies.
    pub message_burst: f64,
    /// Time for the first frame after the upgrade.
    pub hello_deadline: Duration,
    /// A connection without text or binary frames for this long is closed.
    pub idle_timeout: Duration,
    /// Silence after which the server pings.
    pub ping_interval: Duration,
    /// Pings without any sign of life before a connection is cut.
    pub ping_misses: u32,
    /// How long a sender waits for a receiver that does not read, and how long a receiver may
    /// leave its mailbox unread, before the receiver is cut.
    pub stuck_after: Duration,
    /// Connections in set-up at the same time.
    pub max_setups: usize,
    /// Largest request body with a message of a stream's client, in bytes. Also the most that
    /// the bodies of one client may hold in memory together.
    pub max_post_bytes: usize,
    /// A stream that had nothing to send for this long sends a sign of life: clients give up on
    /// a silent one after 30 seconds (protocol 6).
    pub stream_quiet: Duration,
    /// A stream whose client sent nothing for this long is asked whether it lives.
    pub stream_idle_threshold: Duration,
    /// How often idle streams are looked for.
    pub stream_sweep_interval: Duration,
    /// How long the client of an idle stream has to answer.
    pub stream_ping_timeout: Duration,
    /// Unanswered questions in a row after which a stream and its services go.
    pub stream_max_ping_misses: u32,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        GatewayLimits {
            max_frame_bytes: 16 * 1024 * 1024,
            message_rate: 200.0,
            message_burst: 2000.0,
            hello_deadline: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(600),
            ping_interval: Duration::from_secs(20),
            ping_misses: 3,
            stuck_after: Duration::from_secs(30),
            max_setups: 2048,
            max_post_bytes: 100 * 1024 * 1024,
            stream_quiet: Duration::from_secs(10),
            stream_idle_threshold: Duration::from_secs(60),
            stream_sweep_interval: Duration::from_secs(30),
            stream_ping_timeout: Duration::from_secs(5),
            stream_max_ping_misses: 3,
        }
    }
}

/// Longest text frame that is read; longer ones are ignored (protocol 1.7).
pub const MAX_TEXT: usize = 1000;
