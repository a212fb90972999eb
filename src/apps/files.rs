//! The list of files given to `install`, and the paths files may have.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::Value as Json;

use crate::wire::Value;

/// Longest accepted path in bytes.
const MAX_PATH: usize = 1024;

/// What is wrong with a file of an app.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("Files must be a list of objects, got {0}")]
    NotAList(&'static str),
    #[error("File {0} must have 'name' or 'path' field")]
    Nameless(String),
    #[error(
        "Unsupported file format '{format}' for file {path}. Must be 'text', 'json', or 'base64'"
    )]
    Format { format: String, path: String },
    #[error("Failed to decode base64 content for file {path}: {cause}")]
    Base64 { path: String, cause: String },
    #[error("Failed to process JSON content for file {path}: {cause}")]
    Json { path: String, cause: String },
    #[error("Content of file {path} must be text or bytes, got {kind}")]
    Content { path: String, kind: &'static str },
    #[error("Invalid file path '{path}': {reason}")]
    Path { path: String, reason: &'static str },
}

impl FileError {
    /// Exception class under which clients see this error.
    pub fn class(&self) -> &'static str {
        match self {
            Self::NotAList(_) | Self::Nameless(_) | Self::Path { .. } => "ValueError",
            _ => "Exception",
        }
    }
}

/// A file ready to be stored: a safe relative path and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFile {
    pub path: String,
    pub content: Bytes,
}

/// How the content of a file is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    Text,
    Json,
    Base64,
}

impl FileFormat {
    /// Reads a format name; the path only serves the error.
    pub fn parse(name: &str, path: &str) -> Result<Self, FileError> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "base64" => Ok(Self::Base64),
            _ => Err(FileError::Format {
                format: name.to_owned(),
                path: path.to_owned(),
            }),
        }
    }

    /// The format under its own key, else under `type` when that names a format: other tools use the key
    /// `type` for other things.
    pub fn choose(
        format: Option<&str>,
        kind: Option<&str>,
        path: &str,
    ) -> Result<Option<Self>, FileError> {
        match format {
            Some(name) => Self::parse(name, path).map(Some),
            None => Ok(kind.and_then(|name| Self::parse(name, path).ok())),
        }
    }
}

/// Content as it arrives, before its format is applied.
#[derive(Debug, Clone, PartialEq)]
pub enum RawContent {
    Bytes(Bytes),
    Json(Json),
}

impl From<Json> for RawContent {
    fn from(value: Json) -> Self {
        Self::Json(value)
    }
}

impl From<&Value> for RawContent {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bin(bytes) => Self::Bytes(bytes.clone()),
            other => Self::Json(other.to_json()),
        }
    }
}

/// Checks and decodes the `files` argument. A later file replaces an earlier one of the same path.
pub fn normalise_files(files: &Value) -> Result<Vec<AppFile>, FileError> {
    let entries = match files {
        Value::Nil => return Ok(Vec::new()),
        Value::Array(entries) => entries,
        other => return Err(FileError::NotAList(other.type_name())),
    };
    let mut order: Vec<AppFile> = Vec::with_capacity(entries.len());
    let mut places = std::collections::HashMap::new();
    for entry in entries {
        let file = normalise_file(entry)?;
        match places.get(&file.path) {
            Some(&place) => order[place] = file,
            None => {
                places.insert(file.path.clone(), order.len());
                order.push(file);
            }
        }
    }
    Ok(order)
}

/// The file that an edit puts in: text, bytes, or a dict or list as JSON, unless a format says
/// otherwise.
pub fn edited_file(
    path: &str,
    format: Option<&str>,
    content: &Value,
) -> Result<AppFile, FileError> {
    let format = match format {
        Some(name) => FileFormat::parse(name, path)?,
        None => implied_format(content),
    };
    make_file(path, format, content.into())
}

fn implied_format(content: &Value) -> FileFormat {
    match content {
        Value::Map(_) | Value::Array(_) => FileFormat::Json,
        _ => FileFormat::Text,
    }
}

fn normalise_file(entry: &Value) -> Result<AppFile, FileError> {
    if entry.as_map().is_none() {
        return Err(FileError::NotAList(entry.type_name()));
    }
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let named = |key: &str| text(key).filter(|name| !name.trim().is_empty());
    let path = named("path").or_else(|| named("name"));
    let path = path.ok_or_else(|| FileError::Nameless(shortened(entry)))?;
    let content = entry.get("content").unwrap_or(&Value::Nil);
    let format = FileFormat::choose(text("format"), text("type"), path)?
        .unwrap_or_else(|| implied_format(content));
    make_file(path, format, content.into())
}

