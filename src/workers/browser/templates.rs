//! The page templates: part of the program, each replaceable by a file of the same name in a directory.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tera::{Context, Tera};

use super::compile::{PAGE, TEMPLATE_MARK, UNTITLED};
use super::error::CompileError;

/// Every file of `templates/apps`, and what those for Python share with other workers, by name.
const BUILT_IN: [(&str, &str); 13] = [
    (
        "api-shim.js",
        include_str!("../../../templates/apps/api-shim.js"),
    ),
    (
        "page-main.js",
        include_str!("../../../templates/apps/page-main.js"),
    ),
    (
        "rehearsal.js",
        include_str!("../../../templates/apps/rehearsal.js"),
    ),
    (
        "worker-client.js",
        include_str!("../../../templates/apps/worker-client.js"),
    ),
    (
        "worker-main.js",
        include_str!("../../../templates/apps/worker-main.js"),
    ),
    (
        "web-worker.index.html",
        include_str!("../../../templates/apps/web-worker.index.html"),
    ),
    (
        "window.index.html",
        include_str!("../../../templates/apps/window.index.html"),
    ),
    (
        "web-python.index.html",
        include_str!("../../../templates/apps/web-python.index.html"),
    ),
    (
        "python-library.js",
        include_str!("../../../templates/apps/python-library.js"),
    ),
    (
        "python-main.js",
        include_str!("../../../templates/apps/python-main.js"),
    ),
    (
        "python-web.py",
        include_str!("../../../templates/apps/python-web.py"),
    ),
    (
        "python-app.py",
        include_str!("../../../templates/apps/python-app.py"),
    ),
    (
        "showing.py",
        include_str!("../../../templates/python/showing.py"),
    ),
];

/// What a page is made of.
pub(crate) struct PageParts<'a> {
    /// Title of the page.
    pub title: &'a str,
    /// The app's config and code; becomes data in the page, never markup or script.
    pub app: &'a Value,
    /// Markup that the app brings along for the body of its page.
    pub markup: &'a str,
}

/// The templates and the scripts they inline.
pub(crate) struct Templates {
    pages: Tera,
    scripts: BTreeMap<String, String>,
}

impl Templates {
    /// The built-in files, overruled by those in `overrides`.
    pub fn new(overrides: Option<&Path>) -> Result<Self, CompileError> {
        let mut files: BTreeMap<String, String> = BUILT_IN
            .iter()
            .map(|(name, text)| (name.to_string(), text.to_string()))
            .collect();
        if let Some(directory) = overrides {
            files.extend(read(directory)?);
        }
        let mut templates = Self {
            pages: Tera::default(),
            scripts: BTreeMap::new(),
        };
        for (name, text) in files {
            if name.ends_with(".html") {
                templates
                    .pages
                    .add_raw_template(&name, &text)
                    .map_err(broken)?;
            } else if text.contains("</script") {
                return Err(CompileError::Template(format!(
                    "{name} would end the script element that it is put into"
                )));
            } else {
                // `api-shim.js` is `api_shim` in the templates.
                let stem = name.split('.').next().unwrap_or(&name);
                templates.scripts.insert(stem.replace('-', "_"), text);
            }
        }
        Ok(templates)
    }

    /// Renders the page for an app of `app_type`: with the template made for `entry_point` if there is one, else with
    /// that of the type.
    pub fn render(
        &self,
        app_type: &str,
        entry_point: &str,
        parts: &PageParts<'_>,
    ) -> Result<String, CompileError> {
        // A frame shows the same page as a window.
        let types: &[&str] = if app_type == "iframe" {
            &["iframe", "window"]
        } else {
            &[app_type]
        };
        let names = types.iter().flat_map(|app_type| {
            [
                format!("{app_type}.{entry_point}"),
                format!("{app_type}.index.html"),
            ]
        });
        let known: Vec<&str> = self.pages.get_template_names().collect();
        let name = names
            .into_iter()
            .find(|name| known.contains(&name.as_str()))
            .ok_or_else(|| CompileError::UnsupportedType(app_type.to_owned()))?;
        let mut context = Context::new();
        for (variable, script) in &self.scripts {
            context.insert(variable, script);
        }
        context.insert("title", parts.title);
        context.insert("markup", parts.markup);
        context.insert("app", &as_data(parts.app));
        self.pages.render(&name, &context).map_err(broken)
    }
}

