use serde::{Deserialize, Serialize};

use super::testing::TempDir;
use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fruit {
    name: String,
    count: u32,
}

fn fruit(name: &str, count: u32) -> Fruit {
    Fruit {
        name: name.to_owned(),
        count,
    }
}

#[test]
fn values_come_back_as_they_went_in() {
    let store = Store::temporary();
    let tree = store.tree::<Fruit>("fruit").unwrap();
    assert_eq!(tree.get("a").unwrap(), None);
    tree.put("a", &fruit("apple", 3)).unwrap();
    assert!(tree.contains("a").unwrap());
    assert_eq!(tree.get("a").unwrap(), Some(fruit("apple", 3)));
    tree.put("a", &fruit("apple", 4)).unwrap();
    assert_eq!(tree.len(), 1);
    assert_eq!(tree.remove("a").unwrap(), Some(fruit("apple", 4)));
    assert_eq!(tree.remove("a").unwrap(), None);
    assert!(!tree.discard("a").unwrap());
    assert!(tree.is_empty());
}

#[test]
fn a_prefix_scan_is_ordered_and_stays_inside_the_prefix() {
    let store = Store::temporary();
    let tree = store.tree::<u32>("numbers").unwrap();
    for (key, value) in [("b/2", 2), ("a/9", 9), ("b/10", 10), ("b", 0), ("c/1", 1)] {
        tree.put(key, &value).unwrap();
    }
    let found = tree.scan_prefix("b/").unwrap();
    assert_eq!(found, [("b/10".to_owned(), 10), ("b/2".to_owned(), 2)]);
    assert_eq!(tree.keys("b").unwrap(), ["b", "b/10", "b/2"]);
    assert_eq!(tree.iter().count(), 5);
    assert_eq!(tree.scan_prefix("x").unwrap(), []);
    let first = tree.iter_prefix("b/").next().unwrap().unwrap();
    assert_eq!(first.0, "b/10");
}

#[test]
fn trees_do_not_see_each_other() {
    let store = Store::temporary();
    let one = store.tree::<u32>("one").unwrap();
    let two = store.tree::<u32>("two").unwrap();
    one.put("k", &1).unwrap();
    assert_eq!(two.get("k").unwrap(), None);
}

#[test]
fn everything_is_there_after_reopening() {
    let dir = TempDir::new();
    for round in 0..20u32 {
        let store = Store::open(dir.path()).unwrap();
        let tree = store.tree::<u32>("rounds").unwrap();
        assert_eq!(tree.len() as u32, round);
        tree.put(&round.to_string(), &round).unwrap();
    }
}

#[test]
fn a_second_opening_is_refused_and_names_the_directory() {
    let dir = TempDir::new();
    let store = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }));
    let expected = format!(
        "the data directory {} is in use by another process",
        dir.path().display()
    );
    assert_eq!(error.to_string(), expected);
    // A tree alone keeps the store open.
    let tree = store.tree::<u32>("t").unwrap();
    drop(store);
    assert!(Store::open(dir.path()).is_err());
    drop(tree);
    Store::open(dir.path()).unwrap();
}

#[test]
fn a_path_that_is_a_file_is_a_clear_error() {
    let dir = TempDir::new();
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    let text = Store::open(&file).unwrap_err().to_string();
    assert!(text.starts_with("cannot open the data directory"), "{text}");
    assert!(text.contains(&file.display().to_string()), "{text}");
}

#[test]
fn a_corrupt_value_is_an_error_that_names_its_place() {
    let store = Store::temporary();
    let tree = store.tree::<Fruit>("fruit").unwrap();
    tree.put("a", &fruit("apple", 1)).unwrap();
    tree.engine().insert("b", b"{\"name\":".to_vec()).unwrap();
    let text = tree.get("b").unwrap_err().to_string();
    assert!(
        text.starts_with("corrupt entry in tree 'fruit' under key 'b': "),
        "{text}"
    );
    assert!(tree.scan_prefix("").is_err());
    // The entries around it can still be read one by one.
    let readable = tree.iter().filter_map(Result::ok).count();
    assert_eq!(readable, 1);
    assert!(tree.discard("b").unwrap());
    assert_eq!(tree.scan_prefix("").unwrap().len(), 1);
}

