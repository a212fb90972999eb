use bytes::Bytes;

use super::Map;

/// A MessagePack value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Absent, Python's `None`.
    #[default]
    Nil,
    /// A boolean.
    Bool(bool),
    /// Every integer that fits.
    Int(i64),
    /// Only integers above `i64::MAX`.
    UInt(u64),
    /// A float; single precision input is widened.
    F64(f64),
    /// Text.
    Str(String),
    /// Bytes. A decoded one is a slice of the frame and keeps the whole frame in memory.
    Bin(Bytes),
    /// An extension, timestamps (type -1) among them, carried unread.
    Ext(i8, Bytes),
    /// A list.
    Array(Vec<Value>),
    /// A map with string keys.
    Map(Map),
}

/// Two to the power of 63, the first float outside the range of `i64`.
const I64_END: f64 = 9_223_372_036_854_775_808.0;
/// Two to the power of 64, the first float outside the range of `u64`.
const U64_END: f64 = 18_446_744_073_709_551_616.0;

impl Value {
    /// Whether this is [`Value::Nil`].
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// An integer, or a float without a fraction.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Value::Int(number) => Some(number),
            Value::UInt(number) => i64::try_from(number).ok(),
            Value::F64(number)
                if number.fract() == 0.0 && (-I64_END..I64_END).contains(&number) =>
            {
                Some(number as i64)
            }
            _ => None,
        }
    }

    /// An integer from zero up, or such a float without a fraction.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::Int(number) => u64::try_from(number).ok(),
            Value::UInt(number) => Some(number),
            Value::F64(number) if number.fract() == 0.0 && (0.0..U64_END).contains(&number) => {
                Some(number as u64)
            }
            _ => None,
        }
    }

    /// A float or an integer as a float.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::Int(number) => Some(number as f64),
            Value::UInt(number) => Some(number as f64),
            Value::F64(number) => Some(number),
            _ => None,
        }
    }

    /// A boolean; nothing else is taken for one (see [`Value::truthy`]).
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// The map inside.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The map inside, to change it.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a list, to change them.
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The bytes of a `Bin`.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Value::Bin(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The map, by value.
    pub fn into_map(self) -> Option<Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The text, by value.
    pub fn into_string(self) -> Option<String> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The list, by value.
    pub fn into_array(self) -> Option<Vec<Value>> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The bytes, by value.
    pub fn into_bytes(self) -> Option<Bytes> {
        match self {
            Value::Bin(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value under `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// Python's idea of truth: zero, nothing and empty things are false.
    pub fn truthy(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(flag) => *flag,
            Value::Int(number) => *number != 0,
            Value::UInt(number) => *number != 0,
            Value::F64(number) => *number != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Bin(bytes) => !bytes.is_empty(),
            Value::Ext(..) => true,
            Value::Array(items) => !items.is_empty(),
            Value::Map(map) => !map.is_empty(),
        }
    }

    /// The name Python gives this type, for error texts that users match.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::UInt(_) => "int",
            Value::F64(_) => "float",
            Value::Str(_) => "str",
            Value::Bin(_) => "bytes",
            Value::Ext(..) => "ExtType",
            Value::Array(_) => "list",
            Value::Map(_) => "dict",
        }
    }
}
