//! From a list in the record to an entry for each file that a stage changes.

use serde_json::Value as Json;

use crate::store::StoreError;

const SEPARATOR: char = '\u{1}';

pub(super) fn migrate(engine: &sled::Db) -> Result<(), StoreError> {
    let records = engine.open_tree("artifacts")?;
    let staged = engine.open_tree("staged_files")?;
    for entry in records.iter() {
        let (key, bytes) = entry?;
        let Ok(mut record) = serde_json::from_slice::<Json>(&bytes) else {
            continue;
        };
        let files = record["staging"]["files"].take();
        let Json::Array(files) = files else {
            continue;
        };
        let (id, dir) = (&record["id"], &record["staging"]["dir"]);
        let (Some(id), Some(dir)) = (id.as_str(), dir.as_u64()) else {
            continue;
        };
        for file in files {
            if let Some(path) = file["path"].as_str() {
                let at = format!("{id}{SEPARATOR}{dir:08}{SEPARATOR}{path}");
                staged.insert(at, file.to_string().into_bytes())?;
            }
        }
        // Last: a step that is cut off is done again.
        records.insert(key, record.to_string().into_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_stage_become_entries() {
        let engine = sled::Config::new().temporary(true).open().unwrap();
        let records = engine.open_tree("artifacts").unwrap();
        let file = r#"{"path":"a/b.txt","weight":2.0,"remove":false}"#;
        let staged = format!(r#"{{"id":"u","staging":{{"dir":3,"files":[{file}]}}}}"#);
        records.insert("staged", staged.as_bytes()).unwrap();
        let plain = br#"{"id":"v","staging":null}"#;
        records.insert("plain", &plain[..]).unwrap();
        for _ in 0..2 {
            migrate(&engine).unwrap();
            assert_eq!(records.get("plain").unwrap().unwrap(), plain);
            let tree = engine.open_tree("staged_files").unwrap();
            let found = tree.get("u\u{1}00000003\u{1}a/b.txt").unwrap().unwrap();
            let found: Json = serde_json::from_slice(&found).unwrap();
            assert_eq!(found, serde_json::from_str::<Json>(file).unwrap());
            let record = records.get("staged").unwrap().unwrap();
            let record: Json = serde_json::from_slice(&record).unwrap();
            assert_eq!(record["staging"]["files"], Json::Null);
        }
    }
}
