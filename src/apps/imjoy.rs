//! Meaning of the XML app format: which elements become the manifest, which become files.

use serde_json::{Map, Value};

use super::files::{AppFile, FileError, FileFormat, make_file};
use super::xml::{Element, Node, Tag, parse};

/// Manifest fields that may hold one value per tag.
const CONFIGURABLE: [&str; 12] = [
    "env",
    "requirements",
    "dependencies",
    "icon",
    "ui",
    "type",
    "flags",
    "labels",
    "cover",
    "base_frame",
    "base_worker",
    "passive",
];

/// What is wrong with a source in the XML app format.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum XmlError {
    #[error("Unsupported config language: {0}")]
    Language(String),
    #[error("Invalid JSON in config: {0}")]
    Json(String),
    #[error("Invalid YAML in config: {0}")]
    Yaml(String),
    #[error("You must use 'tags' with configurable fields.")]
    TagsNeeded,
    #[error(transparent)]
    File(#[from] FileError),
}

/// An app taken apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct XmlApp {
    /// All config and manifest elements merged, tagged fields resolved.
    pub config: Map<String, Value>,
    /// The `<file>` and `<attachment>` elements, the scripts, and the sections beside them.
    pub files: Vec<AppFile>,
    /// Path of the script that is the code of the app; none when there is no script.
    pub script: Option<String>,
    /// Markup to be used as the source when there is no script.
    pub remainder: Option<String>,
}

/// Reads a whole source.
pub fn parse_xml_app(source: &str) -> Result<XmlApp, XmlError> {
    let nodes = parse(source);
    let mut app = XmlApp {
        config: merged_config(&nodes)?,
        ..XmlApp::default()
    };
    resolve_tagged_fields(&mut app.config)?;
    for element in elements(&nodes) {
        if let Some(file) = file_of(element)? {
            put(&mut app.files, file);
        }
    }
    let scripts = add_scripts(&mut app.files, &nodes);
    app.script = main_script(&app.config, &scripts);
    if app.script.is_none() {
        app.remainder = remainder(&nodes);
    } else if let Some(markup) = sections(&nodes) {
        put(&mut app.files, text_file("window.html", markup));
    }
    if let Some(docs) = section_text(&nodes, Tag::Docs) {
        put(&mut app.files, text_file("docs.md", docs));
    }
    Ok(app)
}

fn elements<'a, 'n>(nodes: &'n [Node<'a>]) -> impl Iterator<Item = &'n Element<'a>> {
    nodes.iter().filter_map(|node| match node {
        Node::Element(element) => Some(element),
        _ => None,
    })
}

