//! What every engine must do, asked of each of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::store::testing::TempDir;

const BUCKET: &str = "test-bucket";

/// An S3 server that ends with the test.
struct Server {
    dir: TempDir,
    address: SocketAddr,
    running: Option<JoinHandle<()>>,
}

impl Server {
    async fn start() -> Server {
        let mut server = Server {
            dir: TempDir::new(),
            address: ([127, 0, 0, 1], 0).into(),
            running: None,
        };
        server.resume().await;
        server
    }

    async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let root = self.dir.path().to_owned();
        self.running = Some(tokio::spawn(async move {
            s3server::serve(listener, &root).await.unwrap();
        }));
    }

    async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        let _ = running.await;
    }

    fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: format!("http://{}", self.address),
            public_endpoint: String::new(),
            region: "us-east-1".into(),
            access_key: s3server::ACCESS_KEY.into(),
            secret_key: s3server::SECRET_KEY.into(),
            bucket: BUCKET.into(),
            prefix: "some/where/".into(),
        }
    }
}

/// An engine and what it lives in.
struct Engine {
    blobs: Arc<dyn BlobStore>,
    unfinished: PathBuf,
    server: Option<Server>,
    _dir: TempDir,
}

impl Engine {
    fn folder() -> Engine {
        let dir = TempDir::new();
        Engine {
            blobs: Arc::new(FolderBlobs::open(dir.path()).unwrap()),
            unfinished: dir.path().join("tmp"),
            server: None,
            _dir: dir,
        }
    }

    async fn s3() -> Engine {
        let (dir, server) = (TempDir::new(), Server::start().await);
        let unfinished = dir.path().join("uploads");
        Engine {
            blobs: Arc::new(S3Blobs::open(&server.settings(), &unfinished).unwrap()),
            unfinished,
            server: Some(server),
            _dir: dir,
        }
    }

    fn unfinished(&self) -> usize {
        std::fs::read_dir(&self.unfinished).unwrap().count()
    }
}

fn body(pieces: Vec<io::Result<Bytes>>) -> Incoming {
    stream::iter(pieces).boxed()
}

fn some_bytes(length: usize) -> Bytes {
    (0..length)
        .map(|at| (at * 7 + at / 251) as u8)
        .collect::<Vec<_>>()
        .into()
}

async fn read(blobs: &Arc<dyn BlobStore>, id: &BlobId, range: Option<Range<u64>>) -> Vec<u8> {
    let pieces = blobs.read(id, range).await.unwrap();
    pieces.try_collect::<Vec<_>>().await.unwrap().concat()
}

/// Runs a test with each engine.
macro_rules! with_each_engine {
    ($($test:ident)*) => {
        mod folder {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Engine::folder()).await;
            })*
        }
        mod s3 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Engine::s3().await).await;
            })*
        }
    };
}

with_each_engine! {
    bytes_come_back_whole_and_in_part
    a_body_of_a_wrong_length_or_broken_off_leaves_nothing
    a_dropped_upload_leaves_nothing
    missing_blobs_are_told_apart
    an_empty_blob_is_a_blob
    only_what_is_old_is_removed_for_its_age
    the_same_bytes_put_at_the_same_time_are_one_blob
}

async fn bytes_come_back_whole_and_in_part(engine: Engine) {
    let blobs = &engine.blobs;
    // More than one part, slice and write.
    let bytes = some_bytes(20 * 1024 * 1024 + 17);
    let pieces = bytes
        .chunks(100_000)
        .map(|piece| Ok(bytes.slice_ref(piece)));
    let put = blobs
        .put_stream(body(pieces.collect()), Expect::default())
        .await
        .unwrap();
    assert_eq!(put.size, bytes.len() as u64);
    assert_eq!(put.id, BlobId::of(&bytes));
    assert_eq!(put.md5, hex(&<md5::Md5 as md5::Digest>::digest(&bytes)));
    assert!(read(blobs, &put.id, None).await == bytes);
    let end = bytes.len() as u64;
    for range in [
        0..1,
        0..end,
        5_000_000..12_000_000,
        end - 1..end,
        4_194_304..8_388_608,
        7..7,
    ] {
        let (from, to) = (range.start as usize, range.end as usize);
        let got = read(blobs, &put.id, Some(range.clone())).await;
        assert!(got == bytes[from..to], "{range:?}");
    }
    assert_eq!(blobs.ids().await.unwrap(), [put.id]);
    assert_eq!(blobs.stat(&put.id).await.unwrap().unwrap().size, put.size);
    assert_eq!(engine.unfinished(), 0);
}

