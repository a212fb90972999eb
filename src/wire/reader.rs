use msgpacker::Unpackable;

use super::Limits;

/// Why bytes are not an acceptable MessagePack value. Positions count from the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("the value at byte {at} is cut off")]
    Truncated { at: usize },
    /// A container claims more items than there are bytes left to hold them.
    #[error("the container at byte {at} claims {count} items, more than the input can hold")]
    CountTooLarge { at: usize, count: usize },
    /// Containers are nested too deeply.
    #[error("the value is nested deeper than {limit} levels")]
    TooDeep { limit: usize },
    /// There are too many items in all.
    #[error("the value has more than {limit} items")]
    TooManyItems { limit: usize },
    /// The tag `c1`, which MessagePack never uses.
    #[error("the reserved tag c1 stands at byte {at}")]
    ReservedTag { at: usize },
    /// A map key is not text.
    #[error("the map key at byte {at} is a {found}, expected a str")]
    KeyNotString { at: usize, found: &'static str },
    /// Text is not UTF-8.
    #[error("the str at byte {at} is not UTF-8")]
    InvalidUtf8 { at: usize },
    /// Bytes follow a value that should have been the whole input.
    #[error("{extra} bytes follow the value")]
    TrailingBytes { extra: usize },
}

/// One step of the input: a whole leaf, or the count of a container's items.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    UInt(u64),
    F64(f64),
    /// Not checked to be UTF-8.
    Str(&'a [u8]),
    /// Ends at the reader's position.
    Bin(&'a [u8]),
    /// Ends at the reader's position.
    Ext(i8, &'a [u8]),
    Array(usize),
    Map(usize),
}

impl Token<'_> {
    /// The name Python gives this type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Token::Nil => "NoneType",
            Token::Bool(_) => "bool",
            Token::Int(_) | Token::UInt(_) => "int",
            Token::F64(_) => "float",
            Token::Str(_) => "str",
            Token::Bin(_) => "bytes",
            Token::Ext(..) => "ExtType",
            Token::Array(_) => "list",
            Token::Map(_) => "dict",
        }
    }
}

