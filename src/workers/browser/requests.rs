//! Headers that a page's requests get on their way: those of the options on all of them, an authorization on those to
//! the app's own site. Chromium holds the requests of the page and of its workers until they are answered here.

use chromiumoxide::cdp::browser_protocol::fetch::{
    ContinueRequestParams, EnableParams, EventRequestPaused, HeaderEntry, RequestPattern,
};
use futures::StreamExt;
use url::{Origin, Url};

use super::devtools::DevtoolsError;
use super::options::BrowserOptions;
use super::outfit::Outfit;
use super::target::Target;

/// The headers of one page.
#[derive(Debug, Clone, Default)]
pub(super) struct Extra {
    everywhere: Vec<(String, String)>,
    authorized: Vec<(Origin, String)>,
}

impl Extra {
    /// The headers for a page at `url`. `own` is this server, which hears no foreign authorization.
    pub fn new(outfit: &Outfit, url: &str, own: Option<&str>) -> Self {
        let origin = |text: &str| {
            Url::parse(text)
                .ok()
                .map(|url| url.origin())
                .filter(Origin::is_tuple)
        };
        let own = own.and_then(origin);
        let home = origin(url).filter(|home| Some(home) != own.as_ref());
        let options = &outfit.options;
        let mut authorized = Vec::new();
        if let (Some(token), Some(home)) = (&outfit.belongings.authorization, &home) {
            authorized.push((home.clone(), token.clone()));
        }
        if let Some(basic) = basic(options) {
            let base = origin(&options.base_url);
            authorized.extend(
                base.into_iter()
                    .chain(home)
                    .map(|site| (site, basic.clone())),
            );
        }
        let everywhere = options.extra_http_headers.0.clone().into_iter().collect();
        Self {
            everywhere,
            authorized,
        }
    }

    fn is_empty(&self) -> bool {
        self.everywhere.is_empty() && self.authorized.is_empty()
    }

    /// The headers of a request to `url` that so far has `given`; `None` where nothing changes.
    fn of(&self, url: &str, given: &serde_json::Value) -> Option<Vec<HeaderEntry>> {
        let origin = Url::parse(url).ok()?.origin();
        let authorization = self.authorized.iter().find(|(site, _)| *site == origin);
        let authorization = authorization.map(|(_, value)| ("Authorization", value.as_str()));
        let mut added: Vec<(&str, &str)> = self
            .everywhere
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let given: Vec<(&String, &str)> = given
            .as_object()?
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_str()?)))
            .collect();
        // What the page itself sends as authorization goes before ours.
        let own = given
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        added.extend(authorization.filter(|_| !own));
        if added.is_empty() {
            return None;
        }
        let kept = given
            .into_iter()
            .filter(|(name, _)| !added.iter().any(|(new, _)| new.eq_ignore_ascii_case(name)));
        let kept: Vec<HeaderEntry> = kept
            .map(|(name, value)| HeaderEntry::new(name.clone(), value))
            .collect();
        let added = added
            .iter()
            .map(|(name, value)| HeaderEntry::new(*name, *value));
        Some(kept.into_iter().chain(added).collect())
    }
}

fn basic(options: &BrowserOptions) -> Option<String> {
    if options.http_username.is_empty() {
        return None;
    }
    let pair = format!("{}:{}", options.http_username, options.http_password);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
    Some(format!("Basic {encoded}"))
}

/// Starts to add the headers to what `page` requests, which holds once the future has ended; `None` where there are
/// none.
pub(super) fn add_headers(
    page: &Target,
    extra: Extra,
) -> Option<impl Future<Output = Result<(), DevtoolsError>> + Send + use<>> {
    if extra.is_empty() {
        return None;
    }
    let mut paused = page.events::<EventRequestPaused>();
    let enable =
        EnableParams::builder().pattern(RequestPattern::builder().url_pattern("*").build());
    let enabled = page.send(enable.build());
    let page = page.clone();
    // The events end with the page.
    tokio::spawn(async move {
        while let Some(event) = paused.next().await {
            let mut go = ContinueRequestParams::new(event.request_id.clone());
            go.headers = extra.of(&event.request.url, event.request.headers.inner());
            // The order of requests does not matter, and a slow answer must not hold up the others.
            tokio::spawn(page.send(go));
        }
    });
    Some(async { enabled.await.map(drop) })
}

#[cfg(test)]
mod tests {
    use super::super::belongings::Belongings;
    use super::*;
    use serde_json::json;

    fn names(headers: Option<Vec<HeaderEntry>>) -> Vec<(String, String)> {
        headers
            .unwrap_or_default()
            .into_iter()
            .map(|entry| (entry.name, entry.value))
            .collect()
    }

    #[test]
    fn each_site_gets_its_own() {
        let options = BrowserOptions {
            http_username: "me".into(),
            http_password: "pass".into(),
            base_url: "https://api.myapp.com/v1/".into(),
            ..BrowserOptions::default()
        };
        let manifest = json!({"authorization_token": "Bearer t"});
        let belongings = Belongings::of(manifest.as_object().unwrap()).unwrap();
        let extra = Extra::new(
            &Outfit {
                options,
                belongings,
            },
            "http://site:80/x",
            Some("http://127.0.0.1:9527"),
        );
        let header = |url: &str| {
            names(extra.of(url, &json!({"A": "1"})))
                .pop()
                .map(|(_, value)| value)
        };
        assert_eq!(header("http://site/other").as_deref(), Some("Bearer t"));
        assert_eq!(
            header("https://api.myapp.com/z").as_deref(),
            Some("Basic bWU6cGFzcw==")
        );
        assert_eq!(header("http://api.myapp.com/z"), None);
        assert_eq!(header("http://elsewhere/"), None);
        let own = extra.of("http://site/", &json!({"authorization": "mine"}));
        assert!(own.is_none(), "the page's own authorization stays");
    }

    #[test]
    fn this_server_hears_no_authorization() {
        let manifest = json!({"authorization_token": "Bearer t"});
        let belongings = Belongings::of(manifest.as_object().unwrap()).unwrap();
        let outfit = Outfit {
            belongings,
            ..Outfit::default()
        };
        assert!(
            Extra::new(
                &outfit,
                "http://127.0.0.1:9527/ws/x",
                Some("http://127.0.0.1:9527")
            )
            .is_empty()
        );
    }
}
