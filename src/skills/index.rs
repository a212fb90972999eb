//! The index: which documents there are.

use serde_json::{Value as Json, json};

use super::book::{Book, slugs};
use super::guides::GUIDES;
use super::{NAME, VERSION};

/// Paths of all Markdown documents, the most important first; declarations are not among them.
pub fn files(book: &Book) -> Vec<String> {
    let mut files: Vec<String> = ["SKILL.md", "REFERENCE.md", "EXAMPLES.md"]
        .map(str::to_owned)
        .into();
    if !book.facts.global {
        files.push("WORKSPACE_CONTEXT.md".into());
    }
    files.extend(references(book));
    files.extend(guides());
    files
}

fn references(book: &Book) -> impl Iterator<Item = String> {
    let catalog = &book.catalog;
    let services = catalog.built_in.iter().chain(catalog.of_clients());
    services.map(|service| format!("REFERENCE/{}.md", service.slug))
}

fn guides() -> impl Iterator<Item = String> {
    GUIDES.iter().map(|guide| format!("GUIDE/{}", guide.file))
}

/// The index as JSON.
pub fn of(book: &Book) -> Json {
    let parts = slugs(book.catalog.built_in.iter());
    let missing: Vec<&str> = book.missing.iter().map(|part| part.slug).collect();
    let sources: Vec<String> = parts.iter().map(|slug| format!("SOURCE/{slug}")).collect();
    let mut index = json!({
        "name": NAME,
        "version": VERSION,
        "description": "How to use this Hypha server and its workspaces, for AI agents",
        "type": "workspace",
        "workspace": book.facts.workspace,
        "files": files(book),
        "reference_files": references(book).collect::<Vec<_>>(),
        "guide_files": guides().collect::<Vec<_>>(),
        "download": { "zip": "create-zip-file", "description": "All documents in one zip file" },
        "source_endpoints": sources,
        "enabled_services": parts,
        "missing_services": missing,
        "dynamic_services": slugs(book.catalog.of_clients()),
    });
    if book.facts.global {
        let pattern = format!("{}/{{workspace}}/agent-skills/", book.facts.base_url);
        index["type"] = "global".into();
        index["workspace_skills_pattern"] = pattern.into();
        if let Some(fields) = index.as_object_mut() {
            fields.remove("workspace");
        }
    }
    index
}
