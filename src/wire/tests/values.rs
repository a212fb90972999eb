use bytes::Bytes;

use super::{decoded, hex};
use crate::map;
use crate::wire::{DecodeError, Limits, Map, Value, decode, decode_prefix, encode, splice_array};

fn refused(bytes: &[u8]) -> DecodeError {
    decode(&Bytes::copy_from_slice(bytes), &Limits::default()).expect_err("the value is refused")
}

/// What Python's `packb(value, use_bin_type=True)` writes.
fn python_vectors() -> Vec<(Value, &'static str)> {
    vec![
        (Value::Nil, "c0"),
        (Value::Bool(true), "c3"),
        (Value::Bool(false), "c2"),
        (Value::Int(0), "00"),
        (Value::Int(1), "01"),
        (Value::Int(127), "7f"),
        (Value::Int(128), "cc80"),
        (Value::Int(255), "ccff"),
        (Value::Int(256), "cd0100"),
        (Value::Int(65535), "cdffff"),
        (Value::Int(65536), "ce00010000"),
        (Value::Int(4294967295), "ceffffffff"),
        (Value::Int(4294967296), "cf0000000100000000"),
        (Value::Int(i64::MAX), "cf7fffffffffffffff"),
        (Value::UInt(1 << 63), "cf8000000000000000"),
        (Value::UInt(u64::MAX), "cfffffffffffffffff"),
        (Value::Int(-1), "ff"),
        (Value::Int(-31), "e1"),
        (Value::Int(-32), "e0"),
        (Value::Int(-33), "d0df"),
        (Value::Int(-128), "d080"),
        (Value::Int(-129), "d1ff7f"),
        (Value::Int(-32768), "d18000"),
        (Value::Int(-32769), "d2ffff7fff"),
        (Value::Int(-2147483648), "d280000000"),
        (Value::Int(-2147483649), "d3ffffffff7fffffff"),
        (Value::Int(i64::MIN), "d38000000000000000"),
        (Value::F64(0.0), "cb0000000000000000"),
        (Value::F64(15.0), "cb402e000000000000"),
        (Value::F64(-1.5), "cbbff8000000000000"),
        (Value::F64(1e300), "cb7e37e43c8800759c"),
        (Value::from(""), "a0"),
        (Value::from("żółw"), "a7c5bcc3b3c58277"),
        (Value::Bin(Bytes::from_static(b"\x00\xff")), "c40200ff"),
        (Value::Bin(Bytes::new()), "c400"),
        (Value::Ext(5, Bytes::new()), "c70005"),
        (Value::Ext(5, Bytes::from_static(&[7])), "d40507"),
        (Value::Ext(5, Bytes::from_static(&[7; 2])), "d5050707"),
        (Value::Ext(5, Bytes::from_static(&[7; 3])), "c70305070707"),
        (Value::Ext(5, Bytes::from_static(&[7; 4])), "d60507070707"),
        (
            Value::Ext(5, Bytes::from_static(&[7; 8])),
            "d7050707070707070707",
        ),
        (
            Value::Ext(5, Bytes::from_static(&[7; 16])),
            "d80507070707070707070707070707070707",
        ),
        (
            Value::Ext(-1, Bytes::from_static(&[0, 0, 0, 1])),
            "d6ff00000001",
        ),
        (Value::from(vec![1, 2, 3]), "93010203"),
        (Value::Array(vec![]), "90"),
        (
            map! { "b" => 1, "a" => Value::Nil }.into(),
            "82a16201a161c0",
        ),
    ]
}

#[test]
fn agrees_with_python_on_every_kind() {
    for (value, text) in python_vectors() {
        assert_eq!(encode(&value)[..], hex(text)[..], "{value:?}");
        assert_eq!(decoded(hex(text)), value, "{text}");
    }
}

#[test]
fn agrees_with_python_on_length_prefixes() {
    let starts = [
        (15, "af7878787878", "c40f78787878", "9f0101010101"),
        (16, "b07878787878", "c41078787878", "dc0010010101"),
        (32, "d92078787878", "c42078787878", "dc0020010101"),
        (255, "d9ff78787878", "c4ff78787878", "dc00ff010101"),
        (256, "da0100787878", "c50100787878", "dc0100010101"),
        (65535, "daffff787878", "c5ffff787878", "dcffff010101"),
        (65536, "db0001000078", "c60001000078", "dd0001000001"),
    ];
    for (len, text, bin, array) in starts {
        let values = [
            (Value::from("x".repeat(len)), text),
            (Value::Bin(vec![b'x'; len].into()), bin),
            (Value::from(vec![1; len]), array),
        ];
        for (value, start) in values {
            let bytes = encode(&value);
            assert_eq!(bytes[..6], hex(start)[..], "{len}");
            assert_eq!(decoded(bytes), value);
        }
    }
}

