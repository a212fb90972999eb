use bytes::Bytes;

use super::{ANSWER, CALL, REJECT, decoded, hex};
use crate::map;
use crate::wire::{
    BodyError, CallBody, Limits, Map, PromiseSpec, RemoteFunction, TaggedError, Value, encode,
    error_text, error_value,
};

/// The body of a Python client's call whose argument is a callback.
const CALLBACK: &str = "83a4617267739187a65f7274797065a66d6574686f64a85f72736572766572b5687474703a\
     2f2f3132372e302e302e313a39373031a85f72746172676574a4636f6e73a85f726d6574686f64d936344c4d4d\
     3245564a6d6f337056574b6b6f6732746b762e6e563451514b67336b33706a58566962635271537861233c6c61\
     6d6264613ea65f726e616d65a83c6c616d6264613ea95f7270726f6d697365a12aa55f72646f63c0a770726f6d\
     697365a12aa174cb402e000000000000";

/// The body of `built-in.get_service`, with explicit promise functions.
const EXPLICIT: &str = "82a46172677391a764656661756c74a770726f6d69736584a968656172746265617484a65f\
     7274797065a66d6574686f64a85f72746172676574a6616e6f6e2d61a85f726d6574686f64d9204161525857726b\
     386a5a503971465134644e4d4e744b2e686561727462656174a95f7270726f6d697365c2a8696e74657276616c\
     cb402e000000000000a77265736f6c766584a65f7274797065a66d6574686f64a85f72746172676574a6616e6f\
     6e2d61a85f726d6574686f64be4161525857726b386a5a503971465134644e4d4e744b2e7265736f6c7665a95f\
     7270726f6d697365c2a672656a65637484a65f7274797065a66d6574686f64a85f72746172676574a6616e6f6e\
     2d61a85f726d6574686f64bd4161525857726b386a5a503971465134644e4d4e744b2e72656a656374a95f7270\
     726f6d697365c2";

/// `get_service("svc", config={})` of a Python client.
const KEYWORDS: &str = "84a46172677392a373766381a6636f6e66696780ab776974685f6b7761726773c3a770726f\
     6d697365a12aa174cb402e000000000000";

/// `subscribe(["client_disconnected"])` of a JavaScript client, with an integral `t`.
const JAVASCRIPT: &str = "83a4617267739191b3636c69656e745f646973636f6e6e6563746564a770726f6d697365\
     a12aa1740f";

/// A result that is a generator.
const GENERATOR: &str = "81a4617267739187a65f7274797065a967656e657261746f72a85f72736572766572b56874\
     74703a2f2f3132372e302e302e313a39373031a85f72746172676574ad70726f746f2d77732f70726f76a85f72\
     6d6574686f64d92d4c426d37435a6359724a616d545467354d4c65396a4e2e4834353832793374797137684735\
     4c4e4c6867336572ae5f72636c6f73655f6d6574686f64d9334c426d37435a6359724a616d545467354d4c6539\
     6a4e2e48343538327933747971376847354c4e4c68673365723a636c6f7365a95f7270726f6d697365a12aa55f\
     72646f63b052656d6f74652067656e657261746f72";

fn body(bytes: impl Into<Bytes>) -> Result<CallBody, BodyError> {
    CallBody::decode(&bytes.into(), &Limits::default())
}

fn body_of(map: Map) -> Result<CallBody, BodyError> {
    body(encode(&map.into()))
}

