//! Lenient tokenizer of the XML app format.
//!
//! Only the tags that carry meaning become elements; everything else, other markup included, stays text.
//! Nothing is decoded or re-serialised: element contents are slices of the input, so code such as
//! `a < b && c` reaches the app as it was written. Every byte of the input belongs to exactly one node,
//! and the cost is linear in the input whatever it holds.

/// Longest start tag that is recognised, in bytes. Together with the rule that a bare `<` ends the attempt,
/// this bounds the work spent on tags that never end.
const MAX_START_TAG: usize = 8 * 1024;

/// The tags of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    Config,
    Manifest,
    Script,
    File,
    Docs,
    Window,
    Style,
    Link,
    Attachment,
}

impl Tag {
    const ALL: [(Tag, &'static str); 9] = [
        (Tag::Config, "config"),
        (Tag::Manifest, "manifest"),
        (Tag::Script, "script"),
        (Tag::File, "file"),
        (Tag::Docs, "docs"),
        (Tag::Window, "window"),
        (Tag::Style, "style"),
        (Tag::Link, "link"),
        (Tag::Attachment, "attachment"),
    ];

    fn from_name(name: &str) -> Option<Self> {
        let same = |known: &&(Tag, &str)| known.1.eq_ignore_ascii_case(name);
        Self::ALL.iter().find(same).map(|known| known.0)
    }

    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Whether elements of this kind may contain markup that repeats the tag.
    fn nests(self) -> bool {
        matches!(self, Tag::File | Tag::Docs | Tag::Window | Tag::Attachment)
    }
}

/// One element with its raw contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element<'a> {
    pub tag: Tag,
    pub attributes: Vec<(String, String)>,
    pub inner: &'a str,
    /// The element as written, tags included.
    pub outer: &'a str,
}

impl Element<'_> {
    /// Value of an attribute; names are lower case.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let named = |pair: &&(String, String)| pair.0 == name;
        self.attributes.iter().find(named).map(|pair| &*pair.1)
    }
}

/// A piece of the source, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<'a> {
    Text(&'a str),
    Comment(&'a str),
    Element(Element<'a>),
}

/// Splits a source into nodes. Never fails: what is not understood is text.
pub fn parse(source: &str) -> Vec<Node<'_>> {
    let mut scanner = Scanner {
        source,
        unbalanced: [false; Tag::ALL.len()],
        comments_end: true,
    };
    let mut nodes = Vec::new();
    let (mut at, mut text_from) = (0, 0);
    while let Some(offset) = source[at..].find('<') {
        let open = at + offset;
        let Some((node, end)) = scanner.node_at(open) else {
            at = open + 1;
            continue;
        };
        if text_from < open {
            nodes.push(Node::Text(&source[text_from..open]));
        }
        nodes.push(node);
        (at, text_from) = (end, end);
    }
    if text_from < source.len() {
        nodes.push(Node::Text(&source[text_from..]));
    }
    nodes
}

struct Scanner<'a> {
    source: &'a str,
    /// Tags whose nesting was once found broken: they end at the first closing tag from then on, so that
    /// no input makes every element search to the end.
    unbalanced: [bool; Tag::ALL.len()],
    /// False once a comment without an end was met: no later one can have an end.
    comments_end: bool,
}

impl<'a> Scanner<'a> {
    /// The comment or element that starts with the `<` at `open`, and where it ends.
    fn node_at(&mut self, open: usize) -> Option<(Node<'a>, usize)> {
        if self.source[open..].starts_with("<!--") {
            return self.comment_at(open);
        }
        let start = StartTag::parse(self.source, open)?;
        let (inner_end, end) = if start.closed || start.tag == Tag::Link {
            (start.end, self.skip_close(start.tag, start.end))
        } else {
            self.content_end(start.tag, start.end)
        };
        let element = Element {
            tag: start.tag,
            attributes: start.attributes,
            inner: &self.source[start.end..inner_end],
            outer: &self.source[open..end],
        };
        Some((Node::Element(element), end))
    }

    fn comment_at(&mut self, open: usize) -> Option<(Node<'a>, usize)> {
        if !self.comments_end {
            return None;
        }
        let Some(length) = self.source[open + 4..].find("-->") else {
            self.comments_end = false;
            return None;
        };
        let end = open + 4 + length + 3;
        Some((Node::Comment(&self.source[open..end]), end))
    }

