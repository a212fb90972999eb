use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::*;
use crate::artifacts::FolderBlobs;
use crate::store::testing::TempDir;
use crate::supervision::ManualClock;

struct Fixture {
    objects: Objects,
    clock: ManualClock,
    _dir: TempDir,
}

fn fixture() -> Fixture {
    let dir = TempDir::new();
    let now = std::time::SystemTime::now();
    let unix = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let clock = ManualClock::at(unix.as_secs_f64());
    let blobs = FolderBlobs::open(&dir.path().join("blobs")).unwrap();
    let objects = Objects::open(Store::temporary(), Arc::new(blobs), clock.shared()).unwrap();
    Fixture {
        objects,
        clock,
        _dir: dir,
    }
}

fn body(bytes: Vec<u8>) -> Incoming {
    stream::iter([Ok(Bytes::from(bytes))]).boxed()
}

async fn content(objects: &Objects, object: &Object) -> Vec<u8> {
    let pieces = objects.open_range(object, None).await.unwrap();
    let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
    pieces.concat()
}

fn target(path: &str) -> Target {
    Target::Workspace {
        workspace: "ws".into(),
        path: path.into(),
    }
}

fn all() -> Page {
    Page {
        offset: 0,
        limit: 1000,
    }
}

#[tokio::test]
async fn a_folder_is_listed_without_what_is_deeper() {
    let it = fixture();
    for path in ["a.txt", "b/1", "b/2", "b/c/3", "b.txt", "b0", "z/9"] {
        let object = it.objects.take_bytes(path.into(), None).await.unwrap();
        let put = it.objects.put_workspace_file("ws", path, object, None);
        put.await.unwrap();
    }
    let object = it.objects.take_bytes("x".into(), None).await.unwrap();
    let put = it.objects.put_workspace_file("ws2", "other", object, None);
    put.await.unwrap();
    let names = |entries: Vec<Entry>| -> Vec<String> {
        let name = |entry| match entry {
            Entry::File(name, _) => name,
            Entry::Folder(name) => format!("{name}/"),
        };
        entries.into_iter().map(name).collect()
    };
    let list = |dir: &'static str, page| {
        let objects = it.objects.clone();
        async move { names(objects.list_workspace("ws", dir, page).await.unwrap()) }
    };
    let top = list("", all()).await;
    assert_eq!(top, ["a.txt", "b.txt", "b/", "b0", "z/"]);
    assert_eq!(list("b", all()).await, ["1", "2", "c/"]);
    assert_eq!(list("b/", all()).await, ["1", "2", "c/"]);
    assert!(list("nowhere", all()).await.is_empty());
    let page = Page {
        offset: 1,
        limit: 2,
    };
    assert_eq!(list("", page).await, ["b.txt", "b/"]);
}

#[tokio::test]
async fn what_is_referred_to_survives_the_collection_and_the_rest_goes_when_old() {
    let it = fixture();
    let objects = &it.objects;
    let named = objects.take_bytes("named".into(), None).await.unwrap();
    let put = objects.put_workspace_file("ws", "f", named.clone(), None);
    put.await.unwrap();
    let of_artifact = objects.take_bytes("artifact".into(), None).await.unwrap();
    let mut batch = Batch::new();
    objects
        .add_put(&mut batch, "id", 0, "f", &of_artifact)
        .unwrap();
    objects.inner.store.apply(batch).unwrap();
    let begun = objects.begin_upload(target("big"), 1, 36000.0, None);
    let upload = begun.await.unwrap();
    let put = objects.put_part(&upload, 1, body(b"part".to_vec()), Expect::default());
    put.await.unwrap();
    let loose = objects.take_bytes("loose".into(), None).await.unwrap();
    assert_eq!(objects.collect_garbage().await.unwrap(), 0);
    it.clock.advance(Duration::from_secs(7200));
    assert_eq!(objects.collect_garbage().await.unwrap(), 1);
    assert!(!objects.blobs().exists(&loose.blob).await.unwrap());
    assert_eq!(content(objects, &named).await, b"named");
    assert_eq!(content(objects, &of_artifact).await, b"artifact");
    objects.end_upload(&upload).await.unwrap();
    assert_eq!(objects.collect_garbage().await.unwrap(), 1);
}