#[test]
fn long_maps_and_extensions_have_pythons_prefixes() {
    for (len, start) in [
        (15, "8fa13001a131"),
        (16, "de0010a13001"),
        (65535, "deffffa13001"),
        (65536, "df00010000a1"),
    ] {
        let map: Map = (0..len).map(|n| (n.to_string(), 1)).collect();
        let bytes = encode(&map.clone().into());
        assert_eq!(bytes[..6], hex(start)[..]);
        assert_eq!(decoded(bytes), Value::Map(map));
    }
    for (len, start) in [
        (32, "c7200578787878"),
        (256, "c8010005787878"),
        (65536, "c9000100000578"),
    ] {
        let bytes = encode(&Value::Ext(5, vec![b'x'; len].into()));
        assert_eq!(bytes[..7], hex(start)[..]);
    }
}

#[test]
fn reads_forms_that_it_never_writes() {
    assert_eq!(decoded(hex("ca3fc00000")), Value::F64(1.5));
    assert_eq!(decoded(hex("d30000000000000001")), Value::Int(1));
    assert_eq!(decoded(hex("cf0000000000000001")), Value::Int(1));
    assert_eq!(decoded(hex("db0000000161")), Value::from("a"));
    assert_eq!(decoded(hex("df00000001a16101")), map! { "a" => 1 }.into());
}

#[test]
fn bytes_are_slices_of_the_input() {
    let frame = encode(&Value::Bin(vec![7; 5000].into()));
    let Value::Bin(bytes) = decoded(frame.clone()) else {
        panic!("not bytes");
    };
    assert_eq!(bytes.as_ptr(), frame[3..].as_ptr());
}

#[test]
fn a_prefix_tells_where_the_rest_begins() {
    let input = Bytes::from(hex("81a1610102"));
    let (value, used) = decode_prefix(&input, &Limits::default()).expect("a map");
    assert_eq!((value, used), (map! { "a" => 1 }.into(), 4));
    assert_eq!(refused(&input), DecodeError::TrailingBytes { extra: 1 });
}

#[test]
fn refuses_lying_lengths_at_once() {
    for text in [
        "ddffffffff",
        "dfffffffff",
        "dcffff00",
        "deffff00",
        "9f00",
        "82a161",
    ] {
        let error = refused(&hex(text));
        assert!(
            matches!(error, DecodeError::CountTooLarge { at: 0, .. }),
            "{text}: {error}"
        );
    }
    for text in ["dbffffffff61", "c6ffffffff00", "c9ffffffff0500", "d90261"] {
        assert_eq!(
            refused(&hex(text)),
            DecodeError::Truncated { at: 0 },
            "{text}"
        );
    }
}

#[test]
fn refuses_bombs() {
    let nested = vec![0x91; 100_000];
    assert_eq!(refused(&nested), DecodeError::TooDeep { limit: 64 });
    let mut nils = vec![0xdd];
    nils.extend_from_slice(&5_000_000u32.to_be_bytes());
    nils.resize(5 + 5_000_000, 0xc0);
    assert_eq!(
        refused(&nils),
        DecodeError::TooManyItems { limit: 1_000_000 }
    );
    // Many containers that are small each.
    let mut small = vec![0xdc, 0xff, 0xff];
    for _ in 0..0xffff {
        small.extend_from_slice(&[0xdc, 0x00, 0x10]);
        small.extend_from_slice(&[0xc0; 16]);
    }
    assert_eq!(
        refused(&small),
        DecodeError::TooManyItems { limit: 1_000_000 }
    );
}

#[test]
fn the_depth_limit_is_inclusive() {
    let limits = Limits {
        max_depth: 2,
        ..Limits::default()
    };
    let at = |text| decode(&Bytes::from(hex(text)), &limits);
    assert!(at("9190").is_ok());
    assert_eq!(at("919190"), Err(DecodeError::TooDeep { limit: 2 }));
}