/// Manifest elements first, then config elements, each kind in its order.
fn merged_config(nodes: &[Node<'_>]) -> Result<Map<String, Value>, XmlError> {
    let mut merged = Map::new();
    for tag in [Tag::Manifest, Tag::Config] {
        for element in elements(nodes).filter(|element| element.tag == tag) {
            merged.extend(read_config(element)?);
        }
    }
    Ok(merged)
}

fn read_config(element: &Element<'_>) -> Result<Map<String, Value>, XmlError> {
    let text = without_cdata(element.inner).trim();
    let language = element.attribute("lang").unwrap_or("json");
    if text.is_empty() {
        return Ok(Map::new());
    }
    match language.to_ascii_lowercase().as_str() {
        "json" => {
            let value = serde_json::from_str(text).map_err(|e| XmlError::Json(e.to_string()))?;
            object(value).ok_or_else(|| XmlError::Json("expected an object".to_owned()))
        }
        "yaml" | "yml" => {
            // Only the indentation shared by all lines may go: it is part of the format.
            let text = dedent(without_cdata(element.inner));
            let value = serde_saphyr::from_str(&text).map_err(|e| XmlError::Yaml(e.to_string()))?;
            object(value).ok_or_else(|| XmlError::Yaml("expected a mapping".to_owned()))
        }
        _ => Err(XmlError::Language(language.to_owned())),
    }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// Replaces a field that has one value per tag by the value of the first tag.
fn resolve_tagged_fields(config: &mut Map<String, Value>) -> Result<(), XmlError> {
    let tag = first_tag(config).map(str::to_owned);
    for field in CONFIGURABLE {
        let Some(Value::Object(choices)) = config.get(field) else {
            continue;
        };
        let chosen = tag.as_ref().and_then(|tag| choices.get(tag)).cloned();
        match chosen {
            Some(value) => {
                config.insert(field.to_owned(), value);
            }
            // A plain mapping of environment variables is no choice between tags.
            None if field == "env" => {}
            None if tag.is_none() => return Err(XmlError::TagsNeeded),
            None => {
                config.remove(field);
            }
        }
    }
    Ok(())
}

fn first_tag(config: &Map<String, Value>) -> Option<&str> {
    config.get("tags")?.as_array()?.first()?.as_str()
}

fn file_of(element: &Element<'_>) -> Result<Option<AppFile>, XmlError> {
    if !matches!(element.tag, Tag::File | Tag::Attachment) {
        return Ok(None);
    }
    let name = element.attribute("name").or(element.attribute("path"));
    let Some(name) = name.filter(|name| !name.trim().is_empty()) else {
        if element.tag == Tag::Attachment {
            return Ok(None);
        }
        return Err(FileError::Nameless(format!("{:?}", element.attributes)).into());
    };
    let format = FileFormat::choose(element.attribute("format"), element.attribute("type"), name)?;
    let format = format.unwrap_or(FileFormat::Text);
    let text = without_cdata(element.inner).trim().to_owned();
    Ok(Some(make_file(name, format, Value::String(text).into())?))
}

/// A script that became a file.
struct Script {
    path: String,
    tag: Option<String>,
}

/// Adds every script with text under a free name: `main.js`, then `main-2.js` and so on.
fn add_scripts(files: &mut Vec<AppFile>, nodes: &[Node<'_>]) -> Vec<Script> {
    let mut scripts = Vec::new();
    for element in elements(nodes).filter(|element| element.tag == Tag::Script) {
        let language = element.attribute("lang").unwrap_or("javascript");
        let extension = match language.to_ascii_lowercase().as_str() {
            "python" | "py" => "py",
            "javascript" | "js" => "js",
            _ => "txt",
        };
        let text = without_cdata(element.inner);
        let code = match extension {
            "py" => dedent(text).trim().to_owned(),
            _ => text.trim().to_owned(),
        };
        if code.is_empty() {
            continue;
        }
        let path = free_name(files, extension);
        scripts.push(Script {
            path: path.clone(),
            tag: element.attribute("tag").map(str::to_owned),
        });
        files.push(text_file(&path, code));
    }
    scripts
}

fn free_name(files: &[AppFile], extension: &str) -> String {
    let taken = |name: &str| files.iter().any(|file| file.path == name);
    let mut name = format!("main.{extension}");
    let mut number = 1;
    while taken(&name) {
        number += 1;
        name = format!("main-{number}.{extension}");
    }
    name
}

/// The script whose tag is the first of the config's tags, else the first script.
fn main_script(config: &Map<String, Value>, scripts: &[Script]) -> Option<String> {
    let wanted = first_tag(config);
    let tagged = |script: &&Script| wanted.is_some() && script.tag.as_deref() == wanted;
    let chosen = scripts.iter().find(tagged).or(scripts.first());
    chosen.map(|script| script.path.clone())
}

/// Markup outside the format's own elements; window contents are unwrapped, styles and links stay.
fn remainder(nodes: &[Node<'_>]) -> Option<String> {
    let mut markup = String::new();
    let mut meaningful = false;
    for node in nodes {
        let (piece, counts) = match node {
            Node::Text(text) => (*text, true),
            Node::Comment(text) => (*text, false),
            Node::Element(e) if e.tag == Tag::Window => (e.inner, true),
            Node::Element(e) if matches!(e.tag, Tag::Style | Tag::Link) => (e.outer, false),
            // A script without text refers to a file elsewhere and belongs to the page.
            Node::Element(e) if e.tag == Tag::Script => (e.outer, false),
            Node::Element(_) => continue,
        };
        meaningful |= counts && !piece.trim().is_empty();
        markup.push_str(piece);
    }
    meaningful.then(|| squeeze(&markup))
}

/// Window, style and link elements of an app that also has a script.
fn sections(nodes: &[Node<'_>]) -> Option<String> {
    let parts: Vec<&str> = elements(nodes)
        .filter_map(|element| match element.tag {
            Tag::Window => Some(element.inner.trim()),
            Tag::Style | Tag::Link => Some(element.outer.trim()),
            _ => None,
        })
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join("\n"))
}

fn section_text(nodes: &[Node<'_>], tag: Tag) -> Option<String> {
    let parts: Vec<&str> = elements(nodes)
        .filter(|element| element.tag == tag)
        .map(|element| element.inner.trim())
        .filter(|text| !text.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn text_file(path: &str, text: String) -> AppFile {
    AppFile {
        path: path.to_owned(),
        content: text.into(),
    }
}

/// A later file replaces an earlier one of the same path.
fn put(files: &mut Vec<AppFile>, file: AppFile) {
    match files.iter_mut().find(|known| known.path == file.path) {
        Some(known) => *known = file,
        None => files.push(file),
    }
}

fn without_cdata(text: &str) -> &str {
    let inner = text.trim().strip_prefix("<![CDATA[");
    inner.and_then(|t| t.strip_suffix("]]>")).unwrap_or(text)
}

fn squeeze(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// Removes the indentation all lines share; what follows the opening tag on its own line does not count.
pub(super) fn dedent(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or("");
    let rest: Vec<&str> = lines.collect();
    let full = rest.iter().filter(|line| !line.trim().is_empty());
    let mut common: Option<&str> = (!first.trim().is_empty()).then(|| &first[..indent(first)]);
    for line in full {
        let own = &line[..indent(line)];
        let shared = common.map_or(own, |c| shared_prefix(c, own));
        common = Some(shared);
    }
    let common = common.unwrap_or("");
    let strip = |line: &str| line.strip_prefix(common).unwrap_or("").to_owned();
    let all = std::iter::once(first).chain(rest);
    all.map(strip).collect::<Vec<_>>().join("\n")
}

fn shared_prefix<'a>(a: &'a str, b: &str) -> &'a str {
    let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    &a[..same]
}

#[cfg(test)]
#[path = "imjoy_tests.rs"]
mod tests;