fn interval_of(t: Value) -> f64 {
    match body_of(map! { "promise" => "*", "t" => t }).map(|body| body.promise) {
        Ok(Some(PromiseSpec::Session { interval })) => interval,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_captured_calls() {
    let call = body(hex(CALL.1)).expect("a call");
    assert_eq!(call.args, [Value::from("bob")]);
    assert_eq!(call.kwargs, Map::new());
    assert_eq!(call.promise, Some(PromiseSpec::Session { interval: 15.0 }));

    let call = body(hex(KEYWORDS)).expect("a call");
    assert_eq!(call.args, [Value::from("svc")]);
    assert_eq!(call.kwargs, map! { "config" => Map::new() });

    let call = body(hex(JAVASCRIPT)).expect("a call");
    assert_eq!(call.args, [Value::from(vec!["client_disconnected"])]);
    assert_eq!(call.promise, Some(PromiseSpec::Session { interval: 15.0 }));

    let answer = body(hex(ANSWER.1)).expect("an answer");
    assert_eq!((answer.args, answer.promise), (vec!["hi bob".into()], None));
}

#[test]
fn no_body_is_a_call_without_arguments() {
    assert_eq!(body(Bytes::new()), Ok(CallBody::default()));
}

#[test]
fn reads_a_captured_callback() {
    let call = body(hex(CALLBACK)).expect("a call");
    let mut callback = RemoteFunction::try_from(&call.args[0]).expect("a function");
    assert_eq!(
        callback.method,
        "4LMM2EVJmo3pVWKkog2tkv.nV4QQKg3k3pjXVibcRqSxa#<lambda>"
    );
    assert_eq!(callback.name.as_deref(), Some("<lambda>"));
    assert!(callback.promise);
    callback.resolve_target("proto-ws");
    assert_eq!(callback.target, "proto-ws/cons");
    callback.resolve_target("other");
    assert_eq!(callback.target, "proto-ws/cons");
}

#[test]
fn reads_a_captured_explicit_promise() {
    let call = body(hex(EXPLICIT)).expect("a call");
    let mut promise = call.promise.expect("a promise");
    promise.resolve_targets("ws");
    let function = |name: &str| RemoteFunction {
        target: "ws/anon-a".to_owned(),
        method: format!("AaRXWrk8jZP9qFQ4dNMNtK.{name}"),
        promise: false,
        name: None,
    };
    let expected = PromiseSpec::Explicit {
        resolve: function("resolve"),
        reject: function("reject"),
        heartbeat: Some(function("heartbeat")),
        interval: 15.0,
    };
    assert_eq!(promise, expected);
}

#[test]
fn errors_look_as_captured() {
    let text = "Target peer proto-ws/prov is not connected";
    let reject = map! { "args" => vec![error_value(text)] };
    assert_eq!(encode(&reject.into())[..], hex(REJECT.1)[..]);
    assert_eq!(error_text(&error_value(text)).as_deref(), Some(text));
    assert_eq!(error_text(&"KeyError".into()), None);
    assert_eq!(
        error_text(&map! { "_rtype" => "set", "_rvalue" => "x" }.into()),
        None
    );
}

#[test]
fn functions_go_both_ways() {
    for (promise, name) in [(true, Some("hello".to_owned())), (false, None)] {
        let function = RemoteFunction {
            target: "ws/prov".to_owned(),
            method: "services.svc.hello".to_owned(),
            promise,
            name,
        };
        let value = function.to_value();
        assert_eq!(RemoteFunction::try_from(&value), Ok(function));
    }
}

#[test]
fn every_spelling_of_a_promise_counts() {
    for (promise, expected) in [
        (Value::from("*"), true),
        (true.into(), true),
        (false.into(), false),
        (Value::Nil, false),
    ] {
        let value = map! {
            "_rtype" => "method", "_rtarget" => "a/b", "_rmethod" => "m", "_rpromise" => promise,
        };
        let function = RemoteFunction::try_from(&value.into()).expect("a function");
        assert_eq!(function.promise, expected);
    }
}

#[test]
fn other_tags_stay_maps() {
    let bytes = hex(GENERATOR);
    let answer = body(bytes.clone()).expect("an answer");
    let generator = &answer.args[0];
    assert_eq!(
        RemoteFunction::try_from(generator),
        Err(TaggedError::NotFunction {
            found: "generator".to_owned()
        })
    );
    // Passing it on changes nothing.
    let again = map! { "args" => answer.args };
    assert_eq!(encode(&again.into())[..], bytes[..]);
    assert_eq!(
        RemoteFunction::try_from(&map! { "_rtype" => "method", "_rtarget" => "a" }.into()),
        Err(TaggedError::MissingPart("_rmethod"))
    );
}

#[test]
fn intervals_are_safe_to_count_with() {
    assert_eq!(interval_of(Value::Int(1)), 1.0);
    assert_eq!(interval_of(Value::F64(0.000_001)), 0.1);
    assert_eq!(interval_of(Value::F64(f64::INFINITY)), 86_400.0);
    for odd in [
        Value::Nil,
        Value::Int(-3),
        Value::F64(f64::NAN),
        "soon".into(),
    ] {
        assert_eq!(interval_of(odd), 15.0);
    }
}

#[test]
fn says_what_is_wrong_with_a_body() {
    let texts = [
        (map! { "args" => 5 }, "`args` is a int, expected a list"),
        (
            map! { "with_kwargs" => true },
            "`the keyword argument` is a NoneType, expected a dict",
        ),
        (
            map! { "args" => vec!["a"], "with_kwargs" => true },
            "`the keyword argument` is a str, expected a dict",
        ),
        (
            map! { "promise" => true },
            "`promise` is a bool, expected \"*\" or a dict",
        ),
        (
            map! { "promise" => map! { "resolve" => 1 } },
            "the promise has no usable `resolve`: expected a remote function, found a int",
        ),
        (
            map! { "_enc" => Map::new(), "data" => "x" },
            "encrypted messages are not supported by this peer",
        ),
    ];
    for (map, text) in texts {
        assert_eq!(body_of(map).expect_err("refused").to_string(), text);
    }
    let error = body(hex("93010203")).expect_err("a list");
    assert_eq!(error.to_string(), "`body` is a list, expected a dict");
    let error = body(hex("c1")).expect_err("malformed");
    assert_eq!(
        error.to_string(),
        "malformed body: the reserved tag c1 stands at byte 0"
    );
    assert!(decoded(hex("80")).as_map().is_some());
}
