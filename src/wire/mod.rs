//! The wire format: MessagePack values, frame headers and tagged maps.
//!
//! A binary frame is a header map followed by an optional body map. The router reads only the
//! header ([`Header`]); the server's own peers decode bodies into [`Value`] and [`CallBody`].

mod convert;
mod decode;
mod encode;
mod header;
mod limits;
mod map;
mod reader;
mod tagged;
mod value;

pub use decode::{decode, decode_prefix};
pub use encode::{encode, encode_into, encode_map_into, splice_array};
pub use header::{Header, HeaderError, Stamp};
pub use limits::Limits;
pub use map::Map;
pub use reader::DecodeError;
pub use tagged::{
    BodyError, CallBody, PromiseSpec, RemoteFunction, TaggedError, error_text, error_value,
};
pub use value::Value;

#[cfg(test)]
mod tests;
