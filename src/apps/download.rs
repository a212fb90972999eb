//! Fetching the source of an app from the web, within limits.

use std::time::Duration;

use futures::StreamExt;
use reqwest::redirect::{Attempt, Policy};
use thiserror::Error;
use url::Url;

use super::source::{checked_url, is_local};
use crate::peer::ServiceError;

/// Longest source in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Time for the whole download.
const WITHIN: Duration = Duration::from_secs(30);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;

/// Why a source could not be fetched.
#[derive(Debug, Error)]
pub enum DownloadError {
    #[error("the server answered {0}")]
    Status(u16),
    #[error("it is larger than {} MB", MAX_BYTES >> 20)]
    TooLarge,
    #[error("it is not text in UTF-8")]
    NotText,
    #[error("it took longer than {} s", WITHIN.as_secs())]
    TooSlow,
    #[error("{0}")]
    Failed(String),
}

/// A web client for sources.
pub struct Downloader {
    client: Result<reqwest::Client, String>,
}

impl Default for Downloader {
    fn default() -> Self {
        // Another part of the process may have chosen a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(WITHIN)
            .connect_timeout(CONNECT_WITHIN)
            .redirect(Policy::custom(follow))
            .build();
        Downloader {
            client: client.map_err(|error| error.to_string()),
        }
    }
}

/// Follows a redirect only to where a source may come from. The web must not point this server at
/// itself or its neighbours.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("too many redirects");
    }
    if checked_url(attempt.url().as_str()).is_err() {
        return attempt.error("redirected to an address that is not secured");
    }
    let began_here = attempt.previous().first().is_some_and(is_local);
    if is_local(attempt.url()) && !began_here {
        return attempt.error("redirected to this machine");
    }
    attempt.follow()
}

impl Downloader {
    /// The text behind a URL that was checked.
    ///
    /// # Errors
    /// `Failed to download the source from <url>: …`
    pub async fn text(&self, url: &Url) -> Result<String, ServiceError> {
        let fetched = self.fetch(url).await;
        fetched.map_err(|error| {
            let mut shown = url.clone();
            // A password in an address is nobody else's business; a URL without a host has none.
            let _ = shown.set_password(None);
            let _ = shown.set_username("");
            ServiceError::plain(format!(
                "Failed to download the source from {shown}: {error}"
            ))
        })
    }

    async fn fetch(&self, url: &Url) -> Result<String, DownloadError> {
        let client = self
            .client
            .as_ref()
            .map_err(|error| DownloadError::Failed(error.clone()))?;
        let answer = client.get(url.clone()).send().await.map_err(told)?;
        if !answer.status().is_success() {
            return Err(DownloadError::Status(answer.status().as_u16()));
        }
        if answer
            .content_length()
            .is_some_and(|length| length > MAX_BYTES as u64)
        {
            return Err(DownloadError::TooLarge);
        }
        let mut body = Vec::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(told)?;
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(DownloadError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| DownloadError::NotText)
    }
}

/// The innermost cause says what happened; the outer ones repeat the address.
fn told(error: reqwest::Error) -> DownloadError {
    if error.is_timeout() {
        return DownloadError::TooSlow;
    }
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    DownloadError::Failed(cause.to_string())
}