async fn a_body_of_a_wrong_length_or_broken_off_leaves_nothing(engine: Engine) {
    let blobs = &engine.blobs;
    let piece = || Ok(some_bytes(1_000_000));
    let exactly = |length| Expect {
        exactly: Some(length),
        at_most: None,
    };
    for wrong in [999_999, 2_999_999, 3_000_001] {
        let put = blobs.put_stream(body(vec![piece(), piece(), piece()]), exactly(wrong));
        let error = put.await.unwrap_err();
        let differs = matches!(
            error,
            BlobError::Length(LengthError::Differs { announced, .. }) if announced == wrong
        );
        assert!(differs, "{error}");
    }
    let limit = Expect {
        exactly: None,
        at_most: Some(1_500_000),
    };
    let put = blobs.put_stream(body(vec![piece(), piece()]), limit);
    assert!(matches!(
        put.await,
        Err(BlobError::Length(LengthError::TooLong(1_500_000)))
    ));
    let broken = vec![piece(), piece(), Err(io::ErrorKind::ConnectionReset.into())];
    let put = blobs.put_stream(body(broken), Expect::default()).await;
    assert!(matches!(put, Err(BlobError::Broken(_))));
    assert_eq!(engine.unfinished(), 0);
    assert!(blobs.ids().await.unwrap().is_empty());
}

async fn a_dropped_upload_leaves_nothing(engine: Engine) {
    let blobs = engine.blobs.clone();
    let endless = stream::iter([Ok(some_bytes(2_000_000))])
        .chain(stream::pending())
        .boxed();
    let upload = tokio::spawn(async move { blobs.put_stream(endless, Expect::default()).await });
    eventually(|| engine.unfinished() == 1).await;
    upload.abort();
    assert!(upload.await.unwrap_err().is_cancelled());
    eventually(|| engine.unfinished() == 0).await;
    assert!(engine.blobs.ids().await.unwrap().is_empty());
}

async fn missing_blobs_are_told_apart(engine: Engine) {
    let (blobs, id) = (&engine.blobs, BlobId::of(b"nowhere"));
    for range in [None, Some(0..1)] {
        let missing = blobs.read(&id, range).await.err().unwrap();
        assert!(matches!(missing, BlobError::Missing(missing) if missing == id));
    }
    assert!(matches!(blobs.get(&id).await, Err(BlobError::Missing(_))));
    assert_eq!(blobs.stat(&id).await.unwrap(), None);
    assert!(!blobs.exists(&id).await.unwrap());
    assert!(!blobs.remove(&id).await.unwrap());
    let put = blobs.put(Bytes::from_static(b"nowhere")).await.unwrap();
    assert_eq!(put, id);
    assert_eq!(blobs.get(&id).await.unwrap(), "nowhere");
    assert!(blobs.remove(&id).await.unwrap());
    assert!(!blobs.exists(&id).await.unwrap());
    blobs.put(Bytes::from_static(b"nowhere")).await.unwrap();
    assert!(blobs.exists(&id).await.unwrap());
}

async fn an_empty_blob_is_a_blob(engine: Engine) {
    let put = engine
        .blobs
        .put_stream(body(vec![]), Expect::default())
        .await
        .unwrap();
    assert_eq!((put.size, put.id), (0, BlobId::of(b"")));
    assert!(engine.blobs.get(&put.id).await.unwrap().is_empty());
}

