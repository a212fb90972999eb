use super::{ANSWER, CALL, EVENT, REJECT, USER, USER_EVENT, decoded, hex};
use crate::map;
use crate::wire::{
    DecodeError, Header, HeaderError, Limits, Map, Stamp, Value, decode_prefix, encode,
};

fn parse(frame: &[u8]) -> Result<Header<'_>, HeaderError> {
    Header::parse(frame, &Limits::default())
}

fn refused(header: Map) -> HeaderError {
    parse(&encode(&header.into())).expect_err("the header is refused")
}

fn stamp<'a>(user: &'a [u8]) -> Stamp<'a> {
    Stamp {
        ws: "proto-ws",
        to: "proto-ws/prov",
        from: "proto-ws/cons",
        user,
    }
}

#[test]
fn reads_captured_headers() {
    let frame = [hex(CALL.0), hex(CALL.1)].concat();
    let header = parse(&frame).expect("a header");
    assert_eq!(header.kind, "method");
    assert_eq!(header.to, "proto-ws/prov");
    assert_eq!(header.method, Some("services.svc.hello"));
    assert_eq!(header.session, Some("DYZGVeLpQyHhss98JRcvak"));
    assert_eq!(header.body_at, hex(CALL.0).len());
    assert_eq!(header.body(), hex(CALL.1));

    for (head, body) in [ANSWER, REJECT] {
        let frame = [hex(head), hex(body)].concat();
        let header = parse(&frame).expect("a header");
        assert_eq!(header.session, None);
        assert_eq!(header.body(), hex(body));
    }
}

#[test]
fn reads_events_of_one_map() {
    let frame = hex(EVENT);
    let header = parse(&frame).expect("a header");
    assert_eq!((header.kind, header.to), ("client_disconnected", "*"));
    assert_eq!((header.method, header.body()), (None, &[][..]));
    let data = header.field("data").expect("data").to_vec();
    assert_eq!(
        decoded(data),
        map! { "id" => "prov", "workspace" => "proto-ws" }.into()
    );
    let frame = hex(USER_EVENT);
    assert_eq!(parse(&frame).expect("a header").kind, "my-event");
}

#[test]
fn rewriting_a_captured_call_gives_the_captured_fields() {
    let user = hex(USER);
    let frame = [hex(CALL.0), hex(CALL.1)].concat();
    let header = parse(&frame).expect("a header");
    let out = header.rewrite(&stamp(&user));
    // One allocation of the right size.
    assert_eq!(out.capacity(), out.len());
    let expected = map! {
        "type" => "method",
        "method" => "services.svc.hello",
        "session" => "DYZGVeLpQyHhss98JRcvak",
        "ws" => "proto-ws",
        "to" => "proto-ws/prov",
        "from" => "proto-ws/cons",
        "user" => decoded(user.clone()),
    };
    assert_eq!(decoded(out.clone()), expected.into());
    let whole = header.rewrite_frame(&stamp(&user));
    assert_eq!(whole.capacity(), whole.len());
    assert_eq!(whole, [out, hex(CALL.1)].concat());
}

#[test]
fn a_senders_own_stamps_are_dropped_whatever_they_are() {
    let lies = map! {
        "user" => map! { "id" => "root", "roles" => vec!["admin"] },
        "x" => 1,
        "ws" => 5,
        "type" => "method",
        "from" => Value::Nil,
        "to" => "prov",
        "y" => vec![Value::Nil],
    };
    let frame = encode(&lies.into());
    let header = parse(&frame).expect("a header");
    let out = header.rewrite(&stamp(&[0x80]));
    let expected = map! {
        "x" => 1,
        "type" => "method",
        "y" => vec![Value::Nil],
        "ws" => "proto-ws",
        "to" => "proto-ws/prov",
        "from" => "proto-ws/cons",
        "user" => Map::new(),
    };
    assert_eq!(decoded(out), expected.into());
}

#[test]
fn long_headers_get_long_prefixes() {
    for count in [11, 12, 13, 14, 300, 65_531, 65_532, 65_533] {
        let mut map: Map = (0..count).map(|n| (format!("k{n}"), n)).collect();
        map.extend([("type", "t"), ("to", "*")]);
        let frame = encode(&map.into());
        let header = parse(&frame).expect("a header");
        let out = header.rewrite(&stamp(&[0xc0]));
        assert_eq!(out.capacity(), out.len());
        let value = decoded(out);
        // Three more than the unknown fields and `type`, less `to`, which was there.
        assert_eq!(value.as_map().map(Map::len), Some(count + 5));
    }
}