#[tokio::test]
async fn a_copied_directory_shares_its_contents() {
    let it = fixture();
    let objects = &it.objects;
    let mut batch = Batch::new();
    for path in ["a", "b/c"] {
        let object = objects.take_bytes(path.into(), None).await.unwrap();
        objects
            .add_put(&mut batch, "one", 0, path, &object)
            .unwrap();
    }
    objects.inner.store.apply(batch).unwrap();
    let pin = objects.pin().await;
    let mut batch = Batch::new();
    let copied = objects.add_copy_dir(&mut batch, &pin, ("one", 0), ("two", 3));
    assert_eq!(copied.unwrap(), 2);
    objects.inner.store.apply(batch).unwrap();
    drop(pin);
    let one = objects.all_files("one", 0).await.unwrap();
    assert_eq!(one, objects.all_files("two", 3).await.unwrap());
    let mut batch = Batch::new();
    assert_eq!(objects.add_remove_dir(&mut batch, "one", 0).unwrap(), 2);
    objects.inner.store.apply(batch).unwrap();
    assert!(objects.all_files("one", 0).await.unwrap().is_empty());
    assert_eq!(objects.all_files("two", 3).await.unwrap().len(), 2);
}

#[tokio::test]
async fn parts_that_come_at_the_same_time_are_joined_in_order() {
    let it = fixture();
    let objects = &it.objects;
    let id = objects.begin_upload(target("big"), 3, 60.0, None);
    let id = id.await.unwrap();
    let big = |byte: u8| vec![byte; 5 * 1024 * 1024];
    let put = |number: u32, bytes: Vec<u8>| {
        let (objects, id) = (objects.clone(), id.clone());
        async move {
            let etag = objects.put_part(&id, number, body(bytes), Expect::default());
            Part {
                number,
                etag: format!("\"{}\"", etag.await.unwrap()),
            }
        }
    };
    let parts = tokio::join!(put(3, vec![3; 10]), put(1, big(1)), put(2, big(2)));
    let parts = [parts.0, parts.1, parts.2];
    let object = objects.join_parts(&id, &parts).await.unwrap();
    assert_eq!(
        content(objects, &object).await,
        [big(1), big(2), vec![3; 10]].concat()
    );
    assert!(object.etag().ends_with("-3"), "{}", object.etag());

    let refused = |parts: Vec<Part>| {
        let (objects, id) = (objects.clone(), id.clone());
        async move {
            let refused = objects.join_parts(&id, &parts).await;
            assert!(matches!(refused, Err(ObjectError::Parts(_))), "{parts:?}");
        }
    };
    refused(vec![]).await;
    refused(vec![parts[0].clone(), parts[1].clone(), parts[1].clone()]).await;
    let mut wrong = parts.to_vec();
    wrong[0].etag = "0".repeat(32);
    refused(wrong).await;
    put(1, vec![1; 5]).await;
    refused(parts.to_vec()).await;
    assert!(matches!(
        objects.check_part(&id, 4).await,
        Err(ObjectError::Parts(_))
    ));
    it.clock.advance(Duration::from_secs(100));
    assert!(matches!(
        objects.upload(&id).await,
        Err(ObjectError::NoUpload)
    ));
    assert_eq!(objects.sweep_uploads().await.unwrap(), 1);
}

#[tokio::test]
async fn a_file_with_a_lifetime_goes_by_itself() {
    let it = fixture();
    let objects = &it.objects;
    for (path, ttl) in [("short", Some(10.0)), ("long", None)] {
        let object = objects.take_bytes(path.into(), None).await.unwrap();
        let put = objects.put_workspace_file("ws", path, object, ttl);
        put.await.unwrap();
    }
    assert_eq!(objects.remove_expired().await.unwrap(), 0);
    it.clock.advance(Duration::from_secs(11));
    assert_eq!(objects.remove_expired().await.unwrap(), 1);
    assert!(objects.head(&target("short")).await.unwrap().is_none());
    assert!(objects.head(&target("long")).await.unwrap().is_some());
}
