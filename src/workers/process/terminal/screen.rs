//! What a terminal has shown, as text for people.

use std::num::NonZeroU16;

/// Most output kept, in bytes.
const KEPT: usize = 256 << 10;
/// Rows of the page that output is written to: all of it stays visible.
const ROWS: NonZeroU16 = NonZeroU16::new(4000).unwrap();
/// Ends of a line that waits for input.
const PROMPTS: [&str; 6] = [">>>", "...", "$", "#", "%", ">"];

/// The newest output of a terminal.
#[derive(Default)]
pub struct Output {
    kept: Vec<u8>,
    /// How much came in all.
    total: u64,
}

impl Output {
    pub fn push(&mut self, part: &[u8]) {
        self.kept.extend_from_slice(part);
        self.total += part.len() as u64;
        if self.kept.len() > 2 * KEPT {
            self.kept.drain(..self.kept.len() - KEPT);
        }
    }

    /// How much came so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What came after the first `from` bytes, as far as it is kept.
    pub fn since(&self, from: u64) -> &[u8] {
        let wanted = usize::try_from(self.total.saturating_sub(from)).unwrap_or(usize::MAX);
        &self.kept[self.kept.len().saturating_sub(wanted)..]
    }

    pub fn all(&self) -> &[u8] {
        &self.kept
    }
}

/// The text that output leaves on a page of `cols` columns: without control codes.
pub fn rendered(output: &[u8], cols: u16) -> String {
    let mut parser = vt100::Parser::new(ROWS, NonZeroU16::new(cols).unwrap_or(NonZeroU16::MIN), 0);
    parser.process(output);
    let contents = parser.screen().contents();
    contents.trim_end_matches('\n').to_owned()
}

/// Whether the last line looks as if the program waits for a command.
pub fn awaits_input(text: &str) -> bool {
    let last = text.lines().last().unwrap_or_default().trim_end();
    PROMPTS.iter().any(|prompt| last.ends_with(prompt))
}

/// The output of a command alone: without its echo in front and the prompt behind it.
pub fn answer(text: &str, command: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let command: Vec<&str> = command.trim().lines().map(str::trim).collect();
    for echoed in command {
        match lines.first() {
            Some(line) if !echoed.is_empty() && line.contains(echoed) => {
                lines.remove(0);
            }
            _ => break,
        }
    }
    if lines.last().is_some_and(|line| awaits_input(line)) {
        lines.pop();
    }
    lines.join("\n").trim_matches('\n').trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_codes_do_their_work_and_go() {
        assert_eq!(
            rendered(b"\x1b[1;31mred\x1b[0m\r\nab\x08c\r\n50%\r100%", 80),
            "red\nac\n100%"
        );
        assert_eq!(rendered(b"\x1b]0;title\x07x", 80), "x");
        assert_eq!(rendered(b"", 80), "");
        // Lines that were wrapped by the terminal are whole again.
        assert_eq!(rendered(&[b'x'; 100], 80), "x".repeat(100));
    }

    #[test]
    fn answers_are_cut_out() {
        let shown = "print(f'Hello {101}')\nHello 101\n>>> ";
        assert_eq!(answer(shown, "print(f'Hello {101}')"), "Hello 101");
        assert_eq!(answer("ls\na  b\n/tmp$ ", "ls\n"), "a  b");
        assert_eq!(answer("out\n", "silent"), "out");
        assert!(awaits_input("x\nroot@h:/# ") && !awaits_input("working") && !awaits_input(""));
    }

    #[test]
    fn old_output_goes() {
        let mut output = Output::default();
        for _ in 0..10 {
            output.push(&vec![b'a'; KEPT / 2]);
        }
        output.push(b"end");
        assert!(output.all().len() <= 2 * KEPT + 3);
        assert_eq!(output.since(output.total() - 3), b"end");
        assert_eq!(output.since(0).len(), output.all().len());
    }
}
