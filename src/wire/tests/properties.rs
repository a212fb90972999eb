use bytes::Bytes;
use proptest::prelude::*;

use crate::wire::{CallBody, Header, Limits, Map, Stamp, Value, decode, decode_prefix, encode};

const KNOWN: [&str; 7] = ["type", "to", "method", "session", "ws", "from", "user"];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-300i64..300).prop_map(Value::Int),
        (1u64 << 63..).prop_map(Value::UInt),
        any::<f64>()
            .prop_filter("NaN equals nothing", |number| !number.is_nan())
            .prop_map(Value::F64),
        ".{0,40}".prop_map(Value::Str),
        bytes(300).prop_map(Value::Bin),
        (any::<i8>(), bytes(40)).prop_map(|(kind, bytes)| Value::Ext(kind, bytes)),
    ]
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            prop::collection::vec((".{0,12}", inner), 0..20)
                .prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    })
}

/// A header with the fields every message has and any others, in any order.
fn header() -> impl Strategy<Value = Map> {
    let known = (
        ".{0,20}",
        ".{0,40}",
        prop::collection::vec(prop::sample::select(&KNOWN[2..]), 0..5),
    );
    let others = prop::collection::vec((".{0,12}", value()), 0..18);
    (known, others, value())
        .prop_map(|((kind, to, more), others, value)| {
            let mut map = Map::new();
            for (key, value) in others {
                if !KNOWN.contains(&key.as_str()) {
                    map.insert(key, value);
                }
            }
            for key in more {
                map.insert(key, value.clone());
            }
            map.insert("type", kind);
            map.insert("to", to);
            map.into_iter().collect::<Vec<_>>()
        })
        .prop_shuffle()
        .prop_map(|entries| entries.into_iter().collect())
}

/// Spoils a frame: overwrites some bytes, then cuts it.
fn spoil(mut frame: Vec<u8>, changes: &[(prop::sample::Index, u8)], cut: Option<usize>) -> Vec<u8> {
    for (at, byte) in changes {
        let at = at.index(frame.len());
        frame[at] = *byte;
    }
    if let Some(cut) = cut {
        frame.truncate(cut);
    }
    frame
}

const STAMP: Stamp<'static> = Stamp {
    ws: "ws",
    to: "ws/target",
    from: "ws/sender",
    user: &[0x81, 0xa2, b'i', b'd', 0xa1, b'u'],
};

/// Everything that reads a frame; none of it may panic.
fn read_all(frame: &[u8]) {
    let limits = Limits::default();
    let input = Bytes::copy_from_slice(frame);
    let _ = Header::session_of(frame, &limits);
    if let Ok((value, used)) = decode_prefix(&input, &limits) {
        assert!(used <= frame.len());
        let again = encode(&value);
        let second = decode(&again, &limits).expect("own output decodes");
        assert_eq!(encode(&second), again);
    }
    if let Ok(header) = Header::parse(frame, &limits) {
        let out = header.rewrite_frame(&STAMP);
        assert_eq!(out.capacity(), out.len());
        let second = Header::parse(&out, &limits).expect("own output parses");
        assert_eq!((second.kind, second.to), (header.kind, STAMP.to));
        assert_eq!(second.body(), header.body());
        let _ = CallBody::decode(&input.slice(header.body_at..), &limits);
    }
}

proptest! {
    #[test]
    fn values_survive_the_round_trip(value in value()) {
        let encoded = encode(&value);
        prop_assert_eq!(decode(&encoded, &Limits::default()), Ok(value));
    }

    #[test]
    fn values_survive_in_front_of_other_bytes(value in value(), rest in bytes(20)) {
        let encoded = encode(&value);
        let input = Bytes::from([&encoded[..], &rest[..]].concat());
        let expected = Ok((value, encoded.len()));
        prop_assert_eq!(decode_prefix(&input, &Limits::default()), expected);
    }

    #[test]
    fn rewriting_keeps_all_but_the_stamps(map in header(), body in bytes(60)) {
        let head = encode(&map.clone().into());
        let frame = [&head[..], &body[..]].concat();
        let header = Header::parse(&frame, &Limits::default()).expect("a header");
        prop_assert_eq!(header.body_at, head.len());
        prop_assert_eq!(Some(header.to), map.get_str("to"));
        prop_assert_eq!(header.session, map.get_str("session"));

        let out = header.rewrite(&STAMP);
        prop_assert_eq!(out.capacity(), out.len());
        let rewritten = Header::parse(&out, &Limits::default()).expect("a header");
        let stamped = ["ws", "to", "from", "user"];
        let kept: Vec<_> = header.fields().filter(|(key, _)| !stamped.contains(key)).collect();
        let fields: Vec<_> = rewritten.fields().collect();
        let (before, stamps) = fields.split_at(kept.len());
        prop_assert_eq!(before, kept);
        prop_assert_eq!(stamps.iter().map(|(key, _)| *key).collect::<Vec<_>>(), stamped);
        prop_assert_eq!(rewritten.field("user"), Some(STAMP.user));
        prop_assert_eq!(rewritten.body_at, out.len());
    }

    #[test]
    fn spoiled_frames_do_no_harm(
        map in header(),
        body in value(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(0usize..400),
    ) {
        let mut frame = encode(&map.into()).to_vec();
        frame.extend_from_slice(&encode(&body));
        read_all(&spoil(frame, &changes, cut));
    }

    #[test]
    fn random_bytes_do_no_harm(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all(&frame);
    }

    #[test]
    fn json_keeps_what_json_has(value in value()) {
        let json = value.to_json();
        prop_assert_eq!(Value::from_json(json.clone()).to_json(), json);
    }
}