#[test]
fn refuses_what_is_not_messagepack_for_us() {
    assert_eq!(refused(&[0xc1]), DecodeError::ReservedTag { at: 0 });
    assert_eq!(refused(&[0x91, 0xc1]), DecodeError::ReservedTag { at: 1 });
    assert_eq!(refused(&[]), DecodeError::Truncated { at: 0 });
    assert_eq!(refused(&hex("a2c328")), DecodeError::InvalidUtf8 { at: 0 });
    let error = refused(&hex("82a1610105a162"));
    assert_eq!(
        error.to_string(),
        "the map key at byte 4 is a int, expected a str"
    );
}

#[test]
fn every_truncation_is_an_error() {
    for (value, _) in python_vectors() {
        let nested = map! { "outer" => vec![value, Value::from("end")] };
        let bytes = encode(&nested.into());
        for end in 0..bytes.len() {
            assert!(decode(&bytes.slice(..end), &Limits::default()).is_err());
        }
    }
}

#[test]
fn a_repeated_key_takes_its_last_value() {
    assert_eq!(
        decoded(hex("83a16101a16202a16103")),
        map! { "a" => 3, "b" => 2 }.into()
    );
    let many: Map = (0..40).map(|n| ((n % 20).to_string(), n)).collect();
    assert_eq!(many.len(), 20);
    assert_eq!(many.get("3"), Some(&Value::Int(23)));
}

#[test]
fn maps_keep_their_order() {
    let mut map = map! { "b" => 1, "a" => 2, "c" => 3 };
    assert_eq!(map.insert("b", 4), Some(Value::Int(1)));
    assert_eq!(map.remove("a"), Some(Value::Int(2)));
    map.extend([("d", 5), ("b", 6)]);
    assert_eq!(map.keys().collect::<Vec<_>>(), ["b", "c", "d"]);
    assert_eq!(map.get("b"), Some(&Value::Int(6)));
    for (_, value) in map.iter_mut() {
        *value = Value::Nil;
    }
    assert!((&map).into_iter().all(|(_, value)| value.is_nil()));
}

#[test]
fn numbers_cross_kinds_only_without_loss() {
    assert_eq!(Value::F64(15.0).as_i64(), Some(15));
    assert_eq!(Value::F64(15.5).as_i64(), None);
    assert_eq!(Value::F64(9.3e18).as_i64(), None);
    assert_eq!(Value::F64(9.3e18).as_u64(), Some(9_300_000_000_000_000_000));
    assert_eq!(Value::F64(f64::NAN).as_u64(), None);
    assert_eq!(Value::F64(f64::INFINITY).as_i64(), None);
    assert_eq!(Value::Int(-1).as_u64(), None);
    assert_eq!(Value::Int(15).as_f64(), Some(15.0));
    assert_eq!(Value::from(u64::MAX), Value::UInt(u64::MAX));
    assert_eq!(Value::from(7u64), Value::Int(7));
}

#[test]
fn truth_and_names_are_pythons() {
    let falsy = [
        Value::Nil,
        false.into(),
        0.into(),
        0.0.into(),
        "".into(),
        Value::Array(vec![]),
        Map::new().into(),
    ];
    assert!(!falsy.iter().any(Value::truthy));
    let names: Vec<_> = falsy.iter().map(Value::type_name).collect();
    assert_eq!(
        names,
        ["NoneType", "bool", "int", "float", "str", "list", "dict"]
    );
    assert!(Value::from("*").truthy());
}

#[test]
fn json_goes_both_ways_where_it_can() {
    let json = serde_json::json!({
        "z": [1, -2, 1.5, u64::MAX, null, true], "a": { "text": "żółw" },
    });
    let value = Value::from_json(json.clone());
    assert_eq!(value.to_json(), json);
    assert_eq!(value.to_json().to_string(), json.to_string());
    assert_eq!(
        Value::Bin(Bytes::from_static(b"hi")).to_json(),
        serde_json::json!("aGk=")
    );
    assert_eq!(
        Value::Ext(-1, Bytes::from_static(b"hi")).to_json(),
        serde_json::json!({ "ext": -1, "data": "aGk=" })
    );
    assert!(Value::F64(f64::NAN).to_json().is_null());
}

#[test]
fn spliced_lists_are_what_encoding_makes() {
    for count in [0, 1, 15, 16, 300, 70_000] {
        let items: Vec<Value> = (0..count).map(Value::from).collect();
        let packed: Vec<Bytes> = items.iter().map(encode).collect();
        assert_eq!(
            splice_array(&packed),
            encode(&Value::Array(items)),
            "{count}"
        );
    }
}
