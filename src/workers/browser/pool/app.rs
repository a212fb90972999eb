//! Which start of an app may use which page.

use serde_json::{Map, Value};

use super::kind::PageKind;
use crate::workers::browser::templates::Templates;

/// What a session's page may be made from.
#[derive(Debug, Clone, PartialEq)]
pub enum PageStart {
    /// A page of its own from the start: the app changes what a page is made with.
    Fresh,
    /// Any empty page.
    Blank,
    /// A page that waits for such an app, or any empty one.
    Warm(Box<WarmApp>),
}

/// An app as a page that waits takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmApp {
    /// The kind of page.
    pub kind: PageKind,
    /// `{config, code}`, as in the app's own page.
    pub app: Value,
    /// The title of the app's own page.
    pub title: String,
}

/// What an app's manifest may say about its page that a page in advance knows nothing of.
const OWN_PAGE: [&str; 8] = [
    "cookies",
    "local_storage",
    "session_storage",
    "authorization_token",
    "extra_http_headers",
    "bypass_csp",
    "ignore_https_errors",
    "startup_script",
];

/// Whether an app wants its page to be special.
fn wants_own_page(manifest: &Map<String, Value>) -> bool {
    let says = |key: &&str| match manifest.get(*key) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    };
    OWN_PAGE.iter().any(says)
}

impl PageStart {
    /// How an app with this manifest and this compiled page may start. Only a page that is exactly what the templates
    /// make of the app can be replaced by one that waits.
    pub(crate) fn of(
        templates: &Templates,
        app_type: &str,
        manifest: &Map<String, Value>,
        page: Option<&[u8]>,
    ) -> Self {
        if wants_own_page(manifest) {
            return Self::Fresh;
        }
        let warm = || {
            let kind = PageKind::of_type(app_type)?;
            let (app, title) = templates.read_back(app_type, page?)?;
            Some(Self::Warm(Box::new(WarmApp { kind, app, title })))
        };
        warm().unwrap_or(Self::Blank)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::templates::PageParts;
    use super::*;

    fn page(templates: &Templates, title: &str, app: &Value) -> String {
        let parts = PageParts {
            title,
            app,
            markup: "",
        };
        templates
            .render("web-worker", "index.html", &parts)
            .unwrap()
    }

    fn start(manifest: Value, page: Option<&str>) -> PageStart {
        let templates = Templates::new(None).unwrap();
        let manifest = manifest.as_object().unwrap();
        PageStart::of(&templates, "web-worker", manifest, page.map(str::as_bytes))
    }

    #[test]
    fn an_app_is_found_in_its_own_page() {
        let app =
            json!({"config": {"name": "A & <b>"}, "code": "</script>\u{2028} '\\u003c' {{ x }}"});
        let page = page(&Templates::new(None).unwrap(), "A & <b>", &app);
        let PageStart::Warm(found) = start(json!({}), Some(&page)) else {
            panic!("it should be found")
        };
        assert_eq!((found.kind, &found.app), (PageKind::WebWorker, &app));
        assert_eq!(found.title, "A & <b>");
    }

    #[test]
    fn a_page_that_was_changed_is_used_as_it_is() {
        let app = json!({"config": {}, "code": "1"});
        let page = page(&Templates::new(None).unwrap(), "Untitled App", &app);
        assert!(matches!(start(json!({}), Some(&page)), PageStart::Warm(_)));
        for changed in [
            page.replace("<body>", "<body class=\"mine\">"),
            page.replace("Untitled App", "Other"),
            page.replace("\"code\":\"1\"", "\"code\":1x"),
            "<p id=\"rhizome-app\">".to_owned(),
        ] {
            assert_eq!(start(json!({}), Some(&changed)), PageStart::Blank);
        }
        assert_eq!(start(json!({}), None), PageStart::Blank);
    }

    #[test]
    fn wishes_for_the_page_need_one_of_their_own() {
        for manifest in [
            json!({"cookies": {"a": "b"}}),
            json!({"bypass_csp": true}),
            json!({"authorization_token": "t"}),
        ] {
            assert_eq!(start(manifest, None), PageStart::Fresh);
        }
        let silent = json!({"cookies": {}, "bypass_csp": false, "authorization_token": null});
        assert_eq!(start(silent, None), PageStart::Blank);
    }
}
