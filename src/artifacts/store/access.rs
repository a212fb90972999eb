//! Who may do what with an artifact (artifacts.md 5).

use serde_json::Value as Json;

use super::{Artifact, ArtifactError, Fields};
use crate::artifacts::permissions;
use crate::identity::{Level, UserInfo};

/// Operations for which the collection must allow the same.
const READING: &[&str] = &[
    "read",
    "list",
    "get_file",
    "list_files",
    "get_vector",
    "list_vectors",
    "search_vectors",
];

/// The right in the workspace that stands in for a missing grant.
fn level(operation: &str) -> Level {
    match operation {
        "delete" | "reset_stats" | "publish" | "get_secret" => Level::Admin,
        reading if READING.contains(&reading) || reading == "get_status" => Level::Read,
        _ => Level::ReadWrite,
    }
}

/// Whether an artifact's own permissions let a user carry out an operation.
pub fn granted(artifact: &Artifact, user: &UserInfo, operation: &str) -> bool {
    let given = artifact.config.get("permissions").and_then(Json::as_object);
    given.is_some_and(|given| permissions::grants(given, user, operation))
}

/// Checks an operation on an artifact.
///
/// # Errors
/// It is not allowed.
pub fn check(
    artifact: &Artifact,
    parent: Option<&Artifact>,
    user: &UserInfo,
    operation: &'static str,
) -> Result<(), ArtifactError> {
    let denied = |on| Err(ArtifactError::Denied { operation, on });
    if user.allows(&artifact.workspace, level(operation)) {
        return Ok(());
    }
    let by_parent = parent.map(|parent| granted(parent, user, operation));
    if READING.contains(&operation) {
        return match by_parent {
            Some(true) => Ok(()),
            Some(false) => denied("parent collection"),
            None if granted(artifact, user, operation) => Ok(()),
            None => denied("artifact"),
        };
    }
    match granted(artifact, user, operation) {
        true => Ok(()),
        false => denied("artifact"),
    }
}

/// Checks what a collection must allow for its children, or a right in its workspace.
///
/// # Errors
/// It is not allowed.
pub fn check_parent(
    parent: &Artifact,
    user: &UserInfo,
    operation: &'static str,
    fallback: Level,
) -> Result<(), ArtifactError> {
    if granted(parent, user, operation) || user.allows(&parent.workspace, fallback) {
        return Ok(());
    }
    let on = "parent collection";
    Err(ArtifactError::Denied { operation, on })
}

/// Checks that permissions mean something.
///
/// # Errors
/// Letters are unknown, or an entry is neither letters nor a list.
pub fn check_permissions(config: &Fields) -> Result<(), ArtifactError> {
    let Some(given) = config.get("permissions").filter(|given| !given.is_null()) else {
        return Ok(());
    };
    let wrong = |text: String| Err(ArtifactError::Invalid(text));
    let Some(given) = given.as_object() else {
        return wrong("permissions must be an object".to_owned());
    };
    for (subject, letters) in given {
        match letters {
            Json::String(known) if known == "n" || !permissions::operations(known).is_empty() => {}
            Json::Array(list) if list.iter().all(Json::is_string) => {}
            Json::String(odd) => {
                return wrong(format!("Invalid permission code '{odd}' for '{subject}'."));
            }
            _ => {
                return wrong(format!(
                    "Invalid permission value for '{subject}': a code or a list of operations is expected."
                ));
            }
        }
    }
    Ok(())
}
