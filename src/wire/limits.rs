/// Bounds on what a decoder accepts from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Containers inside containers; a plain map has depth 1.
    pub max_depth: usize,
    /// All MessagePack objects of one value, map keys included.
    pub max_items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_depth: 64,
            max_items: 1_000_000,
        }
    }
}