/// Reads MessagePack tokens within limits, without allocating.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    items_left: usize,
    limits: Limits,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8], limits: &Limits) -> Self {
        Reader {
            input,
            at: 0,
            items_left: limits.max_items,
            limits: *limits,
        }
    }

    /// The offset of the next unread byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The depth of what a container at `depth` holds, if it may hold anything.
    pub(super) fn deeper(&self, depth: usize) -> Result<usize, DecodeError> {
        if depth < self.limits.max_depth {
            Ok(depth + 1)
        } else {
            Err(DecodeError::TooDeep {
                limit: self.limits.max_depth,
            })
        }
    }

    /// The next token. The items of a container follow as tokens of their own.
    pub(super) fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        self.items_left = self
            .items_left
            .checked_sub(1)
            .ok_or(DecodeError::TooManyItems {
                limit: self.limits.max_items,
            })?;
        let start = self.at;
        let tag = *self
            .input
            .get(start)
            .ok_or(DecodeError::Truncated { at: start })?;
        match tag {
            0x00..=0x7f | 0xcc..=0xcf => self.leaf::<u64>().map(unsigned),
            0xe0..=0xff | 0xd0..=0xd3 => self.leaf().map(Token::Int),
            0xca | 0xcb => self.leaf().map(Token::F64),
            _ => {
                self.at += 1;
                self.prefixed(tag, start)
            }
        }
    }

    /// A tag that is not a number, already passed.
    fn prefixed(&mut self, tag: u8, start: usize) -> Result<Token<'a>, DecodeError> {
        match tag {
            0x80..=0x8f => self.map(usize::from(tag & 0x0f), start),
            0x90..=0x9f => self.array(usize::from(tag & 0x0f), start),
            0xa0..=0xbf => self.take(usize::from(tag & 0x1f), start).map(Token::Str),
            0xc0 => Ok(Token::Nil),
            0xc2 | 0xc3 => Ok(Token::Bool(tag == 0xc3)),
            0xc4..=0xc6 => {
                let len = self.length(1 << (tag - 0xc4), start)?;
                self.take(len, start).map(Token::Bin)
            }
            0xc7..=0xc9 => {
                let len = self.length(1 << (tag - 0xc7), start)?;
                self.ext(len, start)
            }
            0xd4..=0xd8 => self.ext(1 << (tag - 0xd4), start),
            0xd9..=0xdb => {
                let len = self.length(1 << (tag - 0xd9), start)?;
                self.take(len, start).map(Token::Str)
            }
            0xdc | 0xdd => {
                let count = self.length(2 << (tag - 0xdc), start)?;
                self.array(count, start)
            }
            0xde | 0xdf => {
                let count = self.length(2 << (tag - 0xde), start)?;
                self.map(count, start)
            }
            _ => Err(DecodeError::ReservedTag { at: start }),
        }
    }

    /// A number, read from its tag on.
    fn leaf<T: Unpackable<Error = msgpacker::Error>>(&mut self) -> Result<T, DecodeError> {
        // The tag fits the type, so only the end of the input can be in the way.
        let (used, number) = T::unpack_with_ofs(&self.input[self.at..])
            .map_err(|_| DecodeError::Truncated { at: self.at })?;
        self.at += used;
        Ok(number)
    }

    /// A big-endian length of `width` bytes, at most four.
    fn length(&mut self, width: usize, start: usize) -> Result<usize, DecodeError> {
        let bytes = self.take(width, start)?;
        Ok(bytes
            .iter()
            .fold(0, |sum, byte| (sum << 8) | usize::from(*byte)))
    }

    fn take(&mut self, len: usize, start: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.input[self.at..];
        let taken = rest
            .get(..len)
            .ok_or(DecodeError::Truncated { at: start })?;
        self.at += len;
        Ok(taken)
    }

    fn ext(&mut self, len: usize, start: usize) -> Result<Token<'a>, DecodeError> {
        let kind = self.take(1, start)?[0] as i8;
        self.take(len, start).map(|bytes| Token::Ext(kind, bytes))
    }

    fn array(&self, count: usize, start: usize) -> Result<Token<'a>, DecodeError> {
        self.check_count(count, 1, start)?;
        Ok(Token::Array(count))
    }

    fn map(&self, count: usize, start: usize) -> Result<Token<'a>, DecodeError> {
        self.check_count(count, 2, start)?;
        Ok(Token::Map(count))
    }

    /// Every item takes at least one byte, so a larger count is a lie: say so before any work.
    fn check_count(&self, count: usize, each: usize, start: usize) -> Result<(), DecodeError> {
        if count > (self.input.len() - self.at) / each {
            Err(DecodeError::CountTooLarge { at: start, count })
        } else if count > self.items_left / each {
            Err(DecodeError::TooManyItems {
                limit: self.limits.max_items,
            })
        } else {
            Ok(())
        }
    }

    /// The next token as a map key.
    pub(super) fn key(&mut self) -> Result<&'a str, DecodeError> {
        let at = self.at;
        match self.token()? {
            Token::Str(bytes) => text(bytes, at),
            other => Err(DecodeError::KeyNotString {
                at,
                found: other.type_name(),
            }),
        }
    }

    /// Passes over the rest of the value that began with `token`, found at `depth`. Only its
    /// structure is checked.
    pub(super) fn skip_rest(&mut self, token: Token<'_>, depth: usize) -> Result<(), DecodeError> {
        let items = match token {
            Token::Array(count) => count,
            Token::Map(count) => 2 * count,
            _ => return Ok(()),
        };
        let depth = self.deeper(depth)?;
        for _ in 0..items {
            let token = self.token()?;
            self.skip_rest(token, depth)?;
        }
        Ok(())
    }
}

/// The bytes of a `Str` token that began at `at`, as text.
pub(super) fn text(bytes: &[u8], at: usize) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::InvalidUtf8 { at })
}

fn unsigned(number: u64) -> Token<'static> {
    i64::try_from(number).map_or(Token::UInt(number), Token::Int)
}
