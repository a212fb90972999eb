//! The texts of the documents, part of the program.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value as Json;
use tera::{Context, Tera};

use super::text;

macro_rules! texts {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../templates/skills/", $name)))),*]
    };
}

/// Every file of `templates/skills`, by name.
const TEXTS: [(&str, &str); 17] = texts![
    "connect.md",
    "front-matter.md",
    "services.md",
    "SKILL.md",
    "SKILL-global.md",
    "REFERENCE.md",
    "EXAMPLES.md",
    "WORKSPACE_CONTEXT.md",
    "service.md",
    "missing.md",
    "guide/services.md",
    "guide/auth.md",
    "guide/http.md",
    "guide/apps.md",
    "guide/workers.md",
    "guide/asgi-apps.md",
    "guide/serverless-functions.md",
];

/// All templates, parsed once. They do not change, so neither does whether they are right.
static PARSED: LazyLock<Result<Tera, String>> = LazyLock::new(|| parse().map_err(reason));

fn parse() -> tera::Result<Tera> {
    let mut tera = Tera::default();
    // A text that is included brings no line break along.
    let texts = TEXTS.map(|(name, text)| (name, text.trim_end()));
    tera.add_raw_templates(texts)?;
    tera.autoescape_on(Vec::new());
    tera.register_filter("inline", filter(text::inline));
    tera.register_filter("code", filter(text::code));
    tera.register_filter("quoted", filter(text::quoted));
    Ok(tera)
}

fn filter(
    change: fn(&str) -> String,
) -> impl Fn(&Json, &HashMap<String, Json>) -> tera::Result<Json> {
    move |value, _| {
        let given = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Ok(change(&given).into())
    }
}

/// Fills a template in.
///
/// # Errors
/// The template is wrong; the text says where.
pub fn render(name: &str, context: &Context) -> Result<String, String> {
    let templates = PARSED.as_ref().map_err(Clone::clone)?;
    templates
        .render(name, context)
        .map(|text| tidy(&text))
        .map_err(reason)
}

/// Leaves one blank line where conditions of a template left several.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = true;
    for line in text.lines() {
        let empty = line.trim().is_empty();
        if empty && blank {
            continue;
        }
        blank = empty;
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn reason(error: tera::Error) -> String {
    // The outer message names the template only; its causes say what is wrong.
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::skills::{Book, Catalog, Facts};

    #[test]
    fn every_text_is_in_use_and_none_is_forgotten() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/skills");
        for folder in [folder.to_owned(), format!("{folder}/guide")] {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let known = TEXTS.iter().any(|(text, _)| text.ends_with(&name));
                assert!(path.is_dir() || known, "{}", path.display());
            }
        }
        for guide in &crate::skills::guides::GUIDES {
            let name = format!("guide/{}", guide.file);
            assert!(TEXTS.iter().any(|(text, _)| *text == name), "{name}");
        }
    }

    #[test]
    fn a_server_without_parts_has_all_pages() {
        let catalog = Catalog {
            built_in: Vec::new(),
            own: Vec::new(),
            public: Vec::new(),
        };
        let book = Book::new(Facts::global(&Config::default()), catalog, None);
        for file in crate::skills::index::files(&book) {
            let page = book.document(&file).unwrap();
            assert!(page.ends_with('\n') && !page.contains("\n\n\n"), "{file}");
        }
    }

    #[test]
    fn blank_lines_do_not_pile_up() {
        assert_eq!(tidy("\n\na  \n\n\n\nb\n\n"), "a\n\nb\n");
    }
}
