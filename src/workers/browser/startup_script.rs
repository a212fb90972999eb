//! The script that an app wants to run in its page once that has loaded (server-apps.md 5.4). It lies among the app's
//! files. That it is missing or broken is a warning and no more.

use std::time::Duration;

use url::Url;

use super::page::Page;

/// Longest script, in bytes.
const MAX_SCRIPT: usize = 4 << 20;

/// Waits for `page`, fetches the script at `path` from beside the page at `base`, and runs it.
///
/// # Errors
/// What went wrong, for the log.
pub(super) async fn run(
    page: &Page,
    base: &str,
    path: &str,
    limit: Duration,
) -> Result<(), String> {
    // A page that does not come up says so itself.
    if page.ready().await.is_err() {
        return Ok(());
    }
    let failed =
        |error: &dyn std::fmt::Display| format!("the startup script {path} did not run: {error}");
    let script = tokio::time::timeout(limit, fetch(base, path)).await;
    let script = script
        .map_err(|_| failed(&"it could not be read in time"))?
        .map_err(|error| failed(&error))?;
    page.evaluate_within(&script, limit)
        .await
        .map(drop)
        .map_err(|error| failed(&error))
}

async fn fetch(base: &str, path: &str) -> Result<String, String> {
    let base = Url::parse(base).map_err(|error| error.to_string())?;
    let url = base.join(path).map_err(|error| error.to_string())?;
    // `..` and whole addresses lead away from the app.
    if !url.as_str().starts_with(base.as_str()) {
        return Err("it is no file of the app".to_owned());
    }
    // Another part of the process may have chosen a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = |error: reqwest::Error| error.without_url().to_string();
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(text)?;
    let answer = client.get(url).send().await.map_err(text)?;
    if !answer.status().is_success() {
        return Err(format!("its file answered {}", answer.status()));
    }
    let script = answer.bytes().await.map_err(text)?;
    if script.len() > MAX_SCRIPT {
        return Err(format!("it is longer than {MAX_SCRIPT} bytes"));
    }
    String::from_utf8(script.to_vec()).map_err(|_| "it is not UTF-8".to_owned())
}
