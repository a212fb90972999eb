//! What pages of apps get to see of the world: the `[browser]` section of the configuration, whose keys the reference
//! reads from `PLAYWRIGHT_*` (server-apps.md 5.7), and what an app may ask for itself in its manifest.

mod checks;
mod values;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

pub use values::{Headers, Measure};

use super::hosts::{Allowed, HostPattern};

/// Key of the manifest under which an app sets options.
const MANIFEST_KEY: &str = "browser";
/// Options that an app may set for its own pages. The others reach beyond them: files on this machine, other apps in
/// the same browser process, the switches of that process.
const OF_APPS: [&str; 25] = [
    "bypass_csp",
    "ignore_https_errors",
    "permissions",
    "viewport_width",
    "viewport_height",
    "device_scale_factor",
    "is_mobile",
    "has_touch",
    "user_agent",
    "locale",
    "timezone_id",
    "geolocation_latitude",
    "geolocation_longitude",
    "geolocation_accuracy",
    "color_scheme",
    "reduced_motion",
    "javascript_enabled",
    "offline",
    "http_username",
    "http_password",
    "extra_http_headers",
    "base_url",
    "allowed_hosts",
    "memory_mb",
    "time_s",
];
/// Those of them that the reference finds at the top of a manifest.
const AT_THE_TOP: [&str; 3] = ["bypass_csp", "ignore_https_errors", "extra_http_headers"];
/// Permissions by the reference's names and Chromium's. The clipboard is one for all pages of the browser, so only
/// the server's configuration opens it.
const PERMISSIONS: [(&str, &str); 10] = [
    ("camera", "videoCapture"),
    ("microphone", "audioCapture"),
    ("geolocation", "geolocation"),
    ("notifications", "notifications"),
    ("background-sync", "backgroundSync"),
    ("persistent-storage", "durableStorage"),
    ("accessibility-events", "accessibilityEvents"),
    ("clipboard-read", "clipboardReadWrite"),
    ("clipboard-write", "clipboardSanitizedWrite"),
    ("payment-handler", "paymentHandler"),
];
/// An option that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("browser.{key} {why}")]
pub struct OptionError {
    /// The option.
    pub key: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// See the module's text. `config/rhizome.toml` explains each key. Empty texts mean: as Chromium has it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrowserOptions {
    pub bypass_csp: bool,
    pub ignore_https_errors: bool,
    pub accept_downloads: bool,
    pub permissions: Vec<String>,
    pub viewport_width: u32,
    pub viewport_height: u32,
    pub device_scale_factor: f64,
    pub is_mobile: bool,
    pub has_touch: bool,
    pub user_agent: String,
    pub locale: String,
    pub timezone_id: String,
    pub geolocation_latitude: Measure,
    pub geolocation_longitude: Measure,
    pub geolocation_accuracy: Measure,
    pub color_scheme: String,
    pub reduced_motion: String,
    pub javascript_enabled: bool,
    pub offline: bool,
    pub http_username: String,
    pub http_password: String,
    pub extra_http_headers: Headers,
    pub base_url: String,
    pub disable_web_security: bool,
    pub launch_args: Vec<String>,
    pub allowed_hosts: Vec<String>,
    pub memory_mb: u64,
    pub time_s: f64,
}

impl Default for BrowserOptions {
    fn default() -> Self {
        Self {
            bypass_csp: false,
            ignore_https_errors: false,
            accept_downloads: false,
            permissions: Vec::new(),
            viewport_width: 1280,
            viewport_height: 720,
            device_scale_factor: 1.0,
            is_mobile: false,
            has_touch: false,
            user_agent: String::new(),
            locale: String::new(),
            timezone_id: String::new(),
            geolocation_latitude: Measure(None),
            geolocation_longitude: Measure(None),
            geolocation_accuracy: Measure(None),
            color_scheme: String::new(),
            reduced_motion: String::new(),
            javascript_enabled: true,
            offline: false,
            http_username: String::new(),
            http_password: String::new(),
            extra_http_headers: Headers::default(),
            base_url: String::new(),
            disable_web_security: false,
            launch_args: Vec::new(),
            allowed_hosts: vec!["*".to_owned()],
            memory_mb: 2048,
            time_s: 0.0,
        }
    }
}

