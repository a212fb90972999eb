//! Values and call bodies: decoding is bounded, and encoding what was decoded is stable.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rhizome::wire::{CallBody, Limits, decode, decode_prefix, encode};

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    let input = Bytes::copy_from_slice(input);
    let _ = CallBody::decode(&input, &limits);
    let Ok((value, used)) = decode_prefix(&input, &limits) else {
        return;
    };
    assert!(used <= input.len());
    let encoded = encode(&value);
    let again = decode(&encoded, &limits).expect("own output decodes");
    // Compared as bytes, because NaN equals nothing.
    assert_eq!(encode(&again), encoded);
    let _ = value.to_json();
});
