use bytes::{BufMut, Bytes};
use msgpacker::{Extension, Packable, pack_array_slice, pack_bytes, pack_map};

use super::{Map, Value};

/// The value as MessagePack, in the shortest form of each kind.
pub fn encode(value: &Value) -> Bytes {
    let mut out = Vec::with_capacity(size_bound(value));
    encode_into(value, &mut out);
    out.into()
}

/// Appends the value as MessagePack.
pub fn encode_into(value: &Value, out: &mut Vec<u8>) {
    value.pack(out);
}

/// A list of values that are encoded already, as MessagePack.
pub fn splice_array(items: &[Bytes]) -> Bytes {
    let size = PREFIX + items.iter().map(Bytes::len).sum::<usize>();
    let mut out = Vec::with_capacity(size);
    match items.len() {
        few @ 0..=15 => out.push(0x90 | few as u8),
        some @ 16..=0xffff => {
            out.push(0xdc);
            out.put_u16(some as u16);
        }
        // A list longer than 32 bits can tell does not fit into memory.
        many => {
            out.push(0xdd);
            out.put_u32(many as u32);
        }
    }
    for item in items {
        out.extend_from_slice(item);
    }
    out.into()
}

/// Appends the map as MessagePack.
pub fn encode_map_into(map: &Map, out: &mut Vec<u8>) {
    map.pack(out);
}

impl Packable for Value {
    fn pack<T: BufMut>(&self, out: &mut T) -> usize {
        match self {
            Value::Nil => ().pack(out),
            Value::Bool(flag) => flag.pack(out),
            // The signed form of a positive number is longer than what other libraries write.
            Value::Int(number) => match u64::try_from(*number) {
                Ok(positive) => positive.pack(out),
                Err(_) => number.pack(out),
            },
            Value::UInt(number) => number.pack(out),
            Value::F64(number) => number.pack(out),
            Value::Str(text) => text.pack(out),
            Value::Bin(bytes) => pack_bytes(out, bytes),
            Value::Ext(kind, bytes) => Extension::Ext(*kind, bytes.to_vec()).pack(out),
            Value::Array(items) => pack_array_slice(out, items),
            Value::Map(map) => map.pack(out),
        }
    }
}

impl Packable for Map {
    fn pack<T: BufMut>(&self, out: &mut T) -> usize {
        pack_map::<_, _, _, _, String, Value>(out, self.entries())
    }
}

/// The longest prefix MessagePack puts before content (an extension of 32-bit length).
const PREFIX: usize = 6;
/// The longest number: a tag and eight bytes.
const NUMBER: usize = 9;

/// An upper bound on the encoded size, so that encoding allocates once.
fn size_bound(value: &Value) -> usize {
    match value {
        Value::Nil | Value::Bool(_) => 1,
        Value::Int(_) | Value::UInt(_) | Value::F64(_) => NUMBER,
        Value::Str(text) => PREFIX + text.len(),
        Value::Bin(bytes) | Value::Ext(_, bytes) => PREFIX + bytes.len(),
        Value::Array(items) => PREFIX + items.iter().map(size_bound).sum::<usize>(),
        Value::Map(map) => map.iter().fold(PREFIX, |sum, (key, value)| {
            sum + PREFIX + key.len() + size_bound(value)
        }),
    }
}
