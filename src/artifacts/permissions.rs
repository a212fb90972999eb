//! Permissions of artifacts: letters, the operations they stand for, and who has them
//! (artifacts.md 5).

use serde_json::{Map, Value as Json, json};

use crate::identity::UserInfo;

/// Letters and their operations.
const LETTERS: &[(&str, &[&str])] = &[
    ("n", &[]),
    ("l", &["list"]),
    ("l+", &["list", "draft"]),
    ("lv", &["list", "list_vectors"]),
    (
        "lv+",
        &["list", "list_vectors", "draft", "attach", "add_vectors"],
    ),
    ("lf", &["list", "list_files"]),
    (
        "lf+",
        &["list", "list_files", "draft", "attach", "put_file"],
    ),
    ("r", READ),
    (
        "r+",
        &[
            "read",
            "get_file",
            "put_file",
            "list_files",
            "list",
            "search_vectors",
            "get_vector",
            "draft",
            "attach",
            "add_vectors",
        ],
    ),
    (
        "rw",
        &[
            "read",
            "get_file",
            "get_vector",
            "search_vectors",
            "list_files",
            "list_vectors",
            "list",
            "edit",
            "commit",
            "put_file",
            "add_vectors",
            "remove_file",
            "remove_vectors",
            "discard_changes",
            "detach",
            "mutate",
        ],
    ),
    (
        "rd+",
        &[
            "read",
            "get_file",
            "get_status",
            "get_vector",
            "search_vectors",
            "list_files",
            "list_vectors",
            "list",
            "edit",
            "put_file",
            "add_vectors",
            "remove_file",
            "remove_vectors",
            "discard_changes",
            "draft",
        ],
    ),
    ("rw+", WRITE_AND_ATTACH),
    ("*", ALL),
];

const READ: &[&str] = &[
    "read",
    "get_file",
    "list_files",
    "list",
    "search_vectors",
    "get_vector",
];

const WRITE_AND_ATTACH: &[&str] = &[
    "read",
    "get_file",
    "get_status",
    "get_vector",
    "search_vectors",
    "list_files",
    "list_vectors",
    "list",
    "edit",
    "commit",
    "put_file",
    "add_vectors",
    "remove_file",
    "remove_vectors",
    "discard_changes",
    "draft",
    "attach",
    "detach",
    "mutate",
];

const ALL: &[&str] = &[
    "read",
    "get_file",
    "get_status",
    "get_vector",
    "search_vectors",
    "list_files",
    "list_vectors",
    "list",
    "edit",
    "commit",
    "put_file",
    "add_vectors",
    "remove_file",
    "remove_vectors",
    "discard_changes",
    "create",
    "draft",
    "attach",
    "detach",
    "mutate",
    "reset_stats",
    "publish",
    "delete",
];

/// The operations that letters stand for; unknown letters stand for none.
pub fn operations(letters: &str) -> &'static [&'static str] {
    let known = LETTERS.iter().find(|(known, _)| *known == letters);
    known.map_or(&[], |(_, operations)| operations)
}

/// Permissions with every entry written out as a list of operations.
pub fn expanded(permissions: &Map<String, Json>) -> Map<String, Json> {
    permissions
        .iter()
        .map(|(subject, granted)| {
            let list = match granted {
                Json::String(letters) => json!(operations(letters)),
                list => list.clone(),
            };
            (subject.clone(), list)
        })
        .collect()
}

/// Whether permissions let a user carry out an operation.
pub fn grants(permissions: &Map<String, Json>, user: &UserInfo, operation: &str) -> bool {
    permissions
        .iter()
        .any(|(subject, granted)| names(subject, user) && includes(granted, operation))
}

fn includes(granted: &Json, operation: &str) -> bool {
    match granted {
        Json::String(letters) => operations(letters).contains(&operation),
        Json::Array(list) => list.iter().any(|item| item == operation),
        _ => false,
    }
}

/// Whether a subject means this user. `workspace/…` means people who are in that workspace.
fn names(subject: &str, user: &UserInfo) -> bool {
    let who = match subject.split_once('/') {
        Some((workspace, who)) if user.current_workspace.as_deref() == Some(workspace) => who,
        Some(_) => return false,
        None => subject,
    };
    match who {
        "*" => true,
        "@" => !user.is_anonymous,
        who => who == user.id || who == user.effective_id() || user.email.as_deref() == Some(who),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(json: Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn letters_are_written_out() {
        let given = permissions(json!({ "*": "r", "ann": "l+", "bob": ["read"], "odd": "zz" }));
        let shown = expanded(&given);
        assert_eq!(shown["ann"], json!(["list", "draft"]));
        assert_eq!(shown["bob"], json!(["read"]));
        assert_eq!(shown["odd"], json!([]));
        assert_eq!(shown["*"].as_array().unwrap().len(), 6);
    }

    #[test]
    fn only_the_named_get_what_is_granted() {
        let mut user = UserInfo::root();
        user.id = "ann".into();
        user.email = Some("ann@example.org".into());
        user.is_anonymous = false;
        user.current_workspace = Some("lab".into());
        for (subject, meant) in [
            ("*", true),
            ("@", true),
            ("ann", true),
            ("ann@example.org", true),
            ("lab/*", true),
            ("lab/ann", true),
            ("other/*", false),
            ("bob", false),
        ] {
            let given = permissions(json!({ subject: "r" }));
            assert_eq!(grants(&given, &user, "read"), meant, "{subject}");
            assert!(!grants(&given, &user, "edit"), "{subject}");
        }
        user.is_anonymous = true;
        assert!(!grants(&permissions(json!({ "@": "r" })), &user, "read"));
    }
}
