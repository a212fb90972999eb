//! Documents for AI agents (http.md 11): what this server is, what it offers, and what a
//! workspace holds, as Markdown that is made per request for the one who asks. Descriptions of
//! services come from their method tables, so they say what the services do say.

mod archive;
mod book;
mod catalog;
mod facts;
mod guides;
mod index;
mod method;
mod missing;
mod stub;
mod templates;
mod text;

pub use book::{Book, Page, PageError};
pub use catalog::Catalog;
pub use facts::{Facts, WorkspaceFacts};

/// Name of the skill, in its index and front matter. Agents look for it.
const NAME: &str = "hypha";
/// Version of the documents: that of the program they describe.
const VERSION: &str = env!("CARGO_PKG_VERSION");
