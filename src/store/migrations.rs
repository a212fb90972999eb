mod app_records;
mod staged_files;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;

/// The tree that says how the other trees are to be read.
pub(super) const META: &str = "meta";
const SCHEMA: &str = "schema";
const APPLIED: &str = "migrations";

/// One step from a schema version to the next.
///
/// A step runs again when the process dies before its end, so it must bear repetition.
pub(super) struct Migration {
    /// What the step does, kept in the store as its history.
    pub name: &'static str,
    /// The work itself.
    pub run: fn(&sled::Db) -> Result<(), StoreError>,
}

/// All steps in order. The schema version of a store is the number of steps it has behind it.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "json values under text keys",
        run: |_| Ok(()),
    },
    Migration {
        name: "apps belong to a collection and point to their current version",
        run: app_records::migrate,
    },
    Migration {
        name: "files that a stage changes are entries of their own",
        run: staged_files::migrate,
    },
];

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Applied {
    pub version: u32,
    pub name: String,
}

/// Brings a store up to the last step; refuses one that is already beyond it.
pub(super) fn migrate(
    engine: &sled::Db,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let meta = engine.open_tree(META)?;
    let found: u32 = read(&meta, SCHEMA)?.unwrap_or(0);
    let supported = migrations.len() as u32;
    if found > supported {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            supported,
        });
    }
    let mut applied: Vec<Applied> = read(&meta, APPLIED)?.unwrap_or_default();
    for (version, migration) in (1..).zip(migrations).skip(found as usize) {
        (migration.run)(engine)?;
        applied.push(Applied {
            version,
            name: migration.name.to_owned(),
        });
        record(&meta, version, &applied)?;
        engine.flush()?;
    }
    Ok(())
}

fn record(meta: &sled::Tree, version: u32, applied: &[Applied]) -> Result<(), StoreError> {
    let mut batch = sled::Batch::default();
    batch.insert(SCHEMA, encode(SCHEMA, &version)?);
    batch.insert(APPLIED, encode(APPLIED, &applied)?);
    Ok(meta.apply_batch(batch)?)
}

fn encode<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Encode {
        tree: META.to_owned(),
        key: key.to_owned(),
        reason: error.to_string(),
    })
}

fn read<T: serde::de::DeserializeOwned>(
    meta: &sled::Tree,
    key: &str,
) -> Result<Option<T>, StoreError> {
    let Some(bytes) = meta.get(key)? else {
        return Ok(None);
    };
    let value = serde_json::from_slice(&bytes).map_err(|error| StoreError::Corrupt {
        tree: META.to_owned(),
        key: key.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Some(value))
}
