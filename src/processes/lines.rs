//! The output of a process, line by line.

use tokio::io::{AsyncRead, AsyncReadExt};

/// A longer line comes in pieces, in bytes.
const LONGEST: usize = 64 << 10;

/// Hands each line of `output` to `take`, without its end, until there is no more.
pub async fn each_line<R, F>(mut output: R, mut take: F)
where
    R: AsyncRead + Unpin,
    F: FnMut(String),
{
    let mut rest: Vec<u8> = Vec::new();
    let mut part = vec![0; 8 << 10];
    loop {
        let read = match output.read(&mut part).await {
            Ok(read) if read > 0 => read,
            _ => break,
        };
        rest.extend_from_slice(&part[..read]);
        let mut from = 0;
        while let Some(length) = rest[from..].iter().position(|byte| *byte == b'\n') {
            take(text(&rest[from..from + length]));
            from += length + 1;
        }
        rest.drain(..from);
        if rest.len() > LONGEST {
            take(text(&rest));
            rest.clear();
        }
    }
    if !rest.is_empty() {
        take(text(&rest));
    }
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches('\r').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(output: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        each_line(output, |line| lines.push(line)).await;
        lines
    }

    #[tokio::test]
    async fn lines_are_taken_apart_and_bounded() {
        assert_eq!(lines(b"a\r\nb\n\nc").await, ["a", "b", "", "c"]);
        assert_eq!(lines(b"").await, [""; 0]);
        assert_eq!(lines(b"\xff\n").await, ["\u{fffd}"]);
        let long = vec![b'x'; 3 * LONGEST];
        let parts = lines(&long).await;
        assert!(parts.len() >= 2 && parts.concat().len() == long.len());
    }
}
