//! Where artifacts lie: by UUID, and by the collection they are in.

use super::{Artifact, SEPARATOR, key};
use crate::store::{Batch, Store, StoreError, Tree};

/// Keys of records by UUID and by collection. It changes in the batches that make and remove
/// records, so it never says anything else than they do. Cheap to clone.
#[derive(Clone)]
pub struct Index {
    /// UUID to key.
    by_id: Tree<String>,
    /// UUID of a collection and of what is in it, to the key of the latter.
    children: Tree<String>,
}

impl Index {
    /// Opens the index, and writes it anew when records were made before there was one.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn open(store: &Store, records: &Tree<Artifact>) -> Result<Index, StoreError> {
        let index = Index {
            by_id: store.tree("artifact_ids")?,
            children: store.tree("artifact_children")?,
        };
        if index.by_id.len() != records.len() {
            index.rebuild(store, records)?;
        }
        Ok(index)
    }

    fn rebuild(&self, store: &Store, records: &Tree<Artifact>) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        for key in self.by_id.keys("")? {
            batch.remove(&self.by_id, &key);
        }
        for key in self.children.keys("")? {
            batch.remove(&self.children, &key);
        }
        for entry in records.iter() {
            self.add(&mut batch, &entry?.1)?;
        }
        store.apply(batch)
    }

    /// Adds the entries of a record to a batch. One that is moved to another collection is removed
    /// before.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn add(&self, batch: &mut Batch, artifact: &Artifact) -> Result<(), StoreError> {
        let at = key(&artifact.workspace, &artifact.alias);
        batch.put(&self.by_id, &artifact.id, &at)?;
        if let Some(parent) = &artifact.parent_id {
            batch.put(&self.children, &child_key(parent, &artifact.id), &at)?;
        }
        Ok(())
    }

    /// Adds the removal of the entries of a record to a batch.
    pub fn remove(&self, batch: &mut Batch, artifact: &Artifact) {
        batch.remove(&self.by_id, &artifact.id);
        if let Some(parent) = &artifact.parent_id {
            batch.remove(&self.children, &child_key(parent, &artifact.id));
        }
    }

    /// Adds taking everything out of a collection that goes to a batch; what is in it stays.
    ///
    /// # Errors
    /// The store failed.
    pub fn detach_children(
        &self,
        batch: &mut Batch,
        records: &Tree<Artifact>,
        collection: &str,
    ) -> Result<(), StoreError> {
        for (entry, at) in self.children.scan_prefix(&child_key(collection, ""))? {
            batch.remove(&self.children, &entry);
            if let Some(mut child) = records.get(&at)? {
                child.parent_id = None;
                batch.put(records, &at, &child)?;
            }
        }
        Ok(())
    }

    /// The key of the record of a UUID.
    ///
    /// # Errors
    /// The store failed.
    pub fn at(&self, id: &str) -> Result<Option<String>, StoreError> {
        self.by_id.get(id)
    }

    /// The keys of the records of what is in a collection.
    ///
    /// # Errors
    /// The store failed.
    pub fn children(&self, parent: &str) -> Result<Vec<String>, StoreError> {
        let found = self.children.scan_prefix(&child_key(parent, ""))?;
        Ok(found.into_iter().map(|(_, at)| at).collect())
    }
}

fn child_key(parent: &str, id: &str) -> String {
    format!("{parent}{SEPARATOR}{id}")
}
