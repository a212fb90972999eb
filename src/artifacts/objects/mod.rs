//! Named files over blobs: files of artifacts, files of workspaces, uploads in parts.
//!
//! A file is put in two steps: its bytes become a blob, then a batch makes its name refer to it. So
//! a crash leaves the old file or the new one. What no name refers to is collected later.

mod error;
mod garbage;
mod listing;
mod object;
mod path;
pub(super) mod uploads;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

pub use error::ObjectError;
pub use listing::{Entry, Page};
pub use object::{Object, config_key, dir_key, file_key, workspace_key};
pub use path::{clean, clean_dir};
pub use uploads::{Part, Session, Target};

use super::blobs::{BlobStore, Expect, Incoming, Outgoing};
use super::transfer::MAX_EXPIRY_S;
use crate::store::{Batch, Store, StoreError, Tree};
use crate::supervision::SharedClock;
use uploads::Upload;

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    blobs: Arc<dyn BlobStore>,
    clock: SharedClock,
    /// Files of artifacts, by [`file_key`].
    files: Tree<Object>,
    /// Files of workspaces, by [`workspace_key`].
    workspace_files: Tree<Object>,
    /// Uploads in parts that are under way, by their id.
    uploads: Tree<Upload>,
    /// When files of workspaces are to go, by their keys; seconds since 1970.
    expiries: Tree<f64>,
    /// When the files of directories are to go whose artifact or version was deleted, by the start
    /// of their keys; seconds since 1970.
    leftovers: Tree<f64>,
    /// Held shared while references are copied, and alone while blobs are taken away.
    references: Arc<RwLock<()>>,
}

/// While one lives no blob is taken away, so that an entry that was read can be written elsewhere.
pub struct Pin {
    _shared: OwnedRwLockReadGuard<()>,
}