// Passwords and keys must not reach a log by way of a debug print.
impl fmt::Debug for BrowserOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserOptions").finish_non_exhaustive()
    }
}

impl BrowserOptions {
    /// These options as an app's manifest changes them.
    ///
    /// # Errors
    /// A key that apps may not set, or a value that cannot be used.
    pub fn for_app(&self, manifest: &Map<String, Value>) -> Result<Self, OptionError> {
        let mut options = self.clone();
        for key in AT_THE_TOP {
            if let Some(value) = manifest.get(key).filter(|value| !value.is_null()) {
                options.put(key, value)?;
            }
        }
        match manifest.get(MANIFEST_KEY) {
            None | Some(Value::Null) => {}
            Some(Value::Object(own)) => {
                for (key, value) in own {
                    let known = OF_APPS.iter().find(|known| *known == key);
                    let key = known.ok_or_else(|| not_for_apps(key))?;
                    options.put(key, value)?;
                }
            }
            Some(_) => return Err(bad("options", "must be an object in a manifest")),
        }
        self.keep_the_upper_hand(&mut options)?;
        options.check()?;
        Ok(options)
    }

    /// Sets one option.
    fn put(&mut self, key: &'static str, value: &Value) -> Result<(), OptionError> {
        let wrong =
            |error: serde_json::Error| bad(key, &format!("cannot be {}: {error}", short(value)));
        let mut all = serde_json::to_value(&*self).map_err(wrong)?;
        all[key] = value.clone();
        *self = serde_json::from_value(all).map_err(wrong)?;
        Ok(())
    }

    /// What the server's configuration says and an app cannot undo.
    fn keep_the_upper_hand(&self, options: &mut Self) -> Result<(), OptionError> {
        let clipboard =
            |name: &&String| name.starts_with("clipboard-") && !self.permissions.contains(name);
        if let Some(name) = options.permissions.iter().find(clipboard) {
            return Err(bad(
                "permissions",
                &format!("of an app cannot hold {name}: the clipboard belongs to all apps"),
            ));
        }
        options.offline |= self.offline;
        let (own, other) = (options.memory_mb, self.memory_mb);
        if own == 0 || (other != 0 && other < own) {
            options.memory_mb = other;
        }
        if self.time_s > 0.0 && (options.time_s <= 0.0 || options.time_s > self.time_s) {
            options.time_s = self.time_s;
        }
        for (name, value) in &self.extra_http_headers.0 {
            let taken = |known: &String, _: &mut String| !known.eq_ignore_ascii_case(name);
            options.extra_http_headers.0.retain(taken);
            options
                .extra_http_headers
                .0
                .insert(name.clone(), value.clone());
        }
        Ok(())
    }

    /// Which hosts pages may reach, by these options and, where they belong to an app, by the server's.
    pub fn allowed(&self, server: &Self) -> Allowed {
        if self.offline {
            return Allowed::nothing();
        }
        // Both were checked.
        let patterns = |hosts: &[String]| {
            hosts
                .iter()
                .filter_map(|host| host.parse::<HostPattern>().ok())
                .collect()
        };
        Allowed::all_of([
            patterns(&self.allowed_hosts),
            patterns(&server.allowed_hosts),
        ])
    }

    /// Chromium's names of the permissions to grant.
    pub fn grants(&self) -> Vec<&'static str> {
        let name = |wanted: &String| {
            PERMISSIONS
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, name)| *name)
        };
        self.permissions
            .iter()
            .filter(|name| !name.is_empty())
            .filter_map(name)
            .collect()
    }
}

fn bad(key: &'static str, why: &str) -> OptionError {
    OptionError {
        key,
        why: why.to_owned(),
    }
}

fn not_for_apps(key: &str) -> OptionError {
    bad(
        "options",
        &format!("of an app cannot hold '{}'", short(&Value::from(key))),
    )
}

