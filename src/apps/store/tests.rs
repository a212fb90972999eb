use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::apps::files::AppFile;
use crate::artifacts::FolderBlobs;
use crate::store::testing::TempDir;
use crate::supervision::ManualClock;

struct Fixture {
    apps: AppStore,
    _dir: TempDir,
}

fn open(dir: &TempDir) -> AppStore {
    let store = Store::open(&dir.path().join("store")).unwrap();
    let blobs = FolderBlobs::open(&dir.path().join("blobs")).unwrap();
    let clock = ManualClock::at(1_000_000.0).shared();
    let objects = Objects::open(store.clone(), Arc::new(blobs), clock.clone()).unwrap();
    AppStore::open(store, objects, clock, Default::default()).unwrap()
}

fn fixture() -> Fixture {
    let dir = TempDir::new();
    Fixture {
        apps: open(&dir),
        _dir: dir,
    }
}

fn fields(name: &str) -> Fields {
    json!({ "name": name, "type": "test" })
        .as_object()
        .unwrap()
        .clone()
}

fn request(app: &str, content: &str, overwrite: bool) -> StageRequest {
    StageRequest {
        workspace: "ws".into(),
        app: app.into(),
        manifest: fields(content),
        files: NewFiles::Contents(vec![AppFile {
            path: "main.js".into(),
            content: Bytes::copy_from_slice(content.as_bytes()),
        }]),
        created_by: "ann".into(),
        overwrite,
        slot: Slot::Pending,
        collection: COLLECTION.into(),
    }
}

fn staged(app: &str, content: &str) -> StageRequest {
    StageRequest {
        slot: Slot::Stage,
        ..request(app, content, true)
    }
}

async fn install(apps: &AppStore, app: &str, content: &str) {
    apps.fill(request(app, content, true)).await.unwrap();
    apps.commit("ws", app, Slot::Pending, fields(content), None)
        .await
        .unwrap();
}

async fn content(apps: &AppStore, app: &str, label: &str) -> Result<Bytes, AppStoreError> {
    apps.file("ws", app, label, "main.js").await
}

