//! What the `source` argument of `install` is, and what it turns into.

use serde_json::{Map, Value, json};
use url::{Host, Url};

use super::files::AppFile;
use super::imjoy::{XmlError, parse_xml_app};

/// Path of plain code when the manifest names no entry point.
const DEFAULT_ENTRY_POINT: &str = "source";

/// Why a source was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SourceError {
    #[error("Only secured https urls are allowed: {0}")]
    InsecureUrl(String),
    #[error("Invalid source url: {0}")]
    InvalidUrl(String),
    #[error("Source is required for apps of type 'hypha'")]
    Missing,
    #[error("Invalid entry point '{0}' for the given source")]
    EntryPoint(String),
    #[error(transparent)]
    Xml(#[from] XmlError),
}

impl SourceError {
    /// Exception class under which clients see this error.
    pub fn class(&self) -> &'static str {
        match self {
            Self::InsecureUrl(_) => "Exception",
            Self::Xml(XmlError::File(error)) => error.class(),
            _ => "ValueError",
        }
    }
}

/// Manifest and files an install goes on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    pub manifest: Map<String, Value>,
    /// Files made from the source, then the given ones that do not share a path with them.
    pub files: Vec<AppFile>,
}

/// Result of the decision tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Ready(Resolved),
    /// The caller must fetch this and hand the text to [`Download::complete`].
    Download(Download),
}

/// A source that lives elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Download {
    pub url: Url,
    manifest: Map<String, Value>,
    files: Vec<AppFile>,
}

impl Download {
    /// Goes on with the downloaded text, which is never itself taken for a URL.
    pub fn complete(self, text: &str) -> Result<Resolved, SourceError> {
        let mut manifest = self.manifest;
        if !is_template(&self.url) && manifest.get("entry_point").is_none_or(Value::is_null) {
            let name = last_segment(&self.url);
            manifest.insert("entry_point".to_owned(), name.into());
        }
        resolve_text(text, manifest, self.files)
    }
}

/// The manifest of an install that gives none.
pub fn default_manifest() -> Map<String, Value> {
    let fields = [
        ("name", "Untitled App"),
        ("version", "0.1.0"),
        ("type", "hypha"),
    ];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), json!(value));
    fields.into_iter().map(owned).collect()
}

/// Runs the decision tree over a source, a manifest and the files given beside it.
pub fn resolve_source(
    source: Option<&str>,
    manifest: Option<Map<String, Value>>,
    files: Vec<AppFile>,
) -> Result<Outcome, SourceError> {
    let mut manifest = manifest.unwrap_or_else(default_manifest);
    let source = source.filter(|text| !text.trim().is_empty());
    let Some(source) = source else {
        if app_type(&manifest) == Some("hypha") {
            return Err(SourceError::Missing);
        }
        return Ok(Outcome::Ready(Resolved { manifest, files }));
    };
    if !is_url(source) {
        return resolve_text(source, manifest, files).map(Outcome::Ready);
    }
    let url = checked_url(source.trim())?;
    if app_type(&manifest) == Some("web-app") {
        manifest.insert("entry_point".to_owned(), source.trim().into());
        return Ok(Outcome::Ready(Resolved { manifest, files }));
    }
    Ok(Outcome::Download(Download {
        url,
        manifest,
        files,
    }))
}

fn resolve_text(
    source: &str,
    manifest: Map<String, Value>,
    files: Vec<AppFile>,
) -> Result<Resolved, SourceError> {
    let mut resolved = match kind_of(source) {
        Kind::Html => raw_html(source, manifest),
        Kind::Xml => xml_app(source, manifest)?,
        Kind::Code => plain_code(source, manifest)?,
    };
    // The real type comes from the config; without one, code of the collective type is a window.
    if app_type(&resolved.manifest) == Some("hypha") {
        set(&mut resolved.manifest, "type", "window");
    }
    for file in files {
        if resolved.files.iter().all(|own| own.path != file.path) {
            resolved.files.push(file);
        }
    }
    Ok(resolved)
}

enum Kind {
    Html,
    Xml,
    Code,
}

