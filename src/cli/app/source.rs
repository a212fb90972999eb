//! What is installed: a file, or a folder with a `manifest.yaml` (or `.json`) and files.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::AppError;
use crate::wire::{Map, Value};

/// Names under which a folder keeps its manifest.
const MANIFESTS: [&str; 3] = ["manifest.yaml", "manifest.yml", "manifest.json"];
/// Largest folder that is sent, in bytes; one message carries all of it.
const MAX_BYTES: u64 = 12 * 1024 * 1024;

/// An app as it is on disk.
pub(super) struct Source {
    pub source: Option<String>,
    pub manifest: Option<Json>,
    pub files: Vec<Json>,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> AppError + '_ {
    move |source| AppError::File {
        path: path.display().to_string(),
        source,
    }
}

/// Reads an app.
///
/// # Errors
/// A file cannot be read, or the manifest is none.
pub(super) fn read(path: &Path) -> Result<Source, AppError> {
    if path.is_dir() {
        return read_folder(path);
    }
    let source = std::fs::read_to_string(path).map_err(failed(path))?;
    Ok(Source {
        source: Some(source),
        manifest: None,
        files: Vec::new(),
    })
}

fn read_folder(folder: &Path) -> Result<Source, AppError> {
    let manifest_path = MANIFESTS
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            AppError::Usage(format!(
                "{} has no manifest.yaml: name, type and entry_point belong there",
                folder.display()
            ))
        })?;
    let manifest = manifest(&manifest_path)?;
    let mut paths = Vec::new();
    walk(folder, &mut paths)?;
    let mut size = 0;
    let mut files = Vec::new();
    for path in paths.into_iter().filter(|path| *path != manifest_path) {
        let bytes = std::fs::read(&path).map_err(failed(&path))?;
        size += bytes.len() as u64;
        if size > MAX_BYTES {
            return Err(AppError::Usage(format!(
                "{} holds more than {} MB; upload large files as artifacts",
                folder.display(),
                MAX_BYTES / 1024 / 1024
            )));
        }
        let name = path.strip_prefix(folder).unwrap_or(&path);
        files.push(file(&name.to_string_lossy(), bytes));
    }
    Ok(Source {
        source: None,
        manifest: Some(Json::Object(manifest)),
        files,
    })
}

/// Reads a manifest.
///
/// # Errors
/// Not readable, or no object.
pub(super) fn manifest(path: &Path) -> Result<JsonMap<String, Json>, AppError> {
    let text = std::fs::read_to_string(path).map_err(failed(path))?;
    // YAML holds JSON too.
    let parsed: Json = serde_saphyr::from_str(&text)
        .map_err(|error| AppError::Usage(format!("{}: {error}", path.display())))?;
    match parsed {
        Json::Object(fields) => Ok(fields),
        _ => Err(AppError::Usage(format!(
            "{} must be an object",
            path.display()
        ))),
    }
}

/// All files below a folder in a stable order; hidden ones and what tools leave behind stay out.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), AppError> {
    let entries = std::fs::read_dir(folder).map_err(failed(folder))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name == "node_modules" || name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn file(name: &str, bytes: Vec<u8>) -> Json {
    match String::from_utf8(bytes) {
        Ok(text) => json!({ "name": name, "content": text, "format": "text" }),
        Err(error) => {
            let packed = STANDARD.encode(error.as_bytes());
            json!({ "name": name, "content": packed, "format": "base64" })
        }
    }
}

impl Source {
    /// The arguments of `install`.
    pub fn arguments(self, overrides: JsonMap<String, Json>) -> Map {
        let mut kwargs = Map::new();
        if let Some(source) = self.source {
            kwargs.insert("source", source);
        }
        let mut manifest = match self.manifest {
            Some(Json::Object(fields)) => fields,
            _ => JsonMap::new(),
        };
        manifest.extend(overrides);
        if !manifest.is_empty() {
            kwargs.insert("manifest", Value::from_json(Json::Object(manifest)));
        }
        if !self.files.is_empty() {
            kwargs.insert("files", Value::from_json(Json::Array(self.files)));
        }
        kwargs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts_and_bytes_are_packed() {
        assert_eq!(file("a", b"x".to_vec())["format"], "text");
        assert_eq!(file("a", vec![0xff])["content"], "/w==");
    }
}
