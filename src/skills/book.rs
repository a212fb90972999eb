//! All documents about one workspace for one caller, by their path.

use serde_json::Value as Json;
use tera::Context;
use thiserror::Error;

use super::archive;
use super::catalog::{Catalog, ServiceDoc};
use super::facts::{Facts, WorkspaceFacts};
use super::guides::{GUIDES, guide};
use super::index;
use super::missing::{Missing, missing};
use super::stub;
use super::templates::render;

/// Names of the document with all the others in it.
const ARCHIVES: [&str; 3] = ["create-zip-file", "download.zip", "skills.zip"];

/// What is found under a path.
#[derive(Debug)]
pub enum Page {
    Markdown(String),
    Index(Json),
    /// A zip file, and its name.
    Archive {
        name: String,
        bytes: Vec<u8>,
    },
}

/// Why there is no document.
#[derive(Debug, Error)]
pub enum PageError {
    #[error("File not found: {0}")]
    NoFile(String),
    #[error("Guide not found: {0}")]
    NoGuide(String),
    #[error("Service not found or not enabled: {slug}. Available services: {available}")]
    NoService { slug: String, available: String },
    #[error("Unknown service: {slug}. Available services: {available}")]
    NoSource { slug: String, available: String },
    #[error("Method not found: {0}")]
    NoMethod(String),
    #[error("a document's template is wrong: {0}")]
    Template(String),
    #[error("the zip file cannot be made: {0}")]
    Archive(#[from] zip::result::ZipError),
}

/// See the module's text.
pub struct Book {
    pub(super) facts: Facts,
    pub(super) catalog: Catalog,
    pub(super) missing: Vec<Missing>,
    context: Context,
}

impl Book {
    /// Puts together what the documents are made from. The workspace's own facts are left out
    /// for the book of the server as a whole.
    pub fn new(facts: Facts, catalog: Catalog, workspace: Option<&WorkspaceFacts>) -> Self {
        let missing = missing(&catalog);
        let mut context = Context::new();
        context.insert("facts", &facts);
        context.insert("base_url", &facts.base_url);
        context.insert("workspace", &facts.workspace);
        context.insert("built_in", &catalog.built_in);
        context.insert("own", &catalog.own);
        context.insert("public", &catalog.public);
        context.insert("documented", &slugs(catalog.of_clients()));
        context.insert("missing", &missing);
        context.insert("guides", &GUIDES);
        let parts = slugs(catalog.built_in.iter());
        context.insert("parts", &parts);
        if let Some(info) = workspace {
            context.insert("info", info);
        }
        Book {
            facts,
            catalog,
            missing,
            context,
        }
    }

    /// The document under a path, as it stands in the index.
    ///
    /// # Errors
    /// There is none.
    pub fn page(&self, path: &str) -> Result<Page, PageError> {
        match path {
            "" | "index" | "index.html" => Ok(Page::Index(index::of(self))),
            path if ARCHIVES.contains(&path) => archive::of(self),
            path => self.document(path).map(Page::Markdown),
        }
    }

    /// The Markdown under a path.
    pub(super) fn document(&self, path: &str) -> Result<String, PageError> {
        let no_file = || PageError::NoFile(path.to_owned());
        let markdown = |name: &str| self.fill(name, &self.context);
        match path {
            "SKILL.md" if self.facts.global => markdown("SKILL-global.md"),
            "WORKSPACE_CONTEXT.md" if self.facts.global => Err(no_file()),
            "SKILL.md" | "REFERENCE.md" | "EXAMPLES.md" | "WORKSPACE_CONTEXT.md" => markdown(path),
            _ => {
                let (folder, name) = path.split_once('/').ok_or_else(no_file)?;
                match (folder, name.strip_suffix(".md")) {
                    ("REFERENCE", Some(slug)) => self.reference(slug),
                    ("GUIDE", Some(_)) => match guide(name) {
                        Some(guide) => markdown(&format!("guide/{}", guide.file)),
                        None => Err(PageError::NoGuide(name.to_owned())),
                    },
                    ("SOURCE", _) => self.source(name),
                    _ => Err(no_file()),
                }
            }
        }
    }

    fn fill(&self, template: &str, context: &Context) -> Result<String, PageError> {
        render(template, context).map_err(PageError::Template)
    }

    fn reference(&self, slug: &str) -> Result<String, PageError> {
        let mut context = self.context.clone();
        if let Some(service) = self.catalog.documented(slug) {
            context.insert("service", service);
            return self.fill("service.md", &context);
        }
        if let Some(part) = self.missing.iter().find(|part| part.slug == slug) {
            context.insert("part", part);
            return self.fill("missing.md", &context);
        }
        let known = self
            .catalog
            .built_in
            .iter()
            .chain(self.catalog.of_clients());
        Err(PageError::NoService {
            slug: slug.to_owned(),
            available: slugs(known).join(", "),
        })
    }

    /// Declarations: the list of a service's functions, or one function.
    fn source(&self, name: &str) -> Result<String, PageError> {
        let (slug, method) = match name.split_once('/') {
            Some((slug, method)) => (slug, Some(method)),
            None => (name, None),
        };
        let parts = &self.catalog.built_in;
        let Some(service) = parts.iter().find(|part| part.slug == slug) else {
            return Err(PageError::NoSource {
                slug: slug.to_owned(),
                available: slugs(parts.iter()).join(", "),
            });
        };
        let class = stub::class_name(&service.name);
        let Some(name) = method else {
            return Ok(listing(service, &class));
        };
        let path = format!("{class}.{name}");
        let found = service.methods.iter().find(|method| method.name == name);
        match found.and_then(stub::function) {
            Some(code) => Ok(format!(
                "# Source Code Reference: {path}\n\n{ABOUT_SOURCE}\n\n```python\n{code}```\n"
            )),
            None => Err(PageError::NoMethod(path)),
        }
    }
}

/// What to expect where others have their source.
const ABOUT_SOURCE: &str = "The server is a compiled program, there is no Python behind this \
    function. What follows is its declaration, generated from the method table that the server \
    answers calls with.";

fn listing(service: &ServiceDoc, class: &str) -> String {
    let slug = &service.slug;
    let methods: Vec<String> = service
        .methods
        .iter()
        .map(|method| format!("- `{0}`: SOURCE/{slug}/{0}", method.name))
        .collect();
    format!(
        "# Source Code Reference: {class}\n\n**Service:** `{}`\n\n{ABOUT_SOURCE}\n\n\
         ## Available Methods\n\n{}\n",
        service.address,
        methods.join("\n")
    )
}

pub(super) fn slugs<'a>(services: impl Iterator<Item = &'a ServiceDoc>) -> Vec<&'a str> {
    services.map(|service| &*service.slug).collect()
}
