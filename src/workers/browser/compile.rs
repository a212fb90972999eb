//! From the files of an app to those that its page consists of.

use std::path::Path;

use bytes::Bytes;
use serde_json::{Map, Value, json};

pub use crate::apps::files::AppFile;

use super::error::CompileError;
use super::pool::{PageKind, PageStart};
use super::templates::{PageParts, Templates};

/// The app types that this worker runs.
pub const SUPPORTED_TYPES: [&str; 7] = [
    "web-worker",
    "web-python",
    "window",
    "iframe",
    "hypha",
    "web-app",
    "custom-html",
];

/// Where the page of an app is found after compiling.
pub(super) const PAGE: &str = "index.html";
/// The title of an app without a name.
pub(super) const UNTITLED: &str = "Untitled App";
/// Markup of the format's own elements, for the body of the page beside the script.
const BODY: &str = "window.html";
/// Where its source is kept when it was given under the page's own name.
const SOURCE: &str = "source";

/// The parts of the manifest that the page itself gets to see.
const CONFIG_KEYS: [&str; 16] = [
    "name",
    "description",
    "source_hash",
    "version",
    "format_version",
    "type",
    "tags",
    "icon",
    "requirements",
    "env",
    "defaults",
    "flags",
    "inputs",
    "outputs",
    "dependencies",
    "required_artifact_files",
];

/// Stands in every page that is made from a template, and in no other.
pub const TEMPLATE_MARK: &str = "id=\"rhizome-app\"";

/// Turns sources into pages.
pub struct Compiler {
    templates: Templates,
}

impl Compiler {
    /// A compiler with the built-in templates, overruled by those in a directory.
    pub fn new(overrides: Option<&Path>) -> Result<Self, CompileError> {
        Ok(Self {
            templates: Templates::new(overrides)?,
        })
    }

    /// How an app may start, by its manifest and the page it was compiled to.
    pub fn start_of(
        &self,
        app_type: &str,
        manifest: &Map<String, Value>,
        page: Option<&[u8]>,
    ) -> PageStart {
        PageStart::of(&self.templates, app_type, manifest, page)
    }

    /// The pages that wait for an app, by kind.
    pub fn waiting_pages(&self) -> Result<Vec<(PageKind, String)>, CompileError> {
        let kinds = PageKind::ALL.into_iter();
        kinds
            .filter(|kind| *kind != PageKind::Blank)
            .map(|kind| Ok((kind, self.templates.waiting(kind.name())?)))
            .collect()
    }

    /// Compiles an app. The source file stays among the files; the page is added as `index.html`, and the manifest
    /// that comes back names it as the entry point.
    pub fn compile(
        &self,
        app_type: &str,
        manifest: &Map<String, Value>,
        mut files: Vec<AppFile>,
    ) -> Result<(Map<String, Value>, Vec<AppFile>), CompileError> {
        let app_type = real_type(app_type, manifest);
        let mut manifest = manifest.clone();
        manifest.insert("type".to_owned(), app_type.as_str().into());
        let entry_point = manifest
            .get("entry_point")
            .and_then(Value::as_str)
            .filter(|path| !path.is_empty());
        if app_type == "web-app" {
            return if entry_point.is_some() {
                Ok((manifest, Vec::new()))
            } else {
                Err(CompileError::MissingEntryPoint)
            };
        }
        if !SUPPORTED_TYPES.contains(&app_type.as_str()) {
            return Err(CompileError::UnsupportedType(app_type));
        }
        let entry_point = entry_point.unwrap_or(SOURCE).to_owned();
        match files.iter().position(|file| file.path == entry_point) {
            // A page in a folder stays there: its relative addresses start from it.
            Some(at) if is_page_in_folder(&files[at]) => return Ok((manifest, files)),
            Some(at) => {
                let body = files.iter().find(|file| file.path == BODY);
                let page = self.page(&app_type, &entry_point, &manifest, &files[at], body)?;
                add_page(&mut files, at, page);
            }
            // A finished site: its first page is the one to open.
            None => match files.iter().position(|file| file.path.ends_with(".html")) {
                Some(at) => files[at].path = PAGE.to_owned(),
                None => return Ok((manifest, files)),
            },
        }
        manifest.insert("entry_point".to_owned(), PAGE.into());
        Ok((manifest, files))
    }

