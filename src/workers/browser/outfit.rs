//! Dressing a blank page: everything about it that must hold before its first document.

use chromiumoxide::cdp::browser_protocol::browser::{BrowserContextId, GetVersionParams};
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::belongings::Belongings;
use super::engine::Engine;
use super::error::BrowserError;
use super::options::BrowserOptions;
use super::raw::Raw;
use super::target::Target;

/// What a page gets to see of the world.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outfit {
    /// The app's own options.
    pub options: BrowserOptions,
    /// Its cookies and storage.
    pub belongings: Belongings,
}

impl Outfit {
    /// That of pages whose app wants nothing special.
    pub fn of_server(options: &BrowserOptions) -> Self {
        Self {
            options: options.clone(),
            belongings: Belongings::default(),
        }
    }
}

/// A command and the option that it is for.
type Step = (&'static str, Raw);

/// Gives the page at `page`, in `context`, which is going to `url`, its outfit.
///
/// # Errors
/// Chromium refuses a value; the option is named.
pub(super) async fn dress(
    engine: &Engine,
    context: &BrowserContextId,
    page: &Target,
    outfit: &Outfit,
    url: &str,
) -> Result<(), BrowserError> {
    let options = &outfit.options;
    let user_agent = match (options.user_agent.as_str(), options.locale.as_str()) {
        ("", "") => String::new(),
        // The languages can only be set together with it.
        ("", _) => {
            engine
                .command("tell its version", GetVersionParams {})
                .await?
                .user_agent
        }
        (own, _) => own.to_owned(),
    };
    let downloads = engine.download_dir();
    let of_context = context_steps(outfit, context.inner(), &downloads, url);
    let of_page = page_steps(outfit, &user_agent);
    let in_context = try_join_all(of_context.into_iter().map(|(option, command)| async move {
        let done = engine.command("set the page up", command).await;
        done.map_err(|error| of_option(option, error))
    }));
    let in_page = try_join_all(of_page.into_iter().map(|(option, command)| async move {
        let work = page.send(command);
        let done = engine.within("set the page up", work).await;
        done.map_err(|error| of_option(option, error))
    }));
    tokio::try_join!(in_context, in_page).map(drop)
}

fn of_option(option: &'static str, error: BrowserError) -> BrowserError {
    match error {
        BrowserError::Refused { reason, .. } => BrowserError::Option { option, reason },
        other => other,
    }
}

/// What concerns the whole browser context.
fn context_steps(outfit: &Outfit, context: &str, downloads: &str, url: &str) -> Vec<Step> {
    let options = &outfit.options;
    let mut downloading = json!({ "behavior": "deny", "browserContextId": context });
    if options.accept_downloads {
        downloading = json!({ "behavior": "allowAndName", "browserContextId": context, "downloadPath": downloads });
    }
    let mut steps = vec![(
        "accept_downloads",
        Raw::new("Browser.setDownloadBehavior", downloading),
    )];
    let grants = options.grants();
    if !grants.is_empty() {
        let params = json!({ "permissions": grants, "browserContextId": context });
        steps.push(("permissions", Raw::new("Browser.grantPermissions", params)));
    }
    let cookies = outfit.belongings.cookies_for(url);
    if !cookies.is_empty() {
        let params = json!({ "cookies": cookies, "browserContextId": context });
        steps.push(("cookies", Raw::new("Storage.setCookies", params)));
    }
    steps
}

/// What concerns the page. `user_agent` is empty where neither it nor the languages change.
fn page_steps(outfit: &Outfit, user_agent: &str) -> Vec<Step> {
    let options = &outfit.options;
    let mut steps = vec![(
        "viewport",
        Raw::new(
            "Emulation.setDeviceMetricsOverride",
            json!({
                "width": options.viewport_width,
                "height": options.viewport_height,
                "deviceScaleFactor": options.device_scale_factor,
                "mobile": options.is_mobile,
                "screenWidth": options.viewport_width,
                "screenHeight": options.viewport_height,
            }),
        ),
    )];
    let mut add = |wanted: bool, option, method, params: Value| {
        if wanted {
            steps.push((option, Raw::new(method, params)));
        }
    };
    add(
        options.has_touch,
        "has_touch",
        "Emulation.setTouchEmulationEnabled",
        json!({ "enabled": true, "maxTouchPoints": 5 }),
    );
    let mut agent = json!({ "userAgent": user_agent });
    if !options.locale.is_empty() {
        agent["acceptLanguage"] = options.locale.replace('_', "-").into();
    }
    add(
        !user_agent.is_empty(),
        "user_agent",
        "Emulation.setUserAgentOverride",
        agent,
    );
    add(
        !options.locale.is_empty(),
        "locale",
        "Emulation.setLocaleOverride",
        json!({ "locale": options.locale.replace('-', "_") }),
    );
    add(
        !options.timezone_id.is_empty(),
        "timezone_id",
        "Emulation.setTimezoneOverride",
        json!({ "timezoneId": options.timezone_id }),
    );
    if let (Some(latitude), Some(longitude)) = (
        options.geolocation_latitude.0,
        options.geolocation_longitude.0,
    ) {
        let accuracy = options.geolocation_accuracy.0.unwrap_or(0.0);
        let place = json!({ "latitude": latitude, "longitude": longitude, "accuracy": accuracy });
        add(
            true,
            "geolocation",
            "Emulation.setGeolocationOverride",
            place,
        );
    }
    let media: Vec<Value> = [
        ("prefers-color-scheme", &options.color_scheme),
        ("prefers-reduced-motion", &options.reduced_motion),
    ]
    .into_iter()
    .filter(|(_, value)| !matches!(value.as_str(), "" | "null"))
    .map(|(name, value)| json!({ "name": name, "value": value }))
    .collect();
    add(
        !media.is_empty(),
        "color_scheme",
        "Emulation.setEmulatedMedia",
        json!({ "features": media }),
    );
    add(
        !options.javascript_enabled,
        "javascript_enabled",
        "Emulation.setScriptExecutionDisabled",
        json!({ "value": true }),
    );
    add(
        options.bypass_csp,
        "bypass_csp",
        "Page.setBypassCSP",
        json!({ "enabled": true }),
    );
    add(
        options.ignore_https_errors,
        "ignore_https_errors",
        "Security.setIgnoreCertificateErrors",
        json!({ "ignore": true }),
    );
    // Only what the page is told; that it is true is the gate's business, which lets it reach this server.
    add(
        options.offline,
        "offline",
        "Network.overrideNetworkState",
        json!({ "offline": true, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 }),
    );
    if let Some(script) = outfit.belongings.storage_script() {
        add(
            true,
            "local_storage",
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": script }),
        );
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|(_, command)| command.method).collect()
    }

    #[test]
    fn a_page_without_wishes_gets_its_size() {
        let plain = Outfit::default();
        let steps = page_steps(&plain, "");
        assert_eq!(methods(&steps), ["Emulation.setDeviceMetricsOverride"]);
        assert_eq!(steps[0].1.params["width"], 1280);
        let context = context_steps(&plain, "c", "/d", "http://x/");
        assert_eq!(
            context,
            [(
                "accept_downloads",
                Raw::new(
                    "Browser.setDownloadBehavior",
                    json!({"behavior": "deny", "browserContextId": "c"})
                )
            )]
        );
    }

    #[test]
    fn languages_go_with_the_user_agent() {
        let options = BrowserOptions {
            locale: "fr-FR".into(),
            ..BrowserOptions::default()
        };
        let steps = page_steps(
            &Outfit {
                options,
                ..Outfit::default()
            },
            "Agent",
        );
        assert_eq!(
            steps[1].1.params,
            json!({"userAgent": "Agent", "acceptLanguage": "fr-FR"})
        );
        assert_eq!(steps[2].1.params, json!({"locale": "fr_FR"}));
    }
}
