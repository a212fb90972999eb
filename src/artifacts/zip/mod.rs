//! Zip archives: many files as one download, and single members out of an archive that lies in the
//! storage. Neither makes temporary files, and neither holds more than a few pieces in memory.

mod format;
mod index;
mod member;
mod source;
mod write;

pub use index::{Listed, Member, Method, ZipIndex};
pub use member::{MemberStream, open};
pub use source::{Indexes, ZipError};
pub use write::{Entry, length, stream};

#[cfg(test)]
mod tests;
