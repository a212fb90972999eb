use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::artifacts::objects::{Objects, dir_key, file_key, workspace_key};
use crate::artifacts::store::{Creation, Edit, Place, SEPARATOR, Wish, key};
use crate::artifacts::{ArtifactStore, BlobId, FolderBlobs};
use crate::identity::{Level, UserInfo};
use crate::store::testing::TempDir;
use crate::supervision::ManualClock;

const WS: &str = "ws-user-ann";

/// A store with two artifacts in a collection: `one` with a file, a version before it and a stage.
struct Fixture {
    store: Store,
    artifacts: ArtifactStore,
    dir: TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let dir = TempDir::new();
        let store = Store::temporary();
        let blobs = Arc::new(FolderBlobs::open(dir.path()).unwrap());
        let clock = ManualClock::at(1_000_000.0).shared();
        let objects = Objects::open(store.clone(), blobs, clock).unwrap();
        let artifacts = ArtifactStore::open(store.clone(), objects, Default::default()).unwrap();
        let it = Fixture {
            store,
            artifacts,
            dir,
        };
        let spaces = it.store.tree::<serde_json::Value>("workspaces").unwrap();
        spaces.put(WS, &json!({})).unwrap();
        it.create("all", None).await;
        it.create("one", Some("all")).await;
        it.create("two", Some("all")).await;
        for version in [Some("new"), None] {
            it.stage(version).await;
            it.put_file("a.txt").await;
            if version.is_some() {
                it.commit().await;
            }
        }
        let object = it.object(b"of the workspace").await;
        let objects = it.artifacts.objects();
        let put = objects.put_workspace_file(WS, "b.txt", object, Some(60.0));
        put.await.unwrap();
        it
    }

    async fn object(&self, bytes: &'static [u8]) -> Object {
        let objects = self.artifacts.objects();
        objects.take_bytes(bytes.into(), None).await.unwrap()
    }

    async fn create(&self, alias: &str, parent: Option<&str>) {
        let new = Creation {
            workspace: WS.into(),
            alias: Some(alias.into()),
            user: user(),
            parent: parent.map(str::to_owned),
            manifest: Fields::new(),
            kind: "generic".into(),
            config: Fields::new(),
            secrets: Fields::new(),
            version: None,
            comment: None,
            overwrite: false,
            stage: false,
        };
        let create = self.artifacts.change(move |inner, _| inner.create(new));
        create.await.unwrap();
    }

    async fn stage(&self, version: Option<&str>) {
        let edit = Edit {
            manifest: None,
            kind: None,
            config: None,
            secrets: None,
            version: version.map(str::to_owned),
            comment: None,
            stage: true,
        };
        let edit = self
            .artifacts
            .change(move |inner, pin| inner.edit(pin, &place(), edit));
        edit.await.unwrap();
    }

    async fn put_file(&self, path: &'static str) {
        let object = self.object(b"the content").await;
        let wish = Wish {
            path: path.into(),
            weight: 0.0,
        };
        let put = self
            .artifacts
            .change(move |inner, _| inner.put(&place(), wish, &object));
        put.await.unwrap();
    }

    async fn commit(&self) {
        let commit = self
            .artifacts
            .change(|inner, pin| inner.commit(pin, &place(), None, None));
        commit.await.unwrap();
    }

    async fn report(&self, deep: bool) -> Report {
        let blobs = Arc::new(FolderBlobs::as_it_is(self.dir.path()));
        examine(&self.store, blobs, deep).await.unwrap()
    }

    fn records(&self) -> Tree<Artifact> {
        self.store.tree("artifacts").unwrap()
    }

    fn one(&self) -> Artifact {
        self.records().get(&key(WS, "one")).unwrap().unwrap()
    }

    fn change(&self, change: impl Fn(&mut Artifact)) {
        let changed = self.records().update(&key(WS, "one"), change).unwrap();
        assert!(changed);
    }
}

fn user() -> Arc<UserInfo> {
    let mut user = UserInfo::anonymous("ann");
    user.scope.grant(WS, Level::Admin);
    Arc::new(user)
}

fn place() -> Place {
    Place {
        workspace: WS.into(),
        id: "one".into(),
        user: user(),
    }
}

