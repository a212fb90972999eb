use serde::Serialize;
use sled::IVec;
use sled::transaction::{TransactionError, TransactionResult, Transactional, TransactionalTree};

use super::{StoreError, Tree};

/// Changes to any number of trees that take effect together or not at all.
///
/// Collected first and applied with [`super::Store::apply`]. A later change to the same key
/// replaces an earlier one.
#[derive(Debug, Default)]
pub struct Batch {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    tree: sled::Tree,
    changes: Vec<(IVec, Option<IVec>)>,
}

impl Batch {
    /// A batch without changes.
    pub fn new() -> Self {
        Batch::default()
    }

    /// Sets `key` of `tree` to `value`.
    pub fn put<T: Serialize>(
        &mut self,
        tree: &Tree<T>,
        key: &str,
        value: &T,
    ) -> Result<&mut Self, StoreError> {
        let value = tree.encode(key, value)?;
        self.change(tree, key, Some(value.into()));
        Ok(self)
    }

    /// Takes `key` out of `tree`; nothing happens when it is not there.
    pub fn remove<T>(&mut self, tree: &Tree<T>, key: &str) -> &mut Self {
        self.change(tree, key, None);
        self
    }

    /// Whether there is no change in it.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    fn change<T>(&mut self, tree: &Tree<T>, key: &str, value: Option<IVec>) {
        let engine = tree.engine();
        let change = (IVec::from(key), value);
        match self.part_of(engine) {
            Some(part) => part.changes.push(change),
            None => self.parts.push(Part {
                tree: engine.clone(),
                changes: vec![change],
            }),
        }
    }

    fn part_of(&mut self, tree: &sled::Tree) -> Option<&mut Part> {
        let name = tree.name();
        self.parts.iter_mut().find(|part| part.tree.name() == name)
    }

    pub(super) fn apply(self) -> Result<(), StoreError> {
        // The engine's multi-tree commit indexes the first tree and must not see an empty list.
        if self.parts.is_empty() {
            return Ok(());
        }
        let trees: Vec<&sled::Tree> = self.parts.iter().map(|part| &part.tree).collect();
        let outcome: TransactionResult<(), ()> =
            trees
                .as_slice()
                .transaction(|views: &Vec<TransactionalTree>| {
                    for (view, part) in views.iter().zip(&self.parts) {
                        for (key, value) in &part.changes {
                            match value {
                                Some(value) => view.insert(key.clone(), value.clone())?,
                                None => view.remove(key.clone())?,
                            };
                        }
                    }
                    Ok(())
                });
        outcome.map_err(|error| match error {
            TransactionError::Storage(error) => error.into(),
            TransactionError::Abort(()) => StoreError::Engine("transaction aborted".to_owned()),
        })
    }
}