    /// The page for a source: the source itself where it is one already.
    fn page(
        &self,
        app_type: &str,
        entry_point: &str,
        manifest: &Map<String, Value>,
        source: &AppFile,
        body: Option<&AppFile>,
    ) -> Result<Bytes, CompileError> {
        let text = std::str::from_utf8(&source.content)
            .map_err(|_| CompileError::NotText(source.path.clone()))?;
        let text = text.trim_start_matches('\u{feff}');
        if is_page(text) || app_type == "custom-html" {
            return Ok(source.content.clone());
        }
        let body = body
            .map(|body| std::str::from_utf8(&body.content))
            .transpose();
        let body = body.map_err(|_| CompileError::NotText(BODY.to_owned()))?;
        let (code, markup) = match (app_type, text.trim_start().starts_with('<')) {
            ("web-worker" | "web-python", true) => {
                return Err(CompileError::Markup(app_type.to_owned()));
            }
            (_, true) => ("", text),
            ("window" | "iframe", false) => (text, body.unwrap_or_default()),
            (_, false) => (text, ""),
        };
        let title = manifest
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or(UNTITLED);
        let app = json!({ "config": config(manifest), "code": code });
        let page = self.templates.render(
            app_type,
            entry_point,
            &PageParts {
                title,
                app: &app,
                markup,
            },
        )?;
        Ok(Bytes::from(page))
    }
}

/// `hypha` stands for the type that the app's own config names, and for `window` where it names none.
fn real_type(app_type: &str, manifest: &Map<String, Value>) -> String {
    if app_type != "hypha" {
        return app_type.to_owned();
    }
    let named = manifest
        .get("type")
        .and_then(Value::as_str)
        .filter(|named| *named != "hypha");
    named.unwrap_or("window").to_owned()
}

/// Whether a file is a whole HTML document somewhere else than at the top.
fn is_page_in_folder(file: &AppFile) -> bool {
    let named = file.path.ends_with(".html") || file.path.ends_with(".htm");
    let text = || String::from_utf8_lossy(&file.content);
    named && file.path.contains('/') && is_page(text().trim_start_matches('\u{feff}'))
}

