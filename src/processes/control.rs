//! The line between the server and a host script of its own in a child: one JSON object per
//! line, both ways, over a socket that the child has as descriptor 3.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Longest line that is read, in bytes; a child that sends more is not ours any more.
const MAX_LINE: usize = 64 << 20;

/// See the module's text.
pub struct Control {
    lines: BufReader<OwnedReadHalf>,
    sender: OwnedWriteHalf,
}

impl Control {
    pub(super) fn new(socket: StdUnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (read, sender) = UnixStream::from_std(socket)?.into_split();
        Ok(Control {
            lines: BufReader::new(read),
            sender,
        })
    }

    /// The two directions apart.
    pub fn split(self) -> (Incoming, Outgoing) {
        (Incoming(self.lines), Outgoing(self.sender))
    }
}

/// What the child says.
pub struct Incoming(BufReader<OwnedReadHalf>);

impl Incoming {
    /// The next message; none when the child has closed its end. The future may be dropped only
    /// when the line is not read any further.
    pub async fn next(&mut self) -> Option<Json> {
        let mut line = Vec::new();
        loop {
            let part = self.0.fill_buf().await.ok()?;
            if part.is_empty() || line.len() > MAX_LINE {
                return None;
            }
            let end = part.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&part[..end.unwrap_or(part.len())]);
            let used = end.map_or(part.len(), |end| end + 1);
            self.0.consume(used);
            if end.is_none() {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(message) => return Some(message),
                // User code has descriptor 3 in reach; what it writes there is not for us.
                Err(error) => tracing::debug!(%error, "a line from a child that is no message"),
            }
            line.clear();
        }
    }
}

/// What the child is told.
pub struct Outgoing(OwnedWriteHalf);

impl Outgoing {
    /// Sends one message.
    ///
    /// # Errors
    /// The child has gone.
    pub async fn send(&mut self, message: &Json) -> io::Result<()> {
        let mut line = message.to_string().into_bytes();
        line.push(b'\n');
        self.0.write_all(&line).await
    }
}
