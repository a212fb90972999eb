//! Means to count and to measure, for rooms that have something to report.

mod histogram;
pub mod machine;

pub use histogram::{Histogram, Reading};