async fn only_what_is_old_is_removed_for_its_age(engine: Engine) {
    let blobs = &engine.blobs;
    let id = blobs.put(Bytes::from_static(b"x")).await.unwrap();
    let hour = Duration::from_secs(3600);
    let before = SystemTime::now() - hour;
    assert!(!blobs.remove_older(&id, before).await.unwrap());
    assert!(blobs.exists(&id).await.unwrap());
    let after = SystemTime::now() + hour;
    assert!(blobs.remove_older(&id, after).await.unwrap());
    assert!(!blobs.exists(&id).await.unwrap());
    assert!(!blobs.remove_older(&id, after).await.unwrap());
}

async fn the_same_bytes_put_at_the_same_time_are_one_blob(engine: Engine) {
    let puts = (0..20).map(|number: usize| {
        let blobs = engine.blobs.clone();
        tokio::spawn(async move { blobs.put(some_bytes(1000 + number % 4)).await })
    });
    for put in futures::future::join_all(puts).await {
        put.unwrap().unwrap();
    }
    assert_eq!(engine.blobs.ids().await.unwrap().len(), 4);
    assert_eq!(engine.unfinished(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_s3_server_that_is_away_is_told_clearly_and_used_again_when_it_is_back() {
    let mut engine = Engine::s3().await;
    let blobs = engine.blobs.clone();
    let small = blobs.put(some_bytes(1000)).await.unwrap();
    let server = engine.server.as_mut().unwrap();
    server.stop().await;
    let big = some_bytes(9 * 1024 * 1024);
    let unavailable = |error: BlobError| {
        assert!(
            matches!(error, BlobError::Unavailable { .. }),
            "{error} is not clear"
        );
    };
    unavailable(blobs.put(some_bytes(2000)).await.unwrap_err());
    unavailable(blobs.put(big.clone()).await.unwrap_err());
    unavailable(blobs.read(&small, Some(0..10)).await.err().unwrap());
    unavailable(blobs.ids().await.unwrap_err());
    assert_eq!(engine.unfinished(), 0);
    engine.server.as_mut().unwrap().resume().await;
    assert_eq!(blobs.get(&small).await.unwrap(), some_bytes(1000));
    let id = blobs.put(big.clone()).await.unwrap();
    assert!(blobs.get(&id).await.unwrap() == big);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_are_refused_by_the_server_and_told() {
    let server = Server::start().await;
    let dir = TempDir::new();
    let settings = S3Settings {
        secret_key: "not-the-secret".into(),
        ..server.settings()
    };
    let blobs = S3Blobs::open(&settings, &dir.path().join("uploads")).unwrap();
    let error = blobs.put(some_bytes(10)).await.unwrap_err();
    assert!(matches!(error, BlobError::Unavailable { .. }), "{error}");
    assert!(!error.to_string().contains("not-the-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presigned_address_works_for_whoever_has_it_and_cannot_be_changed() {
    let engine = Engine::s3().await;
    let id = engine.blobs.put(some_bytes(1000)).await.unwrap();
    let presentation = Presentation {
        content_type: Some("text/csv".into()),
        file_name: Some("ä b.csv".into()),
    };
    let url = engine
        .blobs
        .presigned_get(&id, Duration::from_secs(60), &presentation);
    let url = url.await.unwrap().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/csv");
    assert_eq!(answer.bytes().await.unwrap(), some_bytes(1000));
    let forged = url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000");
    assert_ne!(forged, url);
    let refused = client.get(&forged).send().await.unwrap();
    assert!(refused.status().is_client_error(), "{}", refused.status());
    let folder = Engine::folder();
    let none = folder
        .blobs
        .presigned_get(&id, Duration::from_secs(60), &presentation);
    assert_eq!(none.await.unwrap(), None);
}

async fn eventually(condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "it did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