/// Looks at the beginning, past blanks, a byte order mark and comments.
fn kind_of(source: &str) -> Kind {
    let mut rest = source.trim_start_matches('\u{feff}').trim_start();
    while let Some(comment) = rest.strip_prefix("<!--") {
        match comment.split_once("-->") {
            Some((_, after)) => rest = after.trim_start(),
            None => break,
        }
    }
    if is_raw_html(rest) {
        Kind::Html
    } else if rest.starts_with('<') {
        Kind::Xml
    } else {
        Kind::Code
    }
}

/// Whether a text is a whole HTML page rather than the XML app format.
pub fn is_raw_html(source: &str) -> bool {
    let rest = source.trim_start_matches('\u{feff}').trim_start();
    let begins = |prefix: &str| {
        let head = rest.get(..prefix.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    begins("<!doctype html") || (begins("<html") && !rest[5..].starts_with(char::is_alphanumeric))
}

fn raw_html(source: &str, mut manifest: Map<String, Value>) -> Resolved {
    if manifest.get("name").is_none_or(is_blank) {
        set(&mut manifest, "name", "Raw HTML App");
    }
    set(&mut manifest, "entry_point", "index.html");
    let files = vec![AppFile {
        path: "index.html".to_owned(),
        content: source.to_owned().into(),
    }];
    Resolved { manifest, files }
}

fn xml_app(source: &str, mut manifest: Map<String, Value>) -> Result<Resolved, SourceError> {
    let app = parse_xml_app(source)?;
    manifest.extend(app.config);
    let mut files = app.files;
    let entry_point = entry_point(&manifest);
    let listed = files
        .iter()
        .any(|file| Some(&file.path) == entry_point.as_ref());
    if let Some(markup) = app.remainder {
        let path = code_path(&manifest)?;
        set(&mut manifest, "entry_point", &path);
        files.push(AppFile {
            path,
            content: markup.into(),
        });
    } else if let Some(script) = app.script
        && !listed
    {
        set(&mut manifest, "entry_point", &script);
    }
    Ok(Resolved { manifest, files })
}

fn plain_code(source: &str, mut manifest: Map<String, Value>) -> Result<Resolved, SourceError> {
    let path = code_path(&manifest)?;
    set(&mut manifest, "entry_point", &path);
    let files = vec![AppFile {
        path,
        content: source.to_owned().into(),
    }];
    Ok(Resolved { manifest, files })
}

/// Where code without a name of its own is stored.
fn code_path(manifest: &Map<String, Value>) -> Result<String, SourceError> {
    let path = entry_point(manifest).unwrap_or_else(|| DEFAULT_ENTRY_POINT.to_owned());
    super::files::safe_path(&path).map_err(|_| SourceError::EntryPoint(path))
}

fn entry_point(manifest: &Map<String, Value>) -> Option<String> {
    let given = manifest.get("entry_point")?.as_str()?;
    (!given.is_empty()).then(|| given.to_owned())
}

fn app_type(manifest: &Map<String, Value>) -> Option<&str> {
    manifest.get("type").and_then(Value::as_str)
}

fn set(manifest: &mut Map<String, Value>, key: &str, value: &str) {
    manifest.insert(key.to_owned(), value.into());
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// A URL is a single word with a web scheme; code may well begin with `http`.
fn is_url(source: &str) -> bool {
    let word = source.trim();
    let begins = |prefix: &str| {
        let head = word.get(..prefix.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    (begins("http://") || begins("https://")) && !word.contains(char::is_whitespace)
}

/// Checks a URL before anything is fetched from it.
pub fn checked_url(text: &str) -> Result<Url, SourceError> {
    let url = Url::parse(text).map_err(|_| SourceError::InvalidUrl(text.to_owned()))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local(&url) => Ok(url),
        _ => Err(SourceError::InsecureUrl(text.to_owned())),
    }
}

/// Whether a URL leads to this machine, by the two names that are allowed without encryption.
pub fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address == std::net::Ipv4Addr::LOCALHOST,
        _ => false,
    }
}

/// Files in the XML app format are known by their double extension; the query does not count.
fn is_template(url: &Url) -> bool {
    let path = url.path();
    path.ends_with(".imjoy.html") || path.ends_with(".hypha.html")
}

fn last_segment(url: &Url) -> String {
    let segments = url.path_segments();
    let last = segments.and_then(|mut all| all.rfind(|part| !part.is_empty()));
    last.unwrap_or(DEFAULT_ENTRY_POINT).to_owned()
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
