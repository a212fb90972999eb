//! What an app's page finds in its browser context from the start: cookies, storage, and an authorization for its
//! own site (server-apps.md 5.5).

use serde_json::{Map, Value, json};
use thiserror::Error;
use url::Url;

/// A part of the manifest that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key} {why}")]
pub struct BelongingsError {
    key: &'static str,
    why: String,
}

/// See the module's text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Belongings {
    /// As `Storage.setCookies` wants them, some without a domain.
    cookies: Vec<Map<String, Value>>,
    local_storage: Map<String, Value>,
    session_storage: Map<String, Value>,
    /// Value of the `Authorization` header for requests to the app's own site.
    pub authorization: Option<String>,
}

impl Belongings {
    /// Reads the manifest of an app.
    ///
    /// # Errors
    /// A key has a value of the wrong shape.
    pub fn of(manifest: &Map<String, Value>) -> Result<Self, BelongingsError> {
        let authorization = match manifest.get("authorization_token") {
            None | Some(Value::Null) => None,
            Some(Value::String(token)) => Some(token.clone()).filter(|token| !token.is_empty()),
            Some(_) => return Err(wrong("authorization_token", "must be a text")),
        };
        Ok(Self {
            cookies: cookies(manifest)?,
            local_storage: storage(manifest, "local_storage")?,
            session_storage: storage(manifest, "session_storage")?,
            authorization,
        })
    }

    /// The cookies for a page at `url`, which is the home of those that name no domain.
    pub fn cookies_for(&self, url: &str) -> Vec<Value> {
        let home = Url::parse(url)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned));
        let home = home.unwrap_or_else(|| "localhost".to_owned());
        let with_home = |cookie: &Map<String, Value>| {
            let mut cookie = cookie.clone();
            cookie
                .entry("domain")
                .or_insert_with(|| home.clone().into());
            Value::Object(cookie)
        };
        self.cookies.iter().map(with_home).collect()
    }

    /// A script for the start of every document that fills its storage, if there is something to put there. A page
    /// that changed a value keeps its own.
    pub fn storage_script(&self) -> Option<String> {
        if self.local_storage.is_empty() && self.session_storage.is_empty() {
            return None;
        }
        let stores =
            json!({ "localStorage": self.local_storage, "sessionStorage": self.session_storage });
        Some(format!(
            "for (const [store, items] of Object.entries(JSON.parse({}))) {{ \
               try {{ for (const [key, value] of Object.entries(items)) {{ \
                 if (window[store].getItem(key) === null) window[store].setItem(key, value); }} }} \
               catch {{ /* a document without storage */ }} }}",
            Value::from(stores.to_string())
        ))
    }
}

fn wrong(key: &'static str, why: &str) -> BelongingsError {
    BelongingsError {
        key,
        why: why.to_owned(),
    }
}

fn storage(
    manifest: &Map<String, Value>,
    key: &'static str,
) -> Result<Map<String, Value>, BelongingsError> {
    match manifest.get(key) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(items)) => Ok(items
            .iter()
            .map(|(name, value)| (name.clone(), text(value).into()))
            .collect()),
        Some(_) => Err(wrong(key, "must be an object of names and texts")),
    }
}

fn cookies(manifest: &Map<String, Value>) -> Result<Vec<Map<String, Value>>, BelongingsError> {
    match manifest.get("cookies") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(named)) => Ok(named
            .iter()
            .map(|(name, value)| plain(name, value))
            .collect()),
        Some(Value::Array(all)) => all.iter().map(cookie).collect(),
        Some(_) => Err(wrong(
            "cookies",
            "must be an object of names and values or a list of cookies",
        )),
    }
}

fn plain(name: &str, value: &Value) -> Map<String, Value> {
    let mut cookie = Map::new();
    cookie.insert("name".to_owned(), name.into());
    cookie.insert("value".to_owned(), text(value).into());
    cookie.insert("path".to_owned(), "/".into());
    cookie
}

fn cookie(given: &Value) -> Result<Map<String, Value>, BelongingsError> {
    let name = given
        .get("name")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| wrong("cookies", "holds one without a name"))?;
    let mut cookie = plain(name, given.get("value").unwrap_or(&Value::Null));
    for key in ["domain", "path", "sameSite"] {
        match given.get(key) {
            None | Some(Value::Null) => {}
            // A port is no part of a cookie's domain.
            Some(Value::String(value)) if key == "domain" => {
                let host = value.split(':').next().unwrap_or(value);
                cookie.insert(key.to_owned(), host.into());
            }
            Some(value @ Value::String(_)) => drop(cookie.insert(key.to_owned(), value.clone())),
            Some(_) => {
                return Err(wrong(
                    "cookies",
                    &format!("holds '{name}', whose {key} is no text"),
                ));
            }
        }
    }
    for key in ["httpOnly", "secure"] {
        match given.get(key) {
            None | Some(Value::Null) => {}
            Some(value @ Value::Bool(_)) => drop(cookie.insert(key.to_owned(), value.clone())),
            Some(_) => {
                return Err(wrong(
                    "cookies",
                    &format!("holds '{name}', whose {key} is neither true nor false"),
                ));
            }
        }
    }
    match given.get("expires") {
        None | Some(Value::Null) => {}
        // Playwright's way to say: with the session.
        Some(value) if value.as_f64() == Some(-1.0) => {}
        Some(value) if value.is_number() => {
            drop(cookie.insert("expires".to_owned(), value.clone()))
        }
        Some(_) => {
            return Err(wrong(
                "cookies",
                &format!("holds '{name}', whose expires is no number of seconds since 1970"),
            ));
        }
    }
    Ok(cookie)
}

/// A value as the text that a page gets to see.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(manifest: Value) -> Result<Belongings, BelongingsError> {
        Belongings::of(manifest.as_object().unwrap())
    }

    #[test]
    fn cookies_of_both_kinds() {
        let simple = of(json!({"cookies": {"a": "1", "n": 2}})).unwrap();
        assert_eq!(
            simple.cookies_for("http://127.0.0.1:8080/x"),
            [
                json!({"name": "a", "value": "1", "path": "/", "domain": "127.0.0.1"}),
                json!({"name": "n", "value": "2", "path": "/", "domain": "127.0.0.1"})
            ]
        );
        let full = of(json!({"cookies": [{"name": "a", "value": 1, "domain": "x.org:8", "expires": -1, "secure": true}]})).unwrap();
        assert_eq!(
            full.cookies_for("data:,"),
            [json!({"name": "a", "value": "1", "path": "/", "domain": "x.org", "secure": true})]
        );
    }

    #[test]
    fn storage_is_data() {
        let script = of(json!({"local_storage": {"a": "</script> ' \" `${x}`"}}))
            .unwrap()
            .storage_script()
            .unwrap();
        assert!(
            script.contains(r#"JSON.parse("{\"localStorage\":{\"a\":\"</script> ' \\\" `${x}`\"}"#),
            "{script}"
        );
        assert_eq!(of(json!({})).unwrap().storage_script(), None);
    }

    #[test]
    fn wrong_shapes_are_named() {
        for (manifest, text) in [
            (json!({"cookies": 1}), "cookies must be"),
            (json!({"cookies": [{"value": 1}]}), "without a name"),
            (
                json!({"cookies": [{"name": "a", "secure": "yes"}]}),
                "secure",
            ),
            (json!({"local_storage": []}), "local_storage must be"),
            (
                json!({"authorization_token": {}}),
                "authorization_token must be",
            ),
        ] {
            assert!(of(manifest).unwrap_err().to_string().contains(text));
        }
    }
}
