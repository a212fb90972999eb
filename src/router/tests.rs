use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::*;
use crate::identity::{Level, Scope, UserInfo};
use crate::map;
use crate::supervision::ManualClock;
use crate::wire::{Limits, Map, Value, decode_prefix, encode};

fn router() -> Router {
    Router::new("srv", MailboxLimits::default(), ManualClock::new().shared())
}

fn spec(workspace: &str, client: &str, level: Level) -> ClientSpec {
    let mut user = UserInfo::anonymous(format!("user-{client}"));
    user.scope = Scope::within(workspace, level);
    ClientSpec {
        workspace: workspace.into(),
        client_id: client.into(),
        user: Arc::new(user),
        transport: Transport::WebSocket,
        cut: None,
        remote: String::new(),
    }
}

fn join(router: &Router, workspace: &str, client: &str) -> Registration {
    router
        .register(spec(workspace, client, Level::ReadWrite), false)
        .unwrap()
}

fn frame(header: Map, body: &[u8]) -> Bytes {
    let mut bytes = encode(&Value::Map(header)).to_vec();
    bytes.extend_from_slice(body);
    bytes.into()
}

/// The header and the body of each message that waits for a client.
fn received(client: &Client) -> Vec<(Map, Bytes)> {
    let mut batch = VecDeque::new();
    let waker = futures::task::noop_waker();
    let drained = client
        .mailbox
        .poll_drain(&mut Context::from_waker(&waker), &mut batch);
    if drained == Poll::Pending {
        return Vec::new();
    }
    batch
        .into_iter()
        .filter_map(|message| match message {
            Outgoing::Frame { header, body } => {
                let (value, _) = decode_prefix(&header, &Limits::default()).unwrap();
                Some((value.into_map().unwrap(), body))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn the_sender_is_stamped_whatever_it_claims() {
    let router = router();
    let (a, b) = (
        join(&router, "ws", "a").client,
        join(&router, "ws", "b").client,
    );
    let header = map! {
        "type" => "method", "from" => "evil/x", "to" => "b", "ws" => "evil",
        "user" => "root", "method" => "m", "extra" => 1,
    };
    let body = b"not even messagepack \xc1";
    assert!(matches!(
        router.route(&a, frame(header, body)).0,
        Routed::Delivered
    ));
    let (header, got) = received(&b).pop().unwrap();
    assert_eq!(got, &body[..]);
    assert_eq!(header.get_str("from"), Some("ws/a"));
    assert_eq!(header.get_str("to"), Some("ws/b"));
    assert_eq!(header.get_str("ws"), Some("ws"));
    assert_eq!(
        header.get("user").unwrap().get("id").unwrap().as_str(),
        Some("user-a")
    );
    assert_eq!(header.get("extra").unwrap().as_i64(), Some(1));
}

#[test]
fn calls_to_nobody_are_rejected_and_answers_to_nobody_vanish() {
    let router = router();
    let a = join(&router, "ws", "a").client;
    let call = map! { "type" => "method", "to" => "ws/gone", "session" => "s1" };
    let Routed::Rejected(Outgoing::Frame { header, body }) = router.route(&a, frame(call, b"")).0
    else {
        panic!("a call to nobody must be rejected");
    };
    let (header, _) = decode_prefix(&header, &Limits::default()).unwrap();
    assert_eq!(header.get("method").unwrap().as_str(), Some("s1.reject"));
    assert!(String::from_utf8_lossy(&body).contains("Target peer ws/gone is not connected"));
    let answer = map! { "type" => "method", "to" => "ws/gone" };
    assert!(matches!(
        router.route(&a, frame(answer, b"")).0,
        Routed::Dropped(_)
    ));
}

#[test]
fn broadcasts_reach_subscribers_of_the_own_workspace_only() {
    let router = router();
    let (a, b) = (
        join(&router, "ws", "a").client,
        join(&router, "ws", "b").client,
    );
    let other = join(&router, "other", "c").client;
    for client in [&a, &other] {
        client.subscribe(["shout".to_owned()]);
    }
    let shout = |to: &str| frame(map! { "type" => "shout", "to" => to }, b"");
    assert!(matches!(router.route(&b, shout("*")).0, Routed::Delivered));
    assert_eq!(received(&a).len(), 1);
    assert!(received(&b).is_empty() && received(&other).is_empty());
    assert!(matches!(
        router.route(&b, shout("other/*")).0,
        Routed::Dropped(_)
    ));
    assert!(received(&other).is_empty());
    let reader = router
        .register(spec("ws", "r", Level::Read), false)
        .unwrap()
        .client;
    assert!(matches!(
        router.route(&reader, shout("ws/*")).0,
        Routed::Dropped(_)
    ));
    assert!(received(&a).is_empty());
}

#[test]
fn the_servers_own_addresses_are_local() {
    let router = router();
    let a = join(&router, "ws", "a").client;
    for to in ["*/manager-srv", "public/srv"] {
        let call = frame(map! { "type" => "method", "to" => to }, b"");
        assert!(matches!(router.route(&a, call).0, Routed::Local(incoming) if incoming.to == to));
    }
}

#[test]
fn a_new_generation_takes_over_and_the_old_one_takes_nothing_with_it() {
    let router = router();
    let first = join(&router, "ws", "a");
    first.client.subscribe(["news".to_owned()]);
    assert!(
        router
            .register(spec("ws", "a", Level::Read), false)
            .is_err()
    );
    let second = router
        .register(spec("ws", "a", Level::ReadWrite), true)
        .unwrap();
    assert!(second.client.is_subscribed("news"));
    assert!(!router.unregister(&first.client));
    assert_eq!(
        router.find("ws/a").unwrap().generation,
        second.client.generation
    );
    assert!(router.unregister(&second.client));
    assert!(router.find("ws/a").is_none() && router.members("ws").is_empty());
}

#[test]
fn a_returning_client_gets_its_subscriptions_back() {
    let router = router();
    let first = join(&router, "ws", "a").client;
    first.subscribe(["news".to_owned()]);
    router.unregister(&first);
    let back = router
        .register(spec("ws", "a", Level::ReadWrite), true)
        .unwrap();
    assert!(back.client.is_subscribed("news"));
}

#[test]
fn a_full_mailbox_holds_its_sender_back() {
    let limits = MailboxLimits {
        count: 1,
        bytes: 1 << 20,
    };
    let router = Router::new("srv", limits, ManualClock::new().shared());
    let (a, b) = (
        join(&router, "ws", "a").client,
        join(&router, "ws", "b").client,
    );
    let one = || frame(map! { "type" => "method", "to" => "b" }, b"");
    assert!(matches!(router.route(&a, one()).0, Routed::Delivered));
    let Routed::Blocked(blocked) = router.route(&a, one()).0 else {
        panic!("the second frame must wait");
    };
    assert_eq!(&*blocked[0].0.address, "ws/b");
    assert_eq!(received(&b).len(), 1);
}

#[test]
fn unreadable_frames_are_ignored_or_rejected() {
    let router = router();
    let a = join(&router, "ws", "a").client;
    for bytes in [&b""[..], b"\xc1", b"\x83\xa2to", b"\xdd\xff\xff\xff\xff"] {
        let frame = Bytes::from_static(bytes);
        assert!(matches!(router.route(&a, frame).0, Routed::Dropped(_)));
    }
    let no_target = frame(map! { "type" => "method", "session" => "s" }, b"");
    assert!(matches!(router.route(&a, no_target).0, Routed::Rejected(_)));
}

#[test]
fn what_others_wait_for_weighs_little() {
    let router = router();
    let (a, b) = (
        join(&router, "ws", "a").client,
        join(&router, "ws", "b").client,
    );
    let weight = |from: &Arc<Client>, header: Map| router.route(from, frame(header, b"")).1;
    let call = || map! { "type" => "method", "to" => "b", "method" => "services.x.f", "session" => "s" };
    let answer = || map! { "type" => "method", "to" => "a", "method" => "s.resolve" };
    assert_eq!(weight(&b, answer()), Weight::Full, "nobody asked");
    assert_eq!(weight(&a, call()), Weight::Full);
    assert_eq!(weight(&b, answer()), Weight::Light);
    assert_eq!(weight(&b, answer()), Weight::Full, "one answer for one question");
    weight(&a, call());
    let mut hidden = answer();
    hidden.insert("session", "t");
    assert_eq!(weight(&b, hidden), Weight::Full, "it asks for something itself");
    // Functions that the server lent, and its services.
    let lent = || map! { "type" => "method", "to" => "*/srv", "method" => "s.cb0#send", "session" => "u" };
    let own = || map! { "type" => "method", "to" => "*/srv", "method" => "services.x.f", "session" => "u" };
    assert_eq!(weight(&b, own()), Weight::Full);
    assert_eq!(weight(&b, lent()), Weight::Light);
    assert_eq!(weight(&b, lent()), Weight::Full);
    let large = frame(own(), &vec![0; LARGE_BODY]);
    assert_eq!(router.route(&b, large).1, Weight::Light);
}

const LARGE_BODY: usize = 100_000;
