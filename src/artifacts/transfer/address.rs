//! Targets as paths of addresses: the keys that the reference has in its bucket (artifacts.md 3).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use crate::artifacts::objects::{Target, clean};

/// The folder of a workspace that belongs to its artifacts.
pub const ARTIFACTS: &str = "artifacts";

/// What stands for itself in an address.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The key of a target, as it stands after the bucket.
pub fn key_of(target: &Target) -> String {
    match target {
        Target::Artifact {
            workspace,
            id,
            dir,
            path,
        } => format!("{workspace}/{ARTIFACTS}/{id}/v{dir}/{path}"),
        Target::Workspace { workspace, path } => format!("{workspace}/{path}"),
    }
}

/// The target of a key; none when it can be no file's.
pub fn target_of(key: &str) -> Option<Target> {
    let (workspace, path) = key.split_once('/')?;
    if workspace.is_empty() || clean(path).ok()? != path {
        return None;
    }
    let workspace = workspace.to_owned();
    let Some(rest) = path.strip_prefix("artifacts/") else {
        let path = path.to_owned();
        return Some(Target::Workspace { workspace, path });
    };
    // Of this folder only files of artifacts have addresses.
    let mut parts = rest.splitn(3, '/');
    let (id, version, path) = (parts.next()?, parts.next()?, parts.next()?);
    let id = Uuid::try_parse(id).ok()?.to_string();
    let dir = version.strip_prefix('v')?.parse().ok()?;
    (!path.is_empty()).then(|| Target::Artifact {
        workspace,
        id,
        dir,
        path: path.to_owned(),
    })
}

/// A key as it stands in an address.
pub fn encoded(key: &str) -> String {
    utf8_percent_encode(key, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_keys_stand_for_each_other() {
        let id = "018f3c9e-0000-7000-8000-000000000001";
        let file = Target::Artifact {
            workspace: "ws".into(),
            id: id.into(),
            dir: 12,
            path: "a b/c.txt".into(),
        };
        let key = format!("ws/artifacts/{id}/v12/a b/c.txt");
        assert_eq!(key_of(&file), key);
        assert_eq!(target_of(&key), Some(file));
        let plain = Target::Workspace {
            workspace: "ws".into(),
            path: "é/x".into(),
        };
        assert_eq!(target_of(&key_of(&plain)), Some(plain));
        assert_eq!(encoded("ws/é +?#%/x"), "ws/%C3%A9%20%2B%3F%23%25/x");
    }

    #[test]
    fn other_keys_lead_nowhere() {
        for key in [
            "ws",
            "ws/",
            "/x",
            "ws/../x",
            "ws//x",
            "ws/artifacts/x",
            "ws/artifacts/018f3c9e-0000-7000-8000-000000000001/v1/",
            "ws/artifacts/018f3c9e-0000-7000-8000-000000000001/x1/y",
            "ws/artifacts/018f3c9e-0000-7000-8000-000000000001/v-1/y",
        ] {
            assert_eq!(target_of(key), None, "{key}");
        }
    }
}
