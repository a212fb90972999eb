use proptest::prelude::*;

use super::*;
use crate::map;

fn one(entry: crate::wire::Map) -> Result<AppFile, FileError> {
    let list = Value::Array(vec![Value::Map(entry)]);
    normalise_files(&list).map(|mut files| files.remove(0))
}

#[test]
fn contents_are_decoded_by_format() {
    let nested = map! {"theme" => "dark", "n" => 1};
    let table = [
        (
            map! {"path" => "a", "content" => "tä"},
            "tä".as_bytes().to_vec(),
        ),
        (
            map! {"name" => "a", "content" => Bytes::from_static(b"\0\xff"), "format" => "text"},
            b"\0\xff".to_vec(),
        ),
        (
            map! {"path" => "a", "content" => nested.clone(), "format" => "json"},
            b"{\n  \"theme\": \"dark\",\n  \"n\": 1\n}".to_vec(),
        ),
        (
            map! {"path" => "a", "content" => nested},
            b"{\n  \"theme\": \"dark\",\n  \"n\": 1\n}".to_vec(),
        ),
        (
            map! {"path" => "a", "content" => " [1]", "format" => "json"},
            b" [1]".to_vec(),
        ),
        (
            map! {"path" => "a", "content" => "AAEC\n/w==", "format" => "base64"},
            vec![0, 1, 2, 255],
        ),
        (
            map! {"path" => "a", "content" => "data:image/png;base64,AAEC", "format" => "base64"},
            vec![0, 1, 2],
        ),
        (
            map! {"path" => "a", "content" => "AAEC", "type" => "base64"},
            vec![0, 1, 2],
        ),
        (map! {"path" => "a", "content" => ""}, vec![]),
    ];
    for (entry, bytes) in table {
        assert_eq!(one(entry.clone()).unwrap().content, bytes, "{entry:?}");
    }
}

#[test]
fn errors_have_the_texts_clients_match() {
    let table = [
        (
            map! {"content" => "x"},
            r#"File {"content":"x"} must have 'name' or 'path' field"#,
        ),
        (
            map! {"path" => "", "content" => "x"},
            r#"File {"path":"","content":"x"} must have 'name' or 'path' field"#,
        ),
        (
            map! {"path" => "a", "content" => "x", "format" => "yaml"},
            "Unsupported file format 'yaml' for file a. Must be 'text', 'json', or 'base64'",
        ),
        (
            map! {"path" => "a", "content" => "!!", "format" => "base64"},
            "Failed to decode base64 content for file a: ",
        ),
        (
            map! {"path" => "a", "content" => "data:text/plain,x", "format" => "base64"},
            "Failed to decode base64 content for file a: data URL",
        ),
        (
            map! {"path" => "a", "content" => "{", "format" => "json"},
            "Failed to process JSON content for file a: ",
        ),
        (
            map! {"path" => "a"},
            "Content of file a must be text or bytes, got None",
        ),
        (
            map! {"path" => "a", "content" => 5},
            "Content of file a must be text or bytes, got number",
        ),
        (
            map! {"path" => "../a", "content" => "x"},
            "Invalid file path '../a': it must not contain '..'",
        ),
    ];
    for (entry, text) in table {
        let error = one(entry).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
    assert!(matches!(
        normalise_files(&"x".into()),
        Err(FileError::NotAList("str"))
    ));
    let long = one(map! {"content" => "é".repeat(5000)}).unwrap_err();
    assert!(long.to_string().len() < 400);
}

#[test]
fn nothing_is_an_empty_list_and_later_files_win() {
    assert_eq!(normalise_files(&Value::Nil).unwrap(), []);
    let entry = |content: &str| {
        Value::Map(map! {"name" => "m/./a.py", "content" => content, "import_path" => "m.a"})
    };
    let other = Value::Map(map! {"name" => "b", "content" => ""});
    let files = normalise_files(&Value::Array(vec![entry("1"), other, entry("2")])).unwrap();
    assert_eq!(files.len(), 2);
    assert_eq!(
        (&*files[0].path, &files[0].content[..]),
        ("m/a.py", &b"2"[..])
    );
}

#[test]
fn paths_stay_inside() {
    let table = [
        ("a.txt", Some("a.txt")),
        ("./a//b.txt", Some("a/b.txt")),
        ("a b/ü.txt", Some("a b/ü.txt")),
        ("..a/b..", Some("..a/b..")),
        ("", None),
        (".", None),
        ("a/", None),
        ("/etc/passwd", None),
        ("..", None),
        ("a/../b", None),
        ("a\\b", None),
        ("a\0b", None),
        ("a\nb", None),
    ];
    for (given, expected) in table {
        assert_eq!(safe_path(given).ok().as_deref(), expected, "{given:?}");
    }
    assert!(safe_path(&"a".repeat(1025)).is_err());
}

proptest! {
    #[test]
    fn an_accepted_path_never_leaves_its_folder(path in "([./\\\\a-c \0\n]|\\.\\.){0,20}") {
        if let Ok(safe) = safe_path(&path) {
            let joined = std::path::Path::new("/root").join(&safe);
            let plain = |part: std::path::Component<'_>| !matches!(part, std::path::Component::ParentDir | std::path::Component::CurDir);
            prop_assert!(joined.starts_with("/root") && joined.components().all(plain));
            prop_assert!(!safe.is_empty());
            prop_assert_eq!(safe_path(&safe).unwrap(), safe);
        }
    }
}