/// A value for an error message.
fn short(value: &Value) -> String {
    value.to_string().chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn app(manifest: Value) -> Result<BrowserOptions, String> {
        BrowserOptions::default()
            .for_app(manifest.as_object().unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_app_changes_its_own_page() {
        let options = app(json!({"browser": {"viewport_width": 375, "is_mobile": true, "geolocation_latitude": 1,
            "geolocation_longitude": "2.5", "extra_http_headers": {"X-A": "1"}}, "bypass_csp": true}))
        .unwrap();
        assert_eq!(
            (options.viewport_width, options.viewport_height),
            (375, 720)
        );
        assert!(options.is_mobile && options.bypass_csp);
        assert_eq!(options.geolocation_longitude, Measure(Some(2.5)));
        assert_eq!(options.extra_http_headers.0["X-A"], "1");
    }

    #[test]
    fn what_an_app_cannot_have_is_named() {
        for (own, text) in [
            (json!({"launch_args": ["--x"]}), "launch_args"),
            (json!({"accept_downloads": true}), "accept_downloads"),
            (
                json!({"viewport_width": "wide"}),
                "browser.viewport_width cannot be \"wide\"",
            ),
            (
                json!({"viewport_width": 0}),
                "browser.viewport_width must be from 1",
            ),
            (
                json!({"permissions": ["clipboard-read"]}),
                "the clipboard belongs to all apps",
            ),
            (
                json!({"permissions": ["telepathy"]}),
                "does not know 'telepathy'",
            ),
            (
                json!({"timezone_id": "Mars/Base"}),
                "browser.timezone_id must be a time zone",
            ),
            (json!({"locale": "fr FR"}), "browser.locale"),
            (
                json!({"color_scheme": "pink"}),
                "must be one of dark, light",
            ),
            (
                json!({"geolocation_latitude": 5}),
                "browser.geolocation_longitude is missing",
            ),
            (
                json!({"geolocation_latitude": 95, "geolocation_longitude": 0}),
                "from -90 to 90, not 95",
            ),
            (
                json!({"http_username": "me"}),
                "browser.http_password is missing",
            ),
            (json!({"extra_http_headers": {"no good": "x"}}), "'no good'"),
            (
                json!({"extra_http_headers": 5}),
                "must be an object of header names",
            ),
            (json!({"base_url": "example.org"}), "browser.base_url"),
            (
                json!({"allowed_hosts": ["http://x/"]}),
                "browser.allowed_hosts",
            ),
            (json!({"time_s": -1}), "browser.time_s"),
            (json!([]), "must be an object"),
        ] {
            let error = app(json!({"browser": own})).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn the_server_keeps_the_upper_hand() {
        let server = BrowserOptions {
            memory_mb: 100,
            time_s: 60.0,
            offline: true,
            extra_http_headers: Headers([("x-key".to_owned(), "server".to_owned())].into()),
            ..BrowserOptions::default()
        };
        let manifest = json!({"browser": {"memory_mb": 0, "time_s": 0, "offline": false, "extra_http_headers": {"X-Key": "app"}}});
        let options = server.for_app(manifest.as_object().unwrap()).unwrap();
        assert_eq!(
            (options.memory_mb, options.time_s, options.offline),
            (100, 60.0, true)
        );
        assert_eq!(options.extra_http_headers, server.extra_http_headers);
        let manifest = json!({"browser": {"memory_mb": 50, "time_s": 5.5}});
        let options = server.for_app(manifest.as_object().unwrap()).unwrap();
        assert_eq!((options.memory_mb, options.time_s), (50, 5.5));
    }

    #[test]
    fn headers_may_be_text() {
        let headers = |text: &str| serde_json::from_value::<Headers>(json!(text));
        assert_eq!(
            headers(r#"{"X-API-Version": "v2"}"#).unwrap().0["X-API-Version"],
            "v2"
        );
        assert!(headers("not json").is_err());
        assert_eq!(headers("").unwrap(), Headers::default());
    }
}
