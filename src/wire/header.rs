use msgpacker::Packable;

use super::reader::{Reader, Token, text};
use super::{DecodeError, Limits};

/// Why the first value of a frame is not a header the router can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not MessagePack, or beyond the limits.
    #[error("malformed header: {0}")]
    Malformed(#[from] DecodeError),
    /// The first value is something else than a map.
    #[error("the header is a {found}, expected a dict")]
    NotMap { found: &'static str },
    /// A field the router needs is absent.
    #[error("missing `{0}`")]
    Missing(&'static str),
    /// A field the router reads or replaces appears twice, so that peers could disagree on it.
    #[error("repeated `{0}`")]
    Repeated(&'static str),
    /// A field the router needs is not text.
    #[error("`{field}` is a {found}, expected a str")]
    NotString {
        field: &'static str,
        found: &'static str,
    },
}

/// The fields the router owns: a sender's values are never passed on.
const STAMPED: [&str; 4] = ["ws", "to", "from", "user"];

/// A half-open range of offsets in the frame.
type Span = (usize, usize);

/// The header of a frame, borrowed from it. Fields the router has no use for are only measured.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    /// The field `type`.
    pub kind: &'a str,
    /// The field `to`, as the sender wrote it.
    pub to: &'a str,
    /// The field `method`, if it is text.
    pub method: Option<&'a str>,
    /// The field `session`, if it is text.
    pub session: Option<&'a str>,
    /// The offset of the first byte after the header map.
    pub body_at: usize,
    frame: &'a [u8],
    count: usize,
    fields_at: usize,
    /// Where key and value of the stamped fields lie, in order of appearance.
    dropped: [Span; STAMPED.len()],
    dropped_count: usize,
}

/// What the router writes into a header.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The sender's workspace.
    pub ws: &'a str,
    /// The resolved target.
    pub to: &'a str,
    /// The sender, `workspace/client`.
    pub from: &'a str,
    /// The sender's user map, as MessagePack.
    pub user: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the header map at the start of `frame`. The body is not looked at.
    pub fn parse(frame: &'a [u8], limits: &Limits) -> Result<Header<'a>, HeaderError> {
        let mut reader = Reader::new(frame, limits);
        let count = open(&mut reader)?;
        let mut header = Header {
            kind: "",
            to: "",
            method: None,
            session: None,
            body_at: 0,
            frame,
            count,
            fields_at: reader.at(),
            dropped: [(0, 0); STAMPED.len()],
            dropped_count: 0,
        };
        let mut seen = Seen::default();
        for _ in 0..count {
            header.read_field(&mut reader, &mut seen)?;
        }
        for field in [Field::Type, Field::To] {
            if !seen.has(field) {
                return Err(HeaderError::Missing(field.name()));
            }
        }
        header.body_at = reader.at();
        Ok(header)
    }

    /// The session named by a header that [`Header::parse`] refused, to tell its sender why.
    pub fn session_of(frame: &'a [u8], limits: &Limits) -> Option<&'a str> {
        let mut reader = Reader::new(frame, limits);
        let count = open(&mut reader).ok()?;
        for _ in 0..count {
            let key = reader.key().ok()?;
            let at = reader.at();
            let token = reader.token().ok()?;
            match (key, token) {
                ("session", Token::Str(bytes)) => return text(bytes, at).ok(),
                ("session", _) => return None,
                _ => reader.skip_rest(token, 1).ok()?,
            }
        }
        None
    }

    /// Every field with its value as MessagePack, in the sender's order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let frame = self.frame;
        // Parsing has been here within the real limits.
        let unlimited = Limits {
            max_depth: usize::MAX,
            max_items: usize::MAX,
        };
        let mut reader = Reader::new(frame, &unlimited);
        let count = open(&mut reader).unwrap_or_default();
        (0..count).map_while(move |_| {
            let key = reader.key().ok()?;
            let at = reader.at();
            let token = reader.token().ok()?;
            reader.skip_rest(token, 1).ok()?;
            Some((key, &frame[at..reader.at()]))
        })
    }

    /// The value of one field as MessagePack.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields()
            .find(|(key, _)| *key == name)
            .map(|(_, raw)| raw)
    }

    /// The bytes after the header, empty for a frame of one map.
    pub fn body(&self) -> &'a [u8] {
        &self.frame[self.body_at..]
    }

    /// A new header map: the sender's other fields byte for byte, then the stamped ones.
    pub fn rewrite(&self, stamp: &Stamp<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.rewritten_len(stamp));
        self.rewrite_into(stamp, &mut out);
        out
    }

    /// The whole frame with the header of [`Header::rewrite`] and the body as it came.
    pub fn rewrite_frame(&self, stamp: &Stamp<'_>) -> Vec<u8> {
        let body = self.body();
        let mut out = Vec::with_capacity(self.rewritten_len(stamp) + body.len());
        self.rewrite_into(stamp, &mut out);
        out.extend_from_slice(body);
        out
    }

    fn rewrite_into(&self, stamp: &Stamp<'_>, out: &mut Vec<u8>) {
        write_map_prefix(self.rewritten_count(), out);
        let mut from = self.fields_at;
        for &(start, end) in &self.dropped[..self.dropped_count] {
            out.extend_from_slice(&self.frame[from..start]);
            from = end;
        }
        out.extend_from_slice(&self.frame[from..self.body_at]);
        let [ws, to, sender, user] = STAMPED;
        for (key, text) in [(ws, stamp.ws), (to, stamp.to), (sender, stamp.from)] {
            key.pack(out);
            text.pack(out);
        }
        user.pack(out);
        out.extend_from_slice(stamp.user);
    }

    fn rewritten_count(&self) -> usize {
        self.count - self.dropped_count + STAMPED.len()
    }

    /// The exact length of the rewritten header.
    fn rewritten_len(&self, stamp: &Stamp<'_>) -> usize {
        let dropped: usize = self.dropped[..self.dropped_count]
            .iter()
            .map(|(start, end)| end - start)
            .sum();
        let kept = self.body_at - self.fields_at - dropped;
        let keys: usize = STAMPED.iter().map(|key| str_len(key)).sum();
        let texts = str_len(stamp.ws) + str_len(stamp.to) + str_len(stamp.from);
        map_prefix_len(self.rewritten_count()) + kept + keys + texts + stamp.user.len()
    }

    fn read_field(&mut self, reader: &mut Reader<'a>, seen: &mut Seen) -> Result<(), HeaderError> {
        let start = reader.at();
        let key = reader.key()?;
        let value_at = reader.at();
        let token = reader.token()?;
        reader.skip_rest(token, 1)?;
        let Some(field) = Field::of(key) else {
            return Ok(());
        };
        seen.mark(field)?;
        match field {
            Field::Type => self.kind = required_text(field, token, value_at)?,
            Field::To => self.to = required_text(field, token, value_at)?,
            Field::Method => self.method = optional_text(token, value_at)?,
            Field::Session => self.session = optional_text(token, value_at)?,
            Field::Ws | Field::From | Field::User => {}
        }
        if STAMPED.contains(&field.name()) {
            // Repeated fields are refused, so there is a place for each.
            self.dropped[self.dropped_count] = (start, reader.at());
            self.dropped_count += 1;
        }
        Ok(())
    }
}