impl Objects {
    /// Opens the trees.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open(
        store: Store,
        blobs: Arc<dyn BlobStore>,
        clock: SharedClock,
    ) -> Result<Self, StoreError> {
        Ok(Objects {
            inner: Arc::new(Inner {
                files: store.tree("files")?,
                workspace_files: store.tree("objects")?,
                uploads: store.tree("uploads")?,
                expiries: store.tree("object_expiries")?,
                leftovers: store.tree("file_leftovers")?,
                references: Arc::new(RwLock::new(())),
                store,
                blobs,
                clock,
            }),
        })
    }

    /// The contents.
    pub fn blobs(&self) -> &Arc<dyn BlobStore> {
        &self.inner.blobs
    }

    /// The tree of the files of artifacts, by [`file_key`].
    pub fn files(&self) -> &Tree<Object> {
        &self.inner.files
    }

    /// The tree of the files of workspaces, by [`workspace_key`].
    pub fn workspace_files(&self) -> &Tree<Object> {
        &self.inner.workspace_files
    }

    /// Seconds since 1970.
    pub fn now(&self) -> f64 {
        self.inner.clock.unix()
    }

    /// Keeps all blobs from being taken away; see [`Pin`].
    pub async fn pin(&self) -> Pin {
        let shared = self.inner.references.clone().read_owned().await;
        Pin { _shared: shared }
    }

    /// Stores what a stream brings, under no name yet. It may be given one within the hour.
    ///
    /// # Errors
    /// The stream broke off, the length is wrong, or the storage failed.
    pub async fn take(
        &self,
        body: Incoming,
        expect: Expect,
        content_type: Option<String>,
    ) -> Result<Object, ObjectError> {
        let put = self.inner.blobs.put_stream(body, expect).await?;
        Ok(Object::of(put, content_type, self.now()))
    }

    /// As [`Objects::take`], for bytes that are at hand.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn take_bytes(
        &self,
        bytes: Bytes,
        content_type: Option<String>,
    ) -> Result<Object, ObjectError> {
        let body = futures::stream::iter([Ok(bytes)]);
        self.take(Box::pin(body), Expect::default(), content_type)
            .await
    }

    /// The content of an object, or a part of it that lies within.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn open_range(
        &self,
        object: &Object,
        range: Option<Range<u64>>,
    ) -> Result<Outgoing, ObjectError> {
        Ok(self.inner.blobs.read(&object.blob, range).await?)
    }

    /// The object that a target names.
    ///
    /// # Errors
    /// The store failed.
    pub async fn head(&self, target: &Target) -> Result<Option<Object>, ObjectError> {
        let target = target.clone();
        self.blocking(move |inner| Ok(inner.tree_of(&target).get(&target.key())?))
            .await
    }

    /// Gives a file of a workspace its content; durable when it returns. With a lifetime in
    /// seconds the file goes by itself after it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn put_workspace_file(
        &self,
        workspace: &str,
        path: &str,
        object: Object,
        ttl: Option<f64>,
    ) -> Result<(), ObjectError> {
        let key = workspace_key(workspace, path);
        self.blocking(move |inner| {
            inner.store.check_room()?;
            let mut batch = Batch::new();
            batch.put(&inner.workspace_files, &key, &object)?;
            match ttl {
                Some(ttl) => batch.put(&inner.expiries, &key, &(object.at + ttl))?,
                None => batch.remove(&inner.expiries, &key),
            };
            Ok(inner.store.apply(batch)?)
        })
        .await?;
        self.durable().await
    }

    /// Removes a file of a workspace; true when it was there.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_workspace_file(
        &self,
        workspace: &str,
        path: &str,
    ) -> Result<bool, ObjectError> {
        let key = workspace_key(workspace, path);
        let found = self
            .blocking(move |inner| {
                let found = inner.workspace_files.contains(&key)?;
                let mut batch = Batch::new();
                batch.remove(&inner.workspace_files, &key);
                batch.remove(&inner.expiries, &key);
                inner.store.apply(batch)?;
                Ok(found)
            })
            .await?;
        self.durable().await?;
        Ok(found)
    }

    /// Removes the files of a workspace whose paths start with `prefix`; how many there were.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_workspace_files(
        &self,
        workspace: &str,
        prefix: &str,
    ) -> Result<usize, ObjectError> {
        let prefix = workspace_key(workspace, prefix);
        let removed = self
            .blocking(move |inner| {
                let mut batch = Batch::new();
                let removed = inner.add_remove_workspace_files(&mut batch, &prefix)?;
                inner.store.apply(batch)?;
                Ok(removed)
            })
            .await?;
        self.durable().await?;
        Ok(removed)
    }

    /// Removes the files of workspaces, and what deleted artifacts left, whose time is over; how
    /// many there were.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_expired(&self) -> Result<usize, ObjectError> {
        let now = self.now();
        self.blocking(move |inner| {
            let mut batch = Batch::new();
            let mut removed = 0;
            for entry in inner.expiries.iter() {
                let (key, at) = entry?;
                if at <= now {
                    batch.remove(&inner.expiries, &key);
                    batch.remove(&inner.workspace_files, &key);
                    removed += 1;
                }
            }
            for entry in inner.leftovers.iter() {
                let (prefix, at) = entry?;
                if at <= now {
                    batch.remove(&inner.leftovers, &prefix);
                    for key in inner.files.keys(&prefix)? {
                        batch.remove(&inner.files, &key);
                        removed += 1;
                    }
                }
            }
            inner.store.apply(batch)?;
            Ok(removed)
        })
        .await
    }

    /// Adds removing all files of a workspace to a batch; how many there are.
    ///
    /// # Errors
    /// The store failed.
    pub fn add_remove_workspace(
        &self,
        batch: &mut Batch,
        workspace: &str,
    ) -> Result<usize, StoreError> {
        self.inner
            .add_remove_workspace_files(batch, &workspace_key(workspace, ""))
    }

    /// Adds giving a file of an artifact its content to a batch.
    ///
    /// # Errors
    /// The entry cannot be written.
    pub fn add_put(
        &self,
        batch: &mut Batch,
        artifact: &str,
        dir: u32,
        path: &str,
        object: &Object,
    ) -> Result<(), StoreError> {
        batch.put(&self.inner.files, &file_key(artifact, dir, path), object)?;
        Ok(())
    }

    /// Adds removing a file of an artifact to a batch.
    pub fn add_remove(&self, batch: &mut Batch, artifact: &str, dir: u32, path: &str) {
        batch.remove(&self.inner.files, &file_key(artifact, dir, path));
    }

    /// Adds removing all files of a directory to a batch; how many there are.
    ///
    /// # Errors
    /// The store failed.
    pub fn add_remove_dir(
        &self,
        batch: &mut Batch,
        artifact: &str,
        dir: u32,
    ) -> Result<usize, StoreError> {
        let keys = self.inner.files.keys(&file_key(artifact, dir, ""))?;
        for key in &keys {
            batch.remove(&self.inner.files, key);
        }
        Ok(keys.len())
    }

    /// Adds leaving the files of a directory to a batch: they go when no address of them can work
    /// any more.
    ///
    /// # Errors
    /// The store failed.
    pub fn add_leave_dir(
        &self,
        batch: &mut Batch,
        artifact: &str,
        dir: u32,
    ) -> Result<(), StoreError> {
        let until = self.now() + MAX_EXPIRY_S;
        batch.put(&self.inner.leftovers, &file_key(artifact, dir, ""), &until)?;
        Ok(())
    }

    /// Adds copying all files of a directory to a batch; how many there are. No bytes are copied.
    /// The caller holds a [`Pin`] until the batch is applied.
    ///
    /// # Errors
    /// The store failed.
    pub fn add_copy_dir(
        &self,
        batch: &mut Batch,
        _pin: &Pin,
        from: (&str, u32),
        to: (&str, u32),
    ) -> Result<usize, StoreError> {
        let prefix = file_key(from.0, from.1, "");
        let mut copied = 0;
        for entry in self.inner.files.iter_prefix(&prefix) {
            let (key, object) = entry?;
            let copy = file_key(to.0, to.1, &key[prefix.len()..]);
            batch.put(&self.inner.files, &copy, &object)?;
            copied += 1;
        }
        Ok(copied)
    }

    /// Resolves when everything written before is on disk.
    ///
    /// # Errors
    /// Nothing may be acknowledged.
    pub async fn durable(&self) -> Result<(), ObjectError> {
        Ok(self.inner.store.durable().await?)
    }

    /// Runs blocking work on the trees away from the caller's thread.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<R, ObjectError> + Send + 'static,
    ) -> Result<R, ObjectError> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|error| ObjectError::Interrupted(error.to_string()))?
    }
}

impl Inner {
    fn add_remove_workspace_files(
        &self,
        batch: &mut Batch,
        prefix: &str,
    ) -> Result<usize, StoreError> {
        let keys = self.workspace_files.keys(prefix)?;
        for key in &keys {
            batch.remove(&self.workspace_files, key);
            batch.remove(&self.expiries, key);
        }
        Ok(keys.len())
    }

    fn tree_of(&self, target: &Target) -> &Tree<Object> {
        match target {
            Target::Artifact { .. } => &self.files,
            Target::Workspace { .. } => &self.workspace_files,
        }
    }
}

#[cfg(test)]
mod tests;
