//! Conversions between [`Value`], plain Rust types and JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Map, Value};

macro_rules! from_small_integer {
    ( $( $kind:ty ),* ) => { $(
        impl From<$kind> for Value {
            fn from(number: $kind) -> Self {
                Value::Int(i64::from(number))
            }
        }
    )* };
}

from_small_integer!(i8, i16, i32, i64, u8, u16, u32);

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Value::UInt(number), Value::Int)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Value::from(number as u64)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::F64(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Bool(flag)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Value::Str(text.clone())
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Value::Bin(bytes)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Value::Array(items.into_iter().map(Into::into).collect())
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Value::Map(map)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Nil, Into::into)
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        Value::from_json(json)
    }
}

impl Value {
    /// This value as JSON.
    ///
    /// JSON has no bytes and no odd floats, so the way back is not exact: bytes become standard
    /// base64 text, an extension becomes `{"ext": <type>, "data": <base64>}`, and a float that is
    /// not finite becomes null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Nil => Json::Null,
            Value::Bool(flag) => Json::from(*flag),
            Value::Int(number) => Json::from(*number),
            Value::UInt(number) => Json::from(*number),
            Value::F64(number) => Json::from(*number),
            Value::Str(text) => Json::from(text.as_str()),
            Value::Bin(bytes) => Json::from(STANDARD.encode(bytes)),
            Value::Ext(kind, bytes) => {
                serde_json::json!({ "ext": kind, "data": STANDARD.encode(bytes) })
            }
            Value::Array(items) => items.iter().map(Value::to_json).collect(),
            Value::Map(map) => map.iter().map(|(k, v)| (k, v.to_json())).collect(),
        }
    }

    /// A value from JSON; an integer stays an integer.
    pub fn from_json(json: serde_json::Value) -> Value {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Nil,
            Json::Bool(flag) => Value::Bool(flag),
            Json::Number(number) => number_from_json(&number),
            Json::String(text) => Value::Str(text),
            Json::Array(items) => Value::Array(items.into_iter().map(Value::from_json).collect()),
            Json::Object(map) => Value::Map(map.into_iter().collect()),
        }
    }
}

fn number_from_json(number: &serde_json::Number) -> Value {
    if let Some(number) = number.as_i64() {
        Value::Int(number)
    } else if let Some(number) = number.as_u64() {
        Value::from(number)
    } else {
        number.as_f64().map_or(Value::Nil, Value::F64)
    }
}