/// The fields that mean something to the router.
#[derive(Clone, Copy)]
enum Field {
    Type,
    To,
    Method,
    Session,
    Ws,
    From,
    User,
}

impl Field {
    fn of(key: &str) -> Option<Field> {
        Some(match key {
            "type" => Field::Type,
            "to" => Field::To,
            "method" => Field::Method,
            "session" => Field::Session,
            "ws" => Field::Ws,
            "from" => Field::From,
            "user" => Field::User,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Field::Type => "type",
            Field::To => "to",
            Field::Method => "method",
            Field::Session => "session",
            Field::Ws => "ws",
            Field::From => "from",
            Field::User => "user",
        }
    }
}

/// Which fields have been read, one bit each.
#[derive(Default)]
struct Seen(u8);

impl Seen {
    fn has(&self, field: Field) -> bool {
        self.0 & (1 << field as u8) != 0
    }

    fn mark(&mut self, field: Field) -> Result<(), HeaderError> {
        if self.has(field) {
            return Err(HeaderError::Repeated(field.name()));
        }
        self.0 |= 1 << field as u8;
        Ok(())
    }
}

/// Enters the header map and returns its number of fields.
fn open(reader: &mut Reader<'_>) -> Result<usize, HeaderError> {
    match reader.token()? {
        Token::Map(count) => {
            reader.deeper(0)?;
            Ok(count)
        }
        other => Err(HeaderError::NotMap {
            found: other.type_name(),
        }),
    }
}

fn required_text<'a>(field: Field, token: Token<'a>, at: usize) -> Result<&'a str, HeaderError> {
    match token {
        Token::Str(bytes) => Ok(text(bytes, at)?),
        other => Err(HeaderError::NotString {
            field: field.name(),
            found: other.type_name(),
        }),
    }
}

/// Text, or nothing for another type: the router then has no use for the field but passes it on.
fn optional_text(token: Token<'_>, at: usize) -> Result<Option<&str>, HeaderError> {
    match token {
        Token::Str(bytes) => Ok(Some(text(bytes, at)?)),
        _ => Ok(None),
    }
}

fn map_prefix_len(count: usize) -> usize {
    match count {
        0..=0x0f => 1,
        0x10..=0xffff => 3,
        _ => 5,
    }
}

fn write_map_prefix(count: usize, out: &mut Vec<u8>) {
    // The count came from an input of at most 32-bit counts, plus four.
    match map_prefix_len(count) {
        1 => out.push(0x80 | count as u8),
        3 => {
            out.push(0xde);
            out.extend_from_slice(&(count as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdf);
            out.extend_from_slice(&(count as u32).to_be_bytes());
        }
    }
}

/// The encoded length of a string.
fn str_len(text: &str) -> usize {
    let prefix = match text.len() {
        0..=0x1f => 1,
        0x20..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    };
    prefix + text.len()
}