#[tokio::test]
async fn a_stage_is_visible_to_nobody_until_it_is_committed() {
    let it = fixture();
    it.apps.fill(request("calc", "one", false)).await.unwrap();
    assert!(it.apps.list("ws").await.unwrap().is_empty());
    assert_eq!(content(&it.apps, "calc", "pending").await.unwrap(), "one");
    it.apps
        .commit("ws", "calc", Slot::Pending, fields("one"), None)
        .await
        .unwrap();
    assert_eq!(it.apps.list("ws").await.unwrap()[0].alias, "calc");
    assert_eq!(content(&it.apps, "calc", "v0").await.unwrap(), "one");
    assert!(it.apps.list("w").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failed_overwrite_leaves_the_old_version() {
    let it = fixture();
    install(&it.apps, "calc", "one").await;
    let taken = it.apps.fill(request("calc", "two", false)).await;
    assert!(matches!(taken, Err(AppStoreError::Exists(_))));
    it.apps.fill(request("calc", "two", true)).await.unwrap();
    it.apps.discard("ws", "calc", Slot::Pending).await.unwrap();
    assert_eq!(content(&it.apps, "calc", "v0").await.unwrap(), "one");
    let current = it
        .apps
        .version("ws", "calc", &VersionSelector::Current)
        .await
        .unwrap();
    assert_eq!(
        (current.label.as_str(), current.manifest.name()),
        ("v0", Some("one"))
    );
}

#[tokio::test]
async fn versions_follow_each_other_and_stay_readable() {
    let it = fixture();
    install(&it.apps, "calc", "one").await;
    install(&it.apps, "calc", "two").await;
    assert_eq!(content(&it.apps, "calc", "v0").await.unwrap(), "one");
    assert_eq!(content(&it.apps, "calc", "v1").await.unwrap(), "two");
    let record = it
        .apps
        .record("ws", "calc", &VersionSelector::Current)
        .await
        .unwrap();
    assert_eq!(record["id"], "ws/calc");
    assert_eq!(record["versions"].as_array().unwrap().len(), 2);
    let missing = it
        .apps
        .version("ws", "calc", &VersionSelector::Label("v9".into()))
        .await;
    assert!(matches!(missing, Err(AppStoreError::NoVersion { .. })));
}

#[tokio::test]
async fn a_label_used_again_replaces_its_version() {
    let it = fixture();
    for content in ["one", "two"] {
        it.apps.fill(request("calc", content, true)).await.unwrap();
        it.apps
            .commit(
                "ws",
                "calc",
                Slot::Pending,
                fields(content),
                Some("1.0".into()),
            )
            .await
            .unwrap();
    }
    assert_eq!(content(&it.apps, "calc", "1.0").await.unwrap(), "two");
    let record = it
        .apps
        .record("ws", "calc", &VersionSelector::Current)
        .await
        .unwrap();
    assert_eq!(record["versions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn uninstalling_drops_the_stage_first() {
    let it = fixture();
    install(&it.apps, "calc", "one").await;
    it.apps.fill(staged("calc", "two")).await.unwrap();
    assert!(!it.apps.uninstall("ws", "calc").await.unwrap());
    assert!(it.apps.exists("ws", "calc").await.unwrap());
    assert!(it.apps.uninstall("ws", "calc").await.unwrap());
    assert!(matches!(
        it.apps.uninstall("ws", "calc").await,
        Err(AppStoreError::NotFound(_))
    ));
    assert!(content(&it.apps, "calc", "v0").await.is_err());
}

#[tokio::test]
async fn unfinished_installs_are_forgotten_when_the_store_opens() {
    let dir = TempDir::new();
    {
        let apps = open(&dir);
        install(&apps, "old", "one").await;
        apps.fill(request("old", "two", true)).await.unwrap();
        apps.fill(request("new", "one", false)).await.unwrap();
    }
    let apps = open(&dir);
    assert_eq!(
        apps.installed().await.unwrap(),
        [("ws".to_owned(), "old".to_owned())]
    );
    let pending = apps.version("ws", "old", &VersionSelector::Pending).await;
    assert!(matches!(pending, Err(AppStoreError::NotStaged)));
    assert_eq!(content(&apps, "old", "v0").await.unwrap(), "one");
    apps.fill(request("new", "again", false)).await.unwrap();
}

#[tokio::test]
async fn installs_and_edits_do_not_meet() {
    let it = fixture();
    install(&it.apps, "calc", "one").await;
    let edit = ManifestEdit {
        fields: Some(fields("edited")),
        ..ManifestEdit::default()
    };
    it.apps.edit_manifest("ws", "calc", edit).await.unwrap();
    let path = "more.txt".to_owned();
    let put = it.apps.put_file("ws", "calc", path.clone(), "more".into());
    put.await.unwrap();
    it.apps.fill(request("calc", "two", true)).await.unwrap();
    it.apps.discard("ws", "calc", Slot::Pending).await.unwrap();
    install(&it.apps, "calc", "three").await;
    assert_eq!(content(&it.apps, "calc", "stage").await.unwrap(), "one");
    let more = it.apps.file("ws", "calc", "stage", &path).await.unwrap();
    assert_eq!(more, "more");
    let labels: Vec<_> = it.apps.versions("ws", "calc").await.unwrap();
    let labels: Vec<_> = labels
        .iter()
        .map(|version| version.label.as_str())
        .collect();
    assert_eq!(labels, ["v0", "v1"], "what failed took no label");
}

#[tokio::test]
async fn a_version_that_fails_gives_way_to_the_one_before() {
    let it = fixture();
    for text in ["one", "two", "three"] {
        install(&it.apps, "calc", text).await;
    }
    let retire = |label: &'static str| it.apps.retire("ws", "calc", label, "crashed");
    assert_eq!(retire("v1").await.unwrap(), None, "it is not current");
    assert_eq!(retire("v2").await.unwrap().as_deref(), Some("v1"));
    assert_eq!(retire("v1").await.unwrap().as_deref(), Some("v0"));
    assert_eq!(retire("v0").await.unwrap(), None, "there is none before");
    let current = it.apps.version("ws", "calc", &VersionSelector::Current);
    assert_eq!(current.await.unwrap().manifest.name(), Some("one"));
    // The next install is current, and going back from it passes the failed ones.
    install(&it.apps, "calc", "four").await;
    let back = it.apps.roll_back("ws", "calc", None).await.unwrap();
    assert_eq!(back, "v0");
    assert!(!it.apps.is_proven("ws", "calc", "v0").await.unwrap());
    it.apps.prove("ws", "calc", "v0").await.unwrap();
    assert!(it.apps.is_proven("ws", "calc", "v0").await.unwrap());
}

#[tokio::test]
async fn switches_are_there_after_reopening() {
    let dir = TempDir::new();
    {
        let apps = open(&dir);
        install(&apps, "calc", "one").await;
        apps.set_disabled("ws", "calc", true).await.unwrap();
        assert!(apps.set_disabled("ws", "other", true).await.is_err());
    }
    let apps = open(&dir);
    assert!(apps.is_disabled("ws", "calc") && !apps.is_disabled("ws", "other"));
    apps.uninstall("ws", "calc").await.unwrap();
    assert!(!apps.is_disabled("ws", "calc"));
}

#[tokio::test]
async fn apps_belong_to_a_collection_that_is_no_app() {
    let it = fixture();
    install(&it.apps, "calc", "one").await;
    let record = it.apps.record("ws", "calc", &VersionSelector::Current);
    assert_eq!(record.await.unwrap()["parent_id"], "ws/applications");
    assert_eq!(it.apps.installed().await.unwrap().len(), 1);
    let taken = it.apps.fill(request(COLLECTION, "x", true)).await;
    assert!(matches!(taken, Err(AppStoreError::Exists(_))));
    let nowhere = it.apps.fill(StageRequest {
        collection: "shelf".into(),
        ..request("other", "x", false)
    });
    assert!(matches!(nowhere.await, Err(AppStoreError::NoCollection(_))));
}