#[test]
fn long_stamps_have_room() {
    let long = "w".repeat(70_000);
    let frame = hex(USER_EVENT);
    let header = parse(&frame).expect("a header");
    for len in [0, 31, 32, 255, 256, 65_535, 65_536] {
        let out = header.rewrite(&Stamp {
            ws: &long[..len],
            to: &long[..len],
            from: &long[..len],
            user: &[0x80],
        });
        assert_eq!(out.capacity(), out.len());
        assert_eq!(parse(&out).expect("a header").to.len(), len);
    }
}

#[test]
fn says_what_is_missing_or_wrong() {
    let texts = [
        (map! { "type" => "method" }, "missing `to`"),
        (map! { "to" => "*" }, "missing `type`"),
        (
            map! { "to" => 5, "type" => "a" },
            "`to` is a int, expected a str",
        ),
        (
            map! { "to" => "*", "type" => Value::Nil },
            "`type` is a NoneType, expected a str",
        ),
    ];
    for (header, text) in texts {
        assert_eq!(refused(header).to_string(), text);
    }
    let error = parse(&[0x92, 0x01, 0x02]).expect_err("a list");
    assert_eq!(error.to_string(), "the header is a list, expected a dict");
}

#[test]
fn refuses_repeated_fields_and_odd_keys() {
    assert_eq!(
        parse(&hex("82a2746fa161a2746fa162")).expect_err("twice"),
        HeaderError::Repeated("to")
    );
    assert_eq!(
        parse(&hex("82a474797065a161a474797065a162")).expect_err("twice"),
        HeaderError::Repeated("type")
    );
    assert_eq!(
        parse(&hex("8101a161")).expect_err("an int key"),
        HeaderError::Malformed(DecodeError::KeyNotString {
            at: 1,
            found: "int"
        })
    );
}

#[test]
fn an_optional_field_of_another_type_is_only_passed_on() {
    let frame = encode(&map! { "type" => "a", "to" => "*", "session" => Value::Nil }.into());
    let header = parse(&frame).expect("a header");
    assert_eq!(header.session, None);
    let out = decoded(header.rewrite(&stamp(&[0xc0])));
    assert_eq!(out.get("session"), Some(&Value::Nil));
}

#[test]
fn a_refused_header_still_names_its_session() {
    let limits = Limits::default();
    let frame = encode(&map! { "type" => "method", "x" => vec![1, 2], "session" => "s1" }.into());
    assert_eq!(Header::session_of(&frame, &limits), Some("s1"));
    assert_eq!(Header::session_of(&hex(USER_EVENT), &limits), None);
    assert_eq!(Header::session_of(&[0xc1], &limits), None);
}

#[test]
fn fields_are_spans_in_order() {
    let frame = hex(EVENT);
    let header = parse(&frame).expect("a header");
    let keys: Vec<_> = header.fields().map(|(key, _)| key).collect();
    assert_eq!(keys, ["type", "to", "data"]);
    assert_eq!(header.field("to"), Some(&hex("a12a")[..]));
    assert_eq!(header.field("nothing"), None);
}

#[test]
fn bombs_in_skipped_fields_are_refused() {
    let with_field = |value: &[u8]| {
        let mut frame = hex("83a474797065a161a2746fa12aa464617461");
        frame.extend_from_slice(value);
        parse(&frame).expect_err("refused")
    };
    assert_eq!(
        with_field(&[0x91; 10_000]),
        DecodeError::TooDeep { limit: 64 }.into()
    );
    assert!(matches!(
        with_field(&hex("ddffffffff")),
        HeaderError::Malformed(DecodeError::CountTooLarge { at: 18, .. })
    ));
    assert!(matches!(
        with_field(&hex("dbffffffff")),
        HeaderError::Malformed(DecodeError::Truncated { at: 18 })
    ));
    assert_eq!(
        with_field(&hex("91c1")),
        DecodeError::ReservedTag { at: 19 }.into()
    );
    let mut nils = hex("dd004c4b40");
    nils.resize(5 + 5_000_000, 0xc0);
    assert_eq!(
        with_field(&nils),
        DecodeError::TooManyItems { limit: 1_000_000 }.into()
    );
}

#[test]
fn every_truncated_header_is_refused_and_the_body_never_read() {
    let head = hex(CALL.0);
    for end in 0..head.len() {
        assert!(parse(&head[..end]).is_err());
    }
    let frame = [head, vec![0xc1; 40]].concat();
    assert_eq!(parse(&frame).expect("a header").body(), [0xc1; 40]);
    let (_, used) = decode_prefix(&frame.clone().into(), &Limits::default()).expect("a map");
    assert_eq!(used, parse(&frame).expect("a header").body_at);
}
