//! How many values of a kind are alive, told by tokens that they carry.

use std::sync::Arc;

/// See the module's text.
#[derive(Clone, Default)]
pub struct Census(Arc<()>);

/// Being counted; dropped with the value that carries it.
pub struct Counted(#[allow(dead_code, reason = "held for its count")] Arc<()>);

impl Census {
    /// One more, until the token is dropped.
    pub fn enter(&self) -> Counted {
        Counted(self.0.clone())
    }

    /// How many tokens are alive.
    pub fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_alive() {
        let census = Census::default();
        let (one, two) = (census.enter(), census.enter());
        assert_eq!(census.count(), 2);
        drop(one);
        assert_eq!(census.count(), 1);
        drop(two);
        assert_eq!(census.count(), 0);
    }
}