#[test]
fn a_key_that_is_not_text_is_an_error() {
    let store = Store::temporary();
    let tree = store.tree::<u32>("numbers").unwrap();
    tree.engine().insert(b"\xff\xfe", b"1".to_vec()).unwrap();
    let error = tree.keys("").unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn a_value_that_json_cannot_hold_is_an_encode_error() {
    let store = Store::temporary();
    let tree = store
        .tree::<std::collections::BTreeMap<(u8, u8), u8>>("odd")
        .unwrap();
    let error = tree.put("k", &[((1, 2), 3)].into()).unwrap_err();
    assert!(matches!(error, StoreError::Encode { .. }), "{error}");
    let mut batch = Batch::new();
    assert!(batch.put(&tree, "k", &[((1, 2), 3)].into()).is_err());
    assert!(batch.is_empty());
}

#[test]
fn a_batch_changes_several_trees() {
    let store = Store::temporary();
    let fruits = store.tree::<Fruit>("fruit").unwrap();
    let counts = store.tree::<u32>("counts").unwrap();
    fruits.put("old", &fruit("old", 0)).unwrap();
    let mut batch = Batch::new();
    batch.put(&fruits, "a", &fruit("apple", 1)).unwrap();
    batch.put(&counts, "a", &1).unwrap();
    batch.put(&counts, "a", &2).unwrap();
    batch.remove(&fruits, "old").remove(&counts, "missing");
    store.apply(batch).unwrap();
    assert_eq!(fruits.keys("").unwrap(), ["a"]);
    assert_eq!(counts.get("a").unwrap(), Some(2));
    store.apply(Batch::new()).unwrap();
}

#[test]
fn heads_of_keys_are_found_once_each() {
    let store = Store::temporary();
    let tree = store.tree::<u32>("numbers").unwrap();
    for key in ["a", "a/1", "a/2/3", "a-b/1", "a0/1", "b", "c/"] {
        tree.put(key, &1).unwrap();
    }
    assert_eq!(tree.heads('/').unwrap(), ["a-b", "a", "a0", "c"]);
}

#[test]
fn concurrent_batches_never_mix() {
    let store = Store::temporary();
    let left = store.tree::<u32>("left").unwrap();
    let right = store.tree::<u32>("right").unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4u32 {
            let (store, left, right) = (&store, &left, &right);
            scope.spawn(move || {
                for round in 0..50 {
                    let value = writer * 1000 + round;
                    let mut batch = Batch::new();
                    for key in ["x", "y"] {
                        batch.put(left, key, &value).unwrap();
                        batch.put(right, key, &value).unwrap();
                    }
                    store.apply(batch).unwrap();
                }
            });
        }
    });
    let value = left.get("x").unwrap();
    assert_eq!(left.get("y").unwrap(), value);
    assert_eq!(right.get("x").unwrap(), value);
    assert_eq!(right.get("y").unwrap(), value);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn durable_serves_many_tasks_at_once() {
    let dir = TempDir::new();
    let store = Store::open(dir.path()).unwrap();
    let tree = store.tree::<u32>("numbers").unwrap();
    let tasks = (0..64u32).map(|n| {
        let (store, tree) = (store.clone(), tree.clone());
        tokio::spawn(async move {
            tree.put(&n.to_string(), &n)?;
            store.durable().await
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap().unwrap();
    }
    assert_eq!(tree.len(), 64);
}

#[tokio::test]
async fn what_is_durable_survives_without_an_orderly_close() {
    let dir = TempDir::new();
    let copy = TempDir::new();
    let store = Store::open(dir.path()).unwrap();
    let left = store.tree::<u32>("left").unwrap();
    let right = store.tree::<u32>("right").unwrap();
    let mut batch = Batch::new();
    batch.put(&left, "k", &1).unwrap();
    batch.put(&right, "k", &2).unwrap();
    store.apply(batch).unwrap();
    store.durable().await.unwrap();
    // The files as they are now, with the store still open, are what a killed process leaves.
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let revived = Store::open(copy.path()).unwrap();
    let left = revived.tree::<u32>("left").unwrap();
    let right = revived.tree::<u32>("right").unwrap();
    assert_eq!(left.get("k").unwrap(), Some(1));
    assert_eq!(right.get("k").unwrap(), Some(2));
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let dir = TempDir::new();
    let step = || Migration {
        name: "step",
        run: |_| Ok(()),
    };
    drop(Store::open_with(dir.path(), &[step(), step(), step()]).unwrap());
    let error = Store::open_with(dir.path(), &[step(), step()]).unwrap_err();
    assert!(matches!(
        error,
        StoreError::Newer {
            found: 3,
            supported: 2,
            ..
        }
    ));
    let text = error.to_string();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    assert!(text.contains("schema version 3"), "{text}");
}

#[test]
fn each_migration_runs_once_and_in_order() {
    let dir = TempDir::new();
    let first = Migration {
        name: "first",
        run: |engine| mark(engine, "1"),
    };
    drop(Store::open_with(dir.path(), &[first]).unwrap());
    let steps = [
        Migration {
            name: "first",
            run: |engine| mark(engine, "1"),
        },
        Migration {
            name: "second",
            run: |engine| mark(engine, "2"),
        },
    ];
    for _ in 0..2 {
        let store = Store::open_with(dir.path(), &steps).unwrap();
        let trail = store.inner.engine.get("trail").unwrap().unwrap();
        assert_eq!(&trail[..], b"12");
        let meta = store.tree::<serde_json::Value>("meta").unwrap();
        assert_eq!(meta.get("schema").unwrap(), Some(2.into()));
        let applied = meta.get("migrations").unwrap().unwrap();
        assert_eq!(applied[1]["name"], "second");
    }
}

/// Appends to a value that remembers which steps ran.
fn mark(engine: &sled::Db, text: &str) -> Result<(), StoreError> {
    let trail = engine.get("trail")?.unwrap_or_default();
    engine.insert("trail", [&trail[..], text.as_bytes()].concat())?;
    Ok(())
}

#[test]
fn a_failed_migration_leaves_the_old_version() {
    let dir = TempDir::new();
    let broken = Migration {
        name: "broken",
        run: |_| Err(StoreError::Engine("no".into())),
    };
    assert!(Store::open_with(dir.path(), &[broken]).is_err());
    drop(Store::open_with(dir.path(), &[]).unwrap());
}