/// Decodes one file.
pub fn make_file(
    path: &str,
    format: FileFormat,
    content: RawContent,
) -> Result<AppFile, FileError> {
    let path = safe_path(path)?;
    let content = match format {
        FileFormat::Text => text_bytes(&path, content)?,
        FileFormat::Json => json_bytes(&path, content)?,
        FileFormat::Base64 => base64_bytes(&path, content)?,
    };
    Ok(AppFile { path, content })
}

fn text_bytes(path: &str, content: RawContent) -> Result<Bytes, FileError> {
    match content {
        RawContent::Bytes(bytes) => Ok(bytes),
        RawContent::Json(Json::String(text)) => Ok(text.into()),
        RawContent::Json(other) => Err(wrong_content(path, &other)),
    }
}

fn json_bytes(path: &str, content: RawContent) -> Result<Bytes, FileError> {
    let failed = |cause: serde_json::Error| FileError::Json {
        path: path.to_owned(),
        cause: cause.to_string(),
    };
    match content {
        RawContent::Json(Json::Null) => Err(wrong_content(path, &Json::Null)),
        RawContent::Json(Json::String(text)) => {
            serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(failed)?;
            Ok(text.into())
        }
        RawContent::Json(value) => {
            let pretty = serde_json::to_vec_pretty(&value).map_err(failed)?;
            Ok(pretty.into())
        }
        RawContent::Bytes(bytes) => {
            serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(failed)?;
            Ok(bytes)
        }
    }
}

fn base64_bytes(path: &str, content: RawContent) -> Result<Bytes, FileError> {
    let failed = |cause: String| FileError::Base64 {
        path: path.to_owned(),
        cause,
    };
    let text = match &content {
        RawContent::Json(Json::String(text)) => text.as_str(),
        RawContent::Bytes(bytes) => {
            std::str::from_utf8(bytes).map_err(|error| failed(error.to_string()))?
        }
        RawContent::Json(other) => return Err(wrong_content(path, other)),
    };
    let payload = data_url_payload(text.trim()).map_err(|cause| failed(cause.to_owned()))?;
    let decoded = strict_base64().decode(&*without_blanks(payload));
    decoded
        .map(Bytes::from)
        .map_err(|error| failed(error.to_string()))
}

/// Padding is required: text that was cut off on the way must not pass for a file.
fn strict_base64() -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&alphabet::STANDARD, config)
}

fn data_url_payload(text: &str) -> Result<&str, &'static str> {
    let Some(rest) = text.strip_prefix("data:") else {
        return Ok(text);
    };
    let (kind, payload) = rest.split_once(',').ok_or("data URL without a comma")?;
    if !kind.ends_with(";base64") {
        return Err("data URL is not marked as base64");
    }
    Ok(payload)
}

fn without_blanks(text: &str) -> Cow<'_, str> {
    if text.contains(|c: char| c.is_ascii_whitespace()) {
        Cow::Owned(text.split_ascii_whitespace().collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn wrong_content(path: &str, content: &Json) -> FileError {
    let kind = match content {
        Json::Null => "None",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "str",
        Json::Array(_) => "list",
        Json::Object(_) => "dict",
    };
    FileError::Content {
        path: path.to_owned(),
        kind,
    }
}

/// A file entry for an error text, long contents cut.
fn shortened(entry: &Value) -> String {
    let text = entry.to_json().to_string();
    let end = text.floor_char_boundary(200);
    match text.len() {
        length if length > end => format!("{}...", &text[..end]),
        _ => text,
    }
}

/// Brings a relative path into its one form, or refuses what could leave the app's folder.
///
/// `./a//b` becomes `a/b`; `..`, absolute paths, backslashes, NUL and other control characters are refused.
pub fn safe_path(path: &str) -> Result<String, FileError> {
    let refuse = |reason| FileError::Path {
        path: path.chars().take(200).collect(),
        reason,
    };
    if path.len() > MAX_PATH {
        return Err(refuse("it is too long"));
    }
    if path.starts_with('/') {
        return Err(refuse("it must be relative"));
    }
    if path.contains('\\') {
        return Err(refuse("it must not contain a backslash"));
    }
    if path.contains(char::is_control) {
        return Err(refuse("it must not contain control characters"));
    }
    if path.ends_with('/') {
        return Err(refuse("it names a folder"));
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(refuse("it must not contain '..'"));
    }
    if parts.is_empty() {
        return Err(refuse("it is empty"));
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
