//! Parts that programs written for the reference expect and this server does not have yet. They
//! have a page that says so: an agent that knows them from elsewhere would look for them in vain.

use serde::Serialize;

use super::catalog::Catalog;

/// A part that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Missing {
    pub slug: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    /// Names under which programs call it.
    pub methods: &'static [&'static str],
}

static KNOWN: [Missing; 1] = [Missing {
    slug: "artifact-manager",
    name: "Artifact Manager",
    description: "Named, versioned collections of files with a manifest.",
    methods: &[
        "create",
        "read",
        "edit",
        "commit",
        "discard",
        "delete",
        "duplicate",
        "list",
        "search",
        "list_files",
        "put_file",
        "get_file",
        "read_file",
        "write_file",
        "remove_file",
    ],
}];

/// What is missing on a server that has the parts of `catalog`.
pub fn missing(catalog: &Catalog) -> Vec<Missing> {
    KNOWN
        .iter()
        .filter(|part| !catalog.offers(part.slug))
        .copied()
        .collect()
}
