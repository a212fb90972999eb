//! Edits of the stage, and how a manifest edit merges (server-apps.md 1.2).

use serde_json::Value as Json;

use super::model::StoredFile;
use super::{AppStoreError, Fields};
use crate::apps::manifest::Manifest;

/// Fields that only the server writes; an edit of them is ignored, so that a manifest that was read
/// can be given back changed.
const SERVER_FIELDS: [&str; 6] = [
    "id",
    "services",
    "service_ids",
    "startup_context",
    "source_hash",
    "disabled",
];

/// One change of the stage.
pub(super) enum StageEdit {
    Manifest(Box<ManifestEdit>),
    Put(StoredFile),
    Remove(String),
}

/// What `edit_app` changes in a manifest; absent parts stay as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ManifestEdit {
    /// Merged over the manifest, one level deep.
    pub fields: Option<Fields>,
    /// Replaces `autoscaling`; null clears it.
    pub autoscaling: Option<Json>,
    /// Replaces `startup_config`; null clears it.
    pub startup_config: Option<Json>,
}

impl ManifestEdit {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Carries the edit out and checks what comes out of it.
    pub(super) fn apply(self, manifest: &mut Fields) -> Result<(), AppStoreError> {
        let mut edited = manifest.clone();
        for (key, value) in self.fields.unwrap_or_default() {
            if !SERVER_FIELDS.contains(&key.as_str()) {
                edited.insert(key, value);
            }
        }
        for (key, value) in [
            ("autoscaling", self.autoscaling),
            ("startup_config", self.startup_config),
        ] {
            if let Some(value) = value {
                edited.insert(key.to_owned(), value);
            }
        }
        // Services are the server's own entries; the check is for what people write.
        let mut shown = edited.clone();
        shown.remove("services");
        shown.remove("service_ids");
        let checked =
            Manifest::checked(shown).map_err(|error| AppStoreError::Refused(error.to_string()))?;
        checked
            .startup_config()
            .and_then(|startup| startup.plan(&checked).map(drop))
            .map_err(|error| AppStoreError::Refused(error.to_string()))?;
        *manifest = edited;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(json: Json) -> Fields {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn an_edit_merges_one_level_deep_and_leaves_the_server_its_fields() {
        let mut manifest = fields(json!({
            "id": "app", "type": "x", "name": "Old", "config": { "a": 1, "b": 2 }, "kept": null,
            "services": [{ "id": "ws/*:default" }], "source_hash": "Qm",
        }));
        let edit = ManifestEdit {
            fields: Some(fields(json!({
                "name": "New", "config": { "a": 3 }, "id": "other", "services": [], "source_hash": "no",
                "startup_context": { "user": "root" },
            }))),
            autoscaling: Some(json!({ "enabled": true })),
            startup_config: Some(Json::Null),
        };
        edit.apply(&mut manifest).unwrap();
        assert_eq!(
            Json::Object(manifest),
            json!({
                "id": "app", "type": "x", "name": "New", "config": { "a": 3 }, "kept": null,
                "services": [{ "id": "ws/*:default" }], "source_hash": "Qm",
                "autoscaling": { "enabled": true }, "startup_config": null,
            })
        );
    }

    #[test]
    fn a_refused_edit_changes_nothing() {
        let before = fields(json!({ "type": "x", "name": "Old" }));
        for wrong in [
            json!({ "type": null }),
            json!({ "name": 7 }),
            json!({ "service_selection_mode": "oldest" }),
            json!({ "startup_config": { "timeout": -1 } }),
        ] {
            let mut manifest = before.clone();
            let edit = ManifestEdit {
                fields: Some(fields(wrong)),
                ..ManifestEdit::default()
            };
            assert!(matches!(
                edit.apply(&mut manifest),
                Err(AppStoreError::Refused(_))
            ));
            assert_eq!(manifest, before);
        }
        assert!(ManifestEdit::default().is_empty());
    }
}
