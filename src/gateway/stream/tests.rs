//! Streams over real workspaces, with time moved by hand.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::test::TestRequest;
use actix_web::{FromRequest, web};
use bytes::{Buf, Bytes};
use futures::task::noop_waker;
use futures::{FutureExt, Stream};

use super::body::StreamBody;
use super::table::{Streams, Uplink};
use super::{UploadError, receive};
use crate::gateway::{Admission, Gateway, GatewayLimits, Presence};
use crate::identity::{Level, Revocations, Scope, Tokens, TokensConfig, UserInfo};
use crate::map;
use crate::peer::Peer;
use crate::router::{ClientSpec, MailboxLimits, Router, Transport};
use crate::store::Store;
use crate::store::testing::TempDir;
use crate::supervision::ManualClock;
use crate::wire::{Limits, Map, Value, decode_prefix, encode};
use crate::workspace::{Directory, DirectoryParts, PUBLIC, WorkspaceLimits};

struct World {
    gateway: Arc<Gateway>,
    clock: ManualClock,
    _folder: TempDir,
}

fn world(mailbox: MailboxLimits) -> World {
    let folder = TempDir::new();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let clock = ManualClock::new();
    let tokens = Tokens::new(
        TokensConfig::default(),
        Revocations::open(&store).unwrap(),
        Arc::new(|| 0.0),
    );
    let router = Arc::new(Router::new("srv", mailbox, clock.shared()));
    let peer = Peer::new(router.clone(), "http://localhost");
    let directory = Directory::open(DirectoryParts {
        router: router.clone(),
        peer: peer.clone(),
        tokens: Arc::new(tokens.unwrap()),
        store,
        limits: WorkspaceLimits::default(),
        clock: clock.shared(),
    });
    let limits = GatewayLimits::default();
    World {
        gateway: Gateway::new(router, peer, directory.unwrap(), limits, clock.shared()),
        clock,
        _folder: folder,
    }
}

impl World {
    fn open(&self, client_id: &str) -> StreamBody {
        let mut user = UserInfo::anonymous(format!("user-{client_id}"));
        user.scope = Scope::within(PUBLIC, Level::ReadWrite);
        let spec = ClientSpec {
            workspace: PUBLIC.into(),
            client_id: client_id.into(),
            user: Arc::new(user),
            transport: Transport::Http,
            cut: None,
            remote: String::new(),
        };
        let admission = Admission {
            spec,
            supersede: true,
        };
        let (presence, closed) = Presence::enter(&self.gateway, admission).ok().unwrap();
        let client = presence.client.clone();
        let uplink = Uplink::new(client, None, &self.gateway.limits, Duration::ZERO);
        let seat = Streams::enter(&self.gateway, uplink);
        let mut body = StreamBody::new(self.gateway.clone(), presence, seat, closed);
        let first = message(&mut body).unwrap();
        assert_eq!(first.get_str("type"), Some("connection_info"));
        body
    }

    fn uplink(&self, client_id: &str) -> Arc<Uplink> {
        self.gateway
            .streams
            .find(&format!("{PUBLIC}/{client_id}"))
            .unwrap()
    }

    async fn post(&self, uplink: &Arc<Uplink>, message: Map) -> Result<(), UploadError> {
        let message = encode(&Value::Map(message));
        let (request, mut payload) = TestRequest::post().set_payload(message).to_http_parts();
        let payload = web::Payload::from_request(&request, &mut payload)
            .await
            .unwrap();
        receive(&self.gateway, uplink, &request, payload).await
    }
}

fn poll(body: &mut StreamBody) -> Poll<Option<Bytes>> {
    let waker = noop_waker();
    Pin::new(body)
        .poll_next(&mut Context::from_waker(&waker))
        .map(|piece| piece.map(|piece| piece.unwrap()))
}

/// The next piece, which holds one message; None while there is none.
fn message(body: &mut StreamBody) -> Option<Map> {
    match poll(body) {
        Poll::Pending => None,
        Poll::Ready(piece) => {
            let mut piece = piece.expect("the stream goes on");
            let length = piece.get_u32() as usize;
            assert_eq!(piece.len(), length);
            let (header, _) = decode_prefix(&piece, &Limits::default()).unwrap();
            header.into_map()
        }
    }
}

fn note(n: i64) -> Map {
    map! { "type" => "note", "to" => "receiver", "n" => n }
}

fn number(message: Option<Map>) -> Option<i64> {
    message?.get("n")?.as_i64()
}

#[actix_web::test]
async fn only_silence_calls_for_a_sign_of_life() {
    let world = world(MailboxLimits::default());
    let mut body = world.open("receiver");
    let sender = world.open("sender");
    world.clock.advance(Duration::from_secs(9));
    assert!(message(&mut body).is_none());
    world.post(&world.uplink("sender"), note(1)).await.unwrap();
    assert_eq!(number(message(&mut body)), Some(1));
    world.clock.advance(Duration::from_secs(9));
    assert!(message(&mut body).is_none());
    world.clock.advance(Duration::from_secs(1));
    let sign = message(&mut body).unwrap();
    assert_eq!(sign, map! { "type" => "ping" });
    assert!(message(&mut body).is_none());
    drop(sender);
}

#[actix_web::test]
async fn what_is_queued_is_sent_before_the_end() {
    let world = world(MailboxLimits::default());
    let mut body = world.open("receiver");
    let _sender = world.open("sender");
    world.post(&world.uplink("sender"), note(1)).await.unwrap();
    world.gateway.drain();
    assert_eq!(number(message(&mut body)), Some(1));
    assert_eq!(poll(&mut body), Poll::Ready(None));
}

#[actix_web::test]
async fn a_dropped_body_takes_the_client_out() {
    let world = world(MailboxLimits::default());
    let body = world.open("receiver");
    let uplink = world.uplink("receiver");
    drop(body);
    assert!(world.gateway.router.find("public/receiver").is_none());
    assert!(world.gateway.streams.find("public/receiver").is_none());
    let late = world.post(&uplink, note(1)).await;
    assert!(matches!(late, Err(UploadError::NoStream(_))));
}

#[actix_web::test]
async fn a_superseded_stream_ends_and_leaves_the_new_one_alone() {
    let world = world(MailboxLimits::default());
    let mut old = world.open("receiver");
    let mut new = world.open("receiver");
    assert_eq!(poll(&mut old), Poll::Ready(None));
    drop(old);
    world
        .post(&world.uplink("receiver"), note(1))
        .await
        .unwrap();
    assert_eq!(number(message(&mut new)), Some(1));
}

#[actix_web::test]
async fn messages_wait_for_a_full_receiver_and_keep_their_order() {
    let world = world(MailboxLimits {
        count: 1,
        bytes: 1000,
    });
    let mut body = world.open("receiver");
    let _sender = world.open("sender");
    let uplink = world.uplink("sender");
    world.post(&uplink, note(1)).await.unwrap();
    let mut second = Box::pin(world.post(&uplink, note(2)));
    assert!(second.as_mut().now_or_never().is_none());
    let mut third = Box::pin(world.post(&uplink, note(3)));
    assert!(third.as_mut().now_or_never().is_none());
    assert_eq!(number(message(&mut body)), Some(1));
    // Room for one: it is the second's, however often the third is looked at.
    assert!(third.as_mut().now_or_never().is_none());
    second.await.unwrap();
    assert!(third.as_mut().now_or_never().is_none());
    assert_eq!(number(message(&mut body)), Some(2));
    third.await.unwrap();
    assert_eq!(number(message(&mut body)), Some(3));
}
