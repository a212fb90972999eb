//! Paths of files as clients give them.

use super::ObjectError;

/// Longest path in bytes.
const MAX_BYTES: usize = 1024;
/// Most folders and name that a path may have.
const MAX_SEGMENTS: usize = 32;

/// A path in the form in which it is stored: without leading `/` or `./`, doubled slashes or
/// `.` in the middle. A slash at the end stays, because clients mean a folder by it.
///
/// # Errors
/// It is empty, too long or too deep, leads upwards, or holds control characters.
pub fn clean(path: &str) -> Result<String, ObjectError> {
    let cleaned = clean_dir(path)?;
    match cleaned.is_empty() {
        true => Err(ObjectError::Path("the file path is empty")),
        false => Ok(cleaned),
    }
}

/// As [`clean`], for folders: empty means the uppermost one.
///
/// # Errors
/// As [`clean`], but for the empty path.
pub fn clean_dir(path: &str) -> Result<String, ObjectError> {
    if path.len() > MAX_BYTES {
        return Err(ObjectError::Path("the file path is longer than 1024 bytes"));
    }
    if path.contains(char::is_control) || path.contains('\\') {
        return Err(ObjectError::Path(
            "the file path holds characters that are not allowed",
        ));
    }
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !matches!(*segment, "" | "."))
        .collect();
    if segments.contains(&"..") {
        return Err(ObjectError::Path("the file path leads out of its folder"));
    }
    if segments.len() > MAX_SEGMENTS {
        return Err(ObjectError::Path("the file path has more than 32 segments"));
    }
    let mut cleaned = segments.join("/");
    if path.ends_with('/') && !cleaned.is_empty() {
        cleaned.push('/');
    }
    Ok(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_brought_into_one_form() {
        for (given, stored) in [
            ("a/b.txt", "a/b.txt"),
            ("/a//b.txt", "a/b.txt"),
            ("./a/./b", "a/b"),
            ("dir/", "dir/"),
            ("..a/b..", "..a/b.."),
            ("dir one/å b+c.txt", "dir one/å b+c.txt"),
        ] {
            assert_eq!(clean(given).unwrap(), stored, "{given}");
        }
        assert_eq!(clean_dir("/").unwrap(), "");
        assert_eq!(clean_dir(".").unwrap(), "");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        let (long, deep) = ("x".repeat(1025), "a/".repeat(33));
        for bad in [
            "",
            "/",
            ".",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "a\0b",
            "a\u{1}b",
            "a\\..\\b",
            &long,
            &deep,
        ] {
            assert!(clean(bad).is_err(), "{bad:?}");
        }
    }
}
