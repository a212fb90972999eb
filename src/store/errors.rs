use std::path::PathBuf;

/// What can go wrong in the store.
///
/// Clonable, because one failed flush is the answer to every task that waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the directory.
    #[error("the data directory {} is in use by another process", path.display())]
    InUse {
        /// The directory that was asked for.
        path: PathBuf,
    },
    /// The directory cannot be created, read or opened as a store.
    #[error("cannot open the data directory {}: {reason}", path.display())]
    Open {
        /// The directory that was asked for.
        path: PathBuf,
        /// What the system or the engine said.
        reason: String,
    },
    /// The directory was written by a later version of this program.
    #[error(
        "the data directory {} has schema version {found}, this program knows versions up to \
         {supported}; use a newer version of the program",
        path.display()
    )]
    Newer {
        /// The directory that was asked for.
        path: PathBuf,
        /// The schema version found in it.
        found: u32,
        /// The highest schema version this program can read.
        supported: u32,
    },
    /// A stored key or value is not what the tree holds.
    #[error("corrupt entry in tree '{tree}' under key '{key}': {reason}")]
    Corrupt {
        /// The tree's name.
        tree: String,
        /// The entry's key, with bytes that are not text replaced.
        key: String,
        /// Why it could not be read.
        reason: String,
    },
    /// A value cannot be written as JSON.
    #[error("cannot encode the value for tree '{tree}' under key '{key}': {reason}")]
    Encode {
        /// The tree's name.
        tree: String,
        /// The entry's key.
        key: String,
        /// Why it could not be written.
        reason: String,
    },
    /// The engine failed, usually because the disk did.
    #[error("storage failure: {0}")]
    Engine(String),
    /// The disk has no room for more.
    #[error("the disk of the server is full")]
    Full,
    /// The thread that writes to disk has ended; nothing can be acknowledged any more.
    #[error("storage failure: the flush thread has ended")]
    FlusherGone,
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        StoreError::Engine(error.to_string())
    }
}
