//! Text written by others, made harmless: a service's description must not be able to pose as a
//! heading, a row or an instruction of the document around it.

/// Longest text in a table or a list, in characters.
const MAX_INLINE: usize = 200;

/// One line for a table cell or a list: no line breaks, no cell borders, no code, no markup.
pub fn inline(text: &str) -> String {
    let line = one_line(text);
    let mut short: String = line.chars().take(MAX_INLINE).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    let mut out = String::with_capacity(short.len());
    for character in short.chars() {
        match character {
            '|' => out.push_str("\\|"),
            '`' => out.push('\''),
            '<' => out.push_str("&lt;"),
            other => out.push(other),
        }
    }
    out
}

/// Text inside backticks.
pub fn code(text: &str) -> String {
    one_line(text).replace('`', "'").replace('|', "\\|")
}

/// A text of several lines as a quotation.
pub fn quoted(text: &str) -> String {
    let lines: Vec<String> = text
        .trim()
        .lines()
        .map(|line| format!("> {}", line.trim_end()).trim_end().to_owned())
        .collect();
    lines.join("\n")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_leave_its_place() {
        assert_eq!(
            inline("a\n# b | c `d` <script>"),
            "a # b \\| c 'd' &lt;script>"
        );
        assert_eq!(code("a`\nb"), "a' b");
        assert_eq!(
            quoted("# Title\n\n```python\nx\n"),
            "> # Title\n>\n> ```python\n> x"
        );
        assert_eq!(inline(&"ä".repeat(300)).chars().count(), MAX_INLINE + 1);
    }
}