impl Templates {
    /// The app that a page of `app_type` was made from, and the page's title. None when the page is not exactly what
    /// [`Templates::render`] makes of them today.
    pub fn read_back(&self, app_type: &str, page: &[u8]) -> Option<(Value, String)> {
        let text = std::str::from_utf8(page).ok()?;
        let (_, rest) = text.split_once(TEMPLATE_MARK)?;
        let (data, _) = rest.strip_prefix('>')?.split_once("</script>")?;
        let app: Value = serde_json::from_str(data).ok()?;
        let named = app["config"]["name"].as_str();
        let title = named.unwrap_or(UNTITLED).to_owned();
        let parts = PageParts {
            title: &title,
            app: &app,
            markup: "",
        };
        let again = self.render(app_type, PAGE, &parts).ok()?;
        (again == text).then_some((app, title))
    }

    /// The page of `app_type` that waits for an app.
    pub fn waiting(&self, app_type: &str) -> Result<String, CompileError> {
        let parts = PageParts {
            title: "Waiting for an app",
            app: &Value::Null,
            markup: "",
        };
        self.render(app_type, PAGE, &parts)
    }
}

fn read(directory: &Path) -> Result<Vec<(String, String)>, CompileError> {
    let failed =
        |error: std::io::Error| CompileError::Template(format!("{}: {error}", directory.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if [".html", ".js", ".py"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            files.push((name, std::fs::read_to_string(&path).map_err(failed)?));
        }
    }
    Ok(files)
}

/// JSON that cannot end the script element it stands in.
fn as_data(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

fn broken(error: tera::Error) -> CompileError {
    // The outer message names the template only; its causes say what is wrong.
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    CompileError::Template(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(code: &str) -> String {
        let parts = PageParts {
            title: "A & <b>",
            app: &json!({ "code": code }),
            markup: "",
        };
        Templates::new(None)
            .unwrap()
            .render("web-worker", "index.html", &parts)
            .unwrap()
    }

    #[test]
    fn code_is_data() {
        let html = render("</script><!-- {{ 7 * 7 }} `${x}` \\n {% raw %}");
        assert!(
            html.contains(r#"{"code":"\u003c/script>\u003c!-- {{ 7 * 7 }} `${x}` \\n {% raw %}"}"#)
        );
        assert!(html.contains("<title>A &amp; &lt;b&gt;</title>"));
        assert_eq!(html.matches("</script>").count(), 3);
    }

    #[test]
    fn a_directory_overrules() {
        let directory =
            std::env::temp_dir().join(format!("rhizome-templates-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("window.main.js.html"), "").unwrap();
        std::fs::write(directory.join("window.index.html"), "<p>{{ title }}</p>").unwrap();
        let parts = PageParts {
            title: "x",
            app: &json!({}),
            markup: "",
        };
        let templates = Templates::new(Some(&directory)).unwrap();
        assert_eq!(
            templates.render("iframe", "main.js", &parts).unwrap(),
            "<p>x</p>"
        );
        std::fs::write(directory.join("window.index.html"), "{{ nothing }").unwrap();
        assert!(matches!(
            Templates::new(Some(&directory)),
            Err(CompileError::Template(_))
        ));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn an_unknown_type_has_no_template() {
        let parts = PageParts {
            title: "x",
            app: &json!({}),
            markup: "",
        };
        let rendered = Templates::new(None)
            .unwrap()
            .render("web-cobol", "index.html", &parts);
        assert!(matches!(rendered, Err(CompileError::UnsupportedType(_))));
    }
}