/// Whether a source is a whole HTML document.
fn is_page(text: &str) -> bool {
    let start: String = text
        .trim_start()
        .chars()
        .take(15)
        .flat_map(char::to_lowercase)
        .collect();
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

fn config(manifest: &Map<String, Value>) -> Map<String, Value> {
    let known = |key: &&str| {
        manifest
            .get(*key)
            .filter(|value| !value.is_null())
            .map(|value| (key.to_string(), value.clone()))
    };
    CONFIG_KEYS.iter().filter_map(known).collect()
}

/// Puts `page` among the files, whose source is the one at `source`. Of other files under the two names that the
/// compiler uses, the source and the page take the place.
fn add_page(files: &mut Vec<AppFile>, source: usize, page: Bytes) {
    let mut original = files.remove(source);
    if original.path == PAGE && original.content != page {
        original.path = SOURCE.to_owned();
    }
    files.retain(|file| file.path != PAGE && file.path != original.path);
    let finished = original.path == PAGE;
    files.insert(source.min(files.len()), original);
    if !finished {
        files.push(AppFile {
            path: PAGE.to_owned(),
            content: page,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> AppFile {
        AppFile {
            path: path.to_owned(),
            content: Bytes::copy_from_slice(content.as_bytes()),
        }
    }

    fn compile(
        app_type: &str,
        manifest: Value,
        files: Vec<AppFile>,
    ) -> Result<(Map<String, Value>, Vec<AppFile>), CompileError> {
        Compiler::new(None)
            .unwrap()
            .compile(app_type, manifest.as_object().unwrap(), files)
    }

    fn paths(files: &[AppFile]) -> Vec<&str> {
        files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn a_worker_script_becomes_a_page_and_stays() {
        let manifest = json!({"type": "web-worker", "name": "Calc", "secret": 1, "icon": null, "entry_point": "main.js"});
        let (manifest, files) = compile(
            "web-worker",
            manifest,
            vec![file("main.js", "api.export({})"), file("a.txt", "x")],
        )
        .unwrap();
        assert_eq!(manifest["entry_point"], "index.html");
        assert_eq!(manifest["secret"], 1);
        assert_eq!(paths(&files), ["main.js", "a.txt", "index.html"]);
        let page = String::from_utf8(files[2].content.to_vec()).unwrap();
        assert!(
            page.contains(
                r#"{"config":{"name":"Calc","type":"web-worker"},"code":"api.export({})"}"#
            )
        );
    }

    #[test]
    fn a_source_under_the_name_of_the_page_is_moved() {
        let manifest = json!({"type": "window", "entry_point": "index.html"});
        let (_, files) = compile(
            "window",
            manifest,
            vec![file("index.html", "api.export({})")],
        )
        .unwrap();
        assert_eq!(paths(&files), ["source", "index.html"]);
        assert_eq!(files[0].content, "api.export({})");
    }

    #[test]
    fn the_usual_source_file_needs_no_entry_point() {
        let (manifest, files) = compile(
            "window",
            json!({"type": "window"}),
            vec![file("source", "1")],
        )
        .unwrap();
        assert_eq!(
            (manifest["entry_point"].as_str(), files.len()),
            (Some("index.html"), 2)
        );
    }

    #[test]
    fn pages_stay_untouched() {
        for app_type in ["window", "custom-html", "web-python", "web-worker", "hypha"] {
            let source = "\n  <!DOCTYPE HTML><p>{{ x }}</p>";
            let (manifest, files) = compile(
                app_type,
                json!({"type": "hypha", "entry_point": "index.html"}),
                vec![file("index.html", source)],
            )
            .unwrap();
            assert_eq!(files, [file("index.html", source)]);
            assert_eq!(
                manifest["type"],
                if app_type == "hypha" {
                    "window"
                } else {
                    app_type
                }
            );
        }
    }

    #[test]
    fn a_page_in_a_folder_stays_there() {
        let page = file("nested/folder/index.html", "<!doctype html>");
        let entry = json!({"entry_point": "nested/folder/index.html"});
        let (manifest, files) = compile("window", entry.clone(), vec![page.clone()]).unwrap();
        assert_eq!(files, [page]);
        assert_eq!(manifest["entry_point"], entry["entry_point"]);
    }

    #[test]
    fn a_finished_site_is_only_renamed() {
        let files = vec![
            file("a.css", ""),
            file("site.html", "<p>"),
            file("b.html", ""),
        ];
        let (manifest, files) =
            compile("window", json!({"entry_point": "main.js"}), files).unwrap();
        assert_eq!(paths(&files), ["a.css", "index.html", "b.html"]);
        assert_eq!(manifest["entry_point"], "index.html");
    }

    #[test]
    fn markup_goes_into_windows_only() {
        let markup = || vec![file("source", "<div>{{ not a template }}</div>")];
        let (_, files) = compile("iframe", json!({}), markup()).unwrap();
        assert!(
            String::from_utf8_lossy(&files[1].content).contains("<div>{{ not a template }}</div>")
        );
        assert!(matches!(
            compile("web-worker", json!({}), markup()),
            Err(CompileError::Markup(_))
        ));
    }

    #[test]
    fn web_apps_have_no_files() {
        let (_, files) = compile(
            "web-app",
            json!({"entry_point": "https://example.org"}),
            vec![file("x", "")],
        )
        .unwrap();
        assert!(files.is_empty());
        let missing = compile("web-app", json!({}), vec![]).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "web-app type requires 'entry_point' field in manifest"
        );
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let source = |text: &str| vec![file("source", text)];
        assert!(matches!(
            compile("web-python", json!({}), source("<p>x</p>")),
            Err(CompileError::Markup(_))
        ));
        assert!(matches!(
            compile("web-cobol", json!({}), source("")),
            Err(CompileError::UnsupportedType(_))
        ));
        let binary = vec![AppFile {
            path: "source".into(),
            content: Bytes::from_static(&[0xff, 0xfe]),
        }];
        assert!(matches!(
            compile("window", json!({}), binary),
            Err(CompileError::NotText(_))
        ));
    }
}