    /// Start and end of the closing tag that matches, or the end of the input twice.
    fn content_end(&mut self, tag: Tag, from: usize) -> (usize, usize) {
        let nested = tag.nests() && !self.unbalanced[tag as usize];
        let mut first = None;
        let (mut depth, mut at) = (1usize, from);
        while let Some(offset) = self.source[at..].find('<') {
            let open = at + offset;
            at = open + 1;
            if let Some(end) = close_tag_at(self.source, open, tag) {
                depth -= 1;
                at = end;
                if depth == 0 || !nested {
                    return (open, end);
                }
                first.get_or_insert((open, end));
            } else if nested
                && let Some(start) = StartTag::parse(self.source, open)
                && start.tag == tag
            {
                at = start.end;
                depth += usize::from(!start.closed);
            }
        }
        if nested {
            self.unbalanced[tag as usize] = true;
        }
        first.unwrap_or((self.source.len(), self.source.len()))
    }

    /// Void and self-closed elements are sometimes closed a second time.
    fn skip_close(&self, tag: Tag, at: usize) -> usize {
        let rest = &self.source[at..];
        let blank = rest.len() - rest.trim_start().len();
        close_tag_at(self.source, at + blank, tag).unwrap_or(at)
    }
}

/// End of `</tag ...>` when it stands at `open`.
fn close_tag_at(source: &str, open: usize, tag: Tag) -> Option<usize> {
    let rest = source[open..].strip_prefix("</")?;
    let name = rest.get(..tag.name().len())?;
    if !name.eq_ignore_ascii_case(tag.name()) {
        return None;
    }
    let rest = rest[name.len()..].trim_start();
    // Browsers ignore what stands between the name and the bracket; only blanks are plausible here.
    let rest = rest.strip_prefix('>')?;
    Some(source.len() - rest.len())
}

struct StartTag {
    tag: Tag,
    attributes: Vec<(String, String)>,
    closed: bool,
    end: usize,
}

impl StartTag {
    fn parse(source: &str, open: usize) -> Option<Self> {
        let window = source.floor_char_boundary(open.saturating_add(MAX_START_TAG));
        let source = &source[..window];
        let rest = source[open..].strip_prefix('<')?;
        let length = rest.find(|c: char| !c.is_ascii_alphabetic())?;
        let tag = Tag::from_name(&rest[..length])?;
        let mut cursor = Cursor(&rest[length..]);
        if !cursor
            .0
            .starts_with(|c: char| c.is_whitespace() || c == '/' || c == '>')
        {
            return None;
        }
        let mut attributes = Vec::new();
        let mut closed = false;
        loop {
            cursor.skip_blank();
            if cursor.take('>') {
                break;
            }
            // A slash counts only when the bracket follows; elsewhere it is noise.
            closed = cursor.take('/');
            if !closed {
                attributes.push(cursor.attribute()?);
            }
        }
        Some(Self {
            tag,
            attributes,
            closed,
            end: source.len() - cursor.0.len(),
        })
    }
}

struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn skip_blank(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn take(&mut self, c: char) -> bool {
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn until(&mut self, stop: impl Fn(char) -> bool) -> Option<&'a str> {
        let length = self.0.find(stop)?;
        let (found, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(found)
    }

    /// One attribute; `None` when the tag never ends.
    fn attribute(&mut self) -> Option<(String, String)> {
        // The first character always belongs to the name, which guarantees progress.
        let first = self.0.chars().next().filter(|c| *c != '<')?;
        let tail = Cursor(&self.0[first.len_utf8()..]).until(ends_name)?;
        let (name, rest) = self.0.split_at(first.len_utf8() + tail.len());
        self.0 = rest;
        let mut value = "";
        let mut ahead = Cursor(self.0);
        ahead.skip_blank();
        if ahead.take('=') {
            ahead.skip_blank();
            self.0 = ahead.0;
            value = self.value()?;
        }
        Some((name.to_ascii_lowercase(), decode_entities(value)))
    }

    fn value(&mut self) -> Option<&'a str> {
        for quote in ['"', '\''] {
            if self.take(quote) {
                let value = self.until(|c| c == quote)?;
                self.take(quote);
                return Some(value);
            }
        }
        let value = self.until(|c| c.is_whitespace() || matches!(c, '<' | '>'))?;
        (!self.0.starts_with('<')).then_some(value)
    }
}

fn ends_name(c: char) -> bool {
    c.is_whitespace() || matches!(c, '=' | '/' | '<' | '>')
}

/// Attribute values may hold the five predefined entities.
fn decode_entities(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    // The ampersand comes last, so that its own result is not decoded again.
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
