use bytes::Bytes;

use super::reader::{Reader, Token, text};
use super::{DecodeError, Limits, Map, Value};

/// The most a container reserves at once; a longer one grows as its items arrive.
const RESERVE: usize = 1024;

/// Decodes input that is exactly one value.
pub fn decode(input: &Bytes, limits: &Limits) -> Result<Value, DecodeError> {
    let (value, used) = decode_prefix(input, limits)?;
    match input.len() - used {
        0 => Ok(value),
        extra => Err(DecodeError::TrailingBytes { extra }),
    }
}

/// Decodes the first value of the input and tells its length. Bytes and extensions are slices of
/// the input, not copies.
pub fn decode_prefix(input: &Bytes, limits: &Limits) -> Result<(Value, usize), DecodeError> {
    let mut decoder = Decoder {
        input,
        reader: Reader::new(input, limits),
    };
    let value = decoder.value(0)?;
    Ok((value, decoder.reader.at()))
}

struct Decoder<'a> {
    input: &'a Bytes,
    reader: Reader<'a>,
}

impl Decoder<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let at = self.reader.at();
        Ok(match self.reader.token()? {
            Token::Nil => Value::Nil,
            Token::Bool(flag) => Value::Bool(flag),
            Token::Int(number) => Value::Int(number),
            Token::UInt(number) => Value::UInt(number),
            Token::F64(number) => Value::F64(number),
            Token::Str(bytes) => Value::Str(text(bytes, at)?.to_owned()),
            Token::Bin(bytes) => Value::Bin(self.input.slice_ref(bytes)),
            Token::Ext(kind, bytes) => Value::Ext(kind, self.input.slice_ref(bytes)),
            Token::Array(count) => Value::Array(self.array(count, depth)?),
            Token::Map(count) => Value::Map(self.map(count, depth)?),
        })
    }

    fn array(&mut self, count: usize, depth: usize) -> Result<Vec<Value>, DecodeError> {
        let depth = self.reader.deeper(depth)?;
        let mut items = Vec::with_capacity(count.min(RESERVE));
        for _ in 0..count {
            items.push(self.value(depth)?);
        }
        Ok(items)
    }

    fn map(&mut self, count: usize, depth: usize) -> Result<Map, DecodeError> {
        let depth = self.reader.deeper(depth)?;
        let mut entries = Vec::with_capacity(count.min(RESERVE));
        for _ in 0..count {
            let key = self.reader.key()?.to_owned();
            entries.push((key, self.value(depth)?));
        }
        Ok(Map::from_entries(entries))
    }
}