/// Kinds of what was found, and of how many.
fn kinds(report: &Report) -> Vec<(&'static str, &'static str)> {
    let mut kinds: Vec<_> = report
        .findings
        .iter()
        .map(|one| (one.severity, one.kind))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn a_whole_store_has_nothing_to_report() {
    let it = Fixture::new().await;
    let report = it.report(true).await;
    assert_eq!(report.findings, []);
    let counts = report.counts;
    assert_eq!((counts.artifacts, counts.versions), (3, 4));
    assert_eq!((counts.files, counts.workspace_files), (2, 1));
    assert_eq!((counts.blobs, counts.bytes), (2, 27));
}

/// Damages a fresh store, and demands that just this is reported.
async fn finds(
    expected: &[(&'static str, &'static str)],
    deep: bool,
    damage: impl AsyncFnOnce(&Fixture),
) {
    let it = Fixture::new().await;
    damage(&it).await;
    let report = it.report(deep).await;
    assert_eq!(kinds(&report), expected, "{:#?}", report.findings);
}

#[tokio::test]
async fn damaged_contents_are_found() {
    let path = |it: &Fixture, id: BlobId| {
        let name = id.to_string();
        it.dir.path().join(&name[..2]).join(name)
    };
    let content = BlobId::of(b"the content");
    finds(&[("error", "missing-blob")], false, async |it| {
        std::fs::remove_file(path(it, content)).unwrap();
    })
    .await;
    finds(&[("error", "wrong-size")], false, async |it| {
        std::fs::write(path(it, content), b"less").unwrap();
    })
    .await;
    let other = |it: &Fixture| std::fs::write(path(it, content), b"THE CONTENT").unwrap();
    finds(&[], false, async |it| other(it)).await;
    finds(&[("error", "wrong-hash")], true, async |it| other(it)).await;
    finds(&[("note", "garbage")], false, async |it| {
        it.object(b"nobody's").await;
    })
    .await;
    finds(&[("note", "unfinished-upload")], false, async |it| {
        std::fs::write(it.dir.path().join("tmp").join("7"), b"half of it").unwrap();
    })
    .await;
}

#[tokio::test]
async fn damaged_records_are_found() {
    finds(&[("error", "no-manifest")], false, async |it| {
        let manifests = it.store.tree::<Fields>("artifact_versions").unwrap();
        let at = dir_key(&it.one().id, it.one().versions[0].dir);
        assert!(manifests.discard(&at).unwrap());
    })
    .await;
    finds(&[("error", "no-current-version")], false, async |it| {
        it.change(|one| one.current = Some(77));
    })
    .await;
    finds(&[("error", "directory-number")], false, async |it| {
        it.change(|one| one.next_dir = 2);
    })
    .await;
    finds(&[("error", "file-count")], false, async |it| {
        it.change(|one| one.file_count += 1);
    })
    .await;
    finds(&[("error", "shared-directory")], false, async |it| {
        it.change(|one| {
            let mut again = one.versions[0].clone();
            again.version = "again".into();
            one.versions.insert(0, again);
        });
    })
    .await;
    finds(&[("error", "parent-cycle")], false, async |it| {
        let (one, records) = (it.one(), it.records());
        let entry = |parent: &str, id: &str| format!("{parent}{SEPARATOR}{id}");
        let all = one.parent_id.clone().unwrap();
        let children = it.store.tree::<String>("artifact_children").unwrap();
        let at = key(WS, "all");
        children.put(&entry(&one.id, &all), &at).unwrap();
        let inside = |all: &mut Artifact| all.parent_id = Some(one.id.clone());
        records.update(&at, inside).unwrap();
    })
    .await;
    finds(&[("error", "unreadable")], false, async |it| {
        let odd = it.store.tree::<serde_json::Value>("artifacts").unwrap();
        odd.put(&key(WS, "odd"), &json!({ "id": 7 })).unwrap();
    })
    .await;
    finds(
        &[("note", "no-workspace"), ("note", "switch-without-app")],
        false,
        async |it| {
            let spaces = it.store.tree::<serde_json::Value>("workspaces").unwrap();
            spaces.discard(WS).unwrap();
            let switches = it.store.tree::<serde_json::Value>("apps_ops").unwrap();
            switches.put(&key(WS, "gone"), &json!({})).unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn a_damaged_index_is_found() {
    for name in ["artifact_ids", "artifact_children"] {
        let kind = match name {
            "artifact_ids" => "index-uuid",
            _ => "index-collection",
        };
        finds(&[("error", kind)], false, async |it| {
            let index = it.store.tree::<String>(name).unwrap();
            let first = index.keys("").unwrap().remove(0);
            index.discard(&first).unwrap();
        })
        .await;
        finds(&[("error", kind)], false, async |it| {
            let index = it.store.tree::<String>(name).unwrap();
            let entry = format!("{}{SEPARATOR}nothing", it.one().id);
            index.put(&entry, &key(WS, "nowhere")).unwrap();
        })
        .await;
    }
    finds(
        &[
            ("error", "index-collection"),
            ("error", "index-uuid"),
            ("error", "no-parent"),
        ],
        false,
        async |it| {
            it.records().discard(&key(WS, "all")).unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn entries_that_no_record_knows_are_found() {
    let object = async |it: &Fixture| it.object(b"the content").await;
    finds(&[("error", "unknown-directory")], false, async |it| {
        let files = it.store.tree::<Object>("files").unwrap();
        let at = file_key(&it.one().id, 99, "a.txt");
        files.put(&at, &object(it).await).unwrap();
    })
    .await;
    finds(&[("error", "unknown-version")], false, async |it| {
        let manifests = it.store.tree::<Fields>("artifact_versions").unwrap();
        let at = dir_key(&it.one().id, 99);
        manifests.put(&at, &Fields::new()).unwrap();
    })
    .await;
    finds(&[("error", "doomed-directory")], false, async |it| {
        let leftovers = it.store.tree::<f64>("file_leftovers").unwrap();
        let at = file_key(&it.one().id, it.one().versions[0].dir, "");
        leftovers.put(&at, &1e9).unwrap();
    })
    .await;
    finds(&[("error", "expiry-without-file")], false, async |it| {
        let files = it.store.tree::<Object>("objects").unwrap();
        files.discard(&workspace_key(WS, "b.txt")).unwrap();
        // The content that it had is garbage now, so another file keeps it.
        let object = it.object(b"of the workspace").await;
        files.put(&workspace_key(WS, "c.txt"), &object).unwrap();
    })
    .await;
    // Files that wait to be removed are no findings.
    finds(&[], false, async |it| {
        let files = it.store.tree::<Object>("files").unwrap();
        let leftovers = it.store.tree::<f64>("file_leftovers").unwrap();
        let gone = "0192f0c1-0000-7000-8000-000000000000";
        let at = file_key(gone, 0, "a.txt");
        files.put(&at, &object(it).await).unwrap();
        leftovers.put(&file_key(gone, 0, ""), &1e9).unwrap();
    })
    .await;
}
