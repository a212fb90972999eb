//! A directory of its own for each test.

use std::path::{Path, PathBuf};

/// A fresh directory that is removed at the end of the test.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        let name = format!("rhizome-test-{}", uuid::Uuid::new_v4());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        TempDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Left-overs in the temporary directory hurt nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
