//! The transport over plain HTTP (protocol 6): one streamed response carries what a client
//! receives, and each message it sends is a request of its own.
//!
//! The two meet in [`Streams`], by the client's address. Everything else is as for a WebSocket.

mod body;
mod framing;
mod liveness;
mod open;
mod reaper;
mod table;
#[cfg(test)]
mod tests;
mod upload;

pub use open::{CONTENT_TYPE, NotOpened, open};
pub use reaper::ReaperActor;
pub use table::{Streams, Uplink};
pub use upload::{UploadError, read_body, receive};
