//! From apps that name their collection by alias, with one slot for edits and installs alike, to
//! apps with a collection of their own, a slot for each, and a pointer to the current version.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::store::StoreError;

const TREE: &str = "artifacts";
const COLLECTION: &str = "applications";
const SEPARATOR: char = '\u{1}';

pub(super) fn migrate(engine: &sled::Db) -> Result<(), StoreError> {
    let tree = engine.open_tree(TREE)?;
    let mut batch = sled::Batch::default();
    let mut collections: BTreeMap<String, Json> = BTreeMap::new();
    let records = read(&tree)?;
    for (_, record) in &records {
        if record["type"] == "collection" && record["alias"] == COLLECTION {
            let workspace = text(record, "workspace");
            collections.insert(workspace, record.clone());
        }
    }
    for (key, mut record) in records {
        if record["type"] != "application" {
            continue;
        }
        let collection = collections
            .entry(text(&record, "workspace"))
            .or_insert_with(|| collection_for(&record));
        renew(&mut record, &collection["id"]);
        batch.insert(key, bytes(&record)?);
    }
    for (workspace, collection) in &collections {
        let key = format!("{workspace}{SEPARATOR}{COLLECTION}");
        // An app of this very name keeps its place; the others then have no collection record.
        let held = tree
            .get(&key)?
            .map(|found| value(&key, &found))
            .transpose()?;
        if held.is_none_or(|held| held["type"] == "collection") {
            batch.insert(key.as_bytes(), bytes(collection)?);
        }
    }
    tree.apply_batch(batch)?;
    Ok(())
}

fn renew(record: &mut Json, collection: &Json) {
    let Some(fields) = record.as_object_mut() else {
        return;
    };
    if fields.remove("parent").is_some() || !fields.contains_key("parent_id") {
        fields.insert("parent_id".into(), collection.clone());
    }
    let trial = fields
        .get_mut("staging")
        .and_then(Json::as_object_mut)
        .and_then(|staging| staging.remove("trial"));
    if trial == Some(true.into()) {
        let pending = fields.remove("staging").unwrap_or_default();
        fields.insert("pending".into(), pending);
    }
    let versions = fields.get("versions").and_then(Json::as_array);
    let versions = versions.cloned().unwrap_or_default();
    if !fields.contains_key("commits") {
        fields.insert("commits".into(), commits(&versions).into());
    }
    if !fields.contains_key("current") {
        let current = versions.last().map(|version| version["dir"].clone());
        fields.insert("current".into(), current.unwrap_or_default());
    }
}

/// As many as the labels say, or as there are.
fn commits(versions: &[Json]) -> u64 {
    let numbered = versions.iter().filter_map(|version| {
        let label = version["version"].as_str()?;
        label.strip_prefix('v')?.parse::<u64>().ok()
    });
    let counted = numbered
        .max()
        .map_or(0, |highest| highest.saturating_add(1));
    counted.max(versions.len() as u64).min(u64::from(u32::MAX))
}

fn collection_for(app: &Json) -> Json {
    let workspace = text(app, "workspace");
    let created_by = text(app, "created_by");
    let mut permissions = serde_json::Map::new();
    permissions.insert(created_by.clone(), "*".into());
    if workspace == "public" {
        permissions.insert("*".into(), "r".into());
    }
    json!({
        "id": Uuid::now_v7().to_string(),
        "workspace": workspace,
        "alias": COLLECTION,
        "type": "collection",
        "parent_id": null,
        "manifest": {
            "id": COLLECTION,
            "name": "Applications",
            "description": format!("Applications of the workspace {workspace}"),
        },
        "versions": [{ "version": "v0", "comment": null, "created_at": app["created_at"], "dir": 0 }],
        "current": 0,
        "next_dir": 1,
        "commits": 1,
        "config": { "permissions": permissions },
        "created_at": app["created_at"],
        "last_modified": app["created_at"],
        "created_by": created_by,
    })
}

fn text(record: &Json, field: &str) -> String {
    record[field].as_str().unwrap_or_default().to_owned()
}

fn read(tree: &sled::Tree) -> Result<Vec<(sled::IVec, Json)>, StoreError> {
    let mut records = Vec::new();
    for entry in tree {
        let (key, found) = entry?;
        let record = value(&String::from_utf8_lossy(&key), &found)?;
        records.push((key, record));
    }
    Ok(records)
}

fn value(key: &str, found: &[u8]) -> Result<Json, StoreError> {
    serde_json::from_slice(found).map_err(|error| StoreError::Corrupt {
        tree: TREE.to_owned(),
        key: key.to_owned(),
        reason: error.to_string(),
    })
}

fn bytes(record: &Json) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|error| StoreError::Encode {
        tree: TREE.to_owned(),
        key: text(record, "alias"),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old_app(alias: &str, staging: Json, versions: Json) -> Json {
        json!({
            "id": alias, "workspace": "ws", "alias": alias, "type": "application",
            "parent": "applications", "manifest": null, "staging": staging, "versions": versions,
            "next_dir": 5, "config": {}, "created_at": 7, "last_modified": 7, "created_by": "ann",
        })
    }

    #[test]
    fn old_records_get_a_collection_slots_and_a_current_version() {
        let engine = sled::Config::new().temporary(true).open().unwrap();
        let tree = engine.open_tree(TREE).unwrap();
        let put = |record: Json| {
            let key = format!("ws{SEPARATOR}{}", text(&record, "alias"));
            tree.insert(key, bytes(&record).unwrap()).unwrap();
        };
        let versions = json!([
            { "version": "v1", "created_at": 1, "dir": 1 },
            { "version": "v4", "created_at": 2, "dir": 4 },
        ]);
        put(old_app(
            "tried",
            json!({ "manifest": {}, "dir": 2, "trial": true }),
            versions,
        ));
        let staged = json!({ "manifest": {}, "dir": 2, "trial": false });
        put(old_app("edited", staged, json!([])));
        // A step that is run again changes nothing.
        for _ in 0..2 {
            migrate(&engine).unwrap();
        }
        let found: BTreeMap<String, Json> = read(&tree)
            .unwrap()
            .into_iter()
            .map(|(_, record)| (text(&record, "alias"), record))
            .collect();
        assert_eq!(found.len(), 3);
        let collection = &found["applications"];
        assert_eq!(collection["type"], "collection");
        let tried = &found["tried"];
        assert_eq!(tried["parent_id"], collection["id"]);
        assert_eq!(
            (&tried["commits"], &tried["current"]),
            (&json!(5), &json!(4))
        );
        assert_eq!(tried["pending"]["dir"], 2);
        assert!(tried.get("staging").is_none() && tried.get("parent").is_none());
        let edited = &found["edited"];
        assert_eq!(edited["staging"]["dir"], 2);
        assert!(edited.get("pending").is_none() && edited["current"].is_null());
    }
}
