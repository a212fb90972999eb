//! The index elsewhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::ACCEPT;
use reqwest::{Response, StatusCode};
use serde_json::Value as Json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::{Project, ProjectName, WheelError, WheelFile};

const JSON: &str = "application/vnd.pypi.simple.v1+json";
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Silence after which a transfer is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest page of a project. The largest ones on PyPI have 30 MB.
const MAX_PAGE: usize = 64 << 20;
/// Requests at a time.
const AT_ONCE: usize = 8;

/// See the module's text.
pub(super) struct Upstream {
    /// Its base with a closing slash, or what is wrong with it.
    base: Result<Url, String>,
    client: Result<reqwest::Client, String>,
    slots: Arc<Semaphore>,
}

/// A file on its way in.
pub(super) struct Download {
    answer: Response,
    what: String,
    index: String,
    _slot: OwnedSemaphorePermit,
}

impl Upstream {
    pub fn new(address: &str) -> Self {
        let address = format!("{}/", address.trim_end_matches('/'));
        // Another part of the process may have chosen a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENCE)
            .build();
        Self {
            base: Url::parse(&address).map_err(|error| error.to_string()),
            client: client.map_err(|error| error.to_string()),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Asks for the page of a project.
    ///
    /// # Errors
    /// There is none, or no sensible answer.
    pub async fn project(&self, name: &ProjectName) -> Result<Project, WheelError> {
        let what = name.as_str();
        let base = self
            .base
            .as_ref()
            .map_err(|reason| self.away(what, reason))?;
        let address = base
            .join(&format!("{what}/"))
            .map_err(|error| self.away(what, &error.to_string()))?;
        let mut download = self.get(address.clone(), what).await?;
        let mut page = Vec::new();
        while let Some(piece) = download.piece().await? {
            if page.len() + piece.len() > MAX_PAGE {
                return Err(self.unexpected("its answer is too long"));
            }
            page.extend_from_slice(&piece);
        }
        let answer: Json =
            serde_json::from_slice(&page).map_err(|error| self.unexpected(&error.to_string()))?;
        // A redirect may have led elsewhere; addresses are relative to where the page is.
        Project::from_upstream(&answer, download.answer.url())
            .ok_or_else(|| self.unexpected("its answer lacks a name or files"))
    }

    /// Begins to fetch a wheel.
    ///
    /// # Errors
    /// It is not to be had.
    pub async fn wheel(&self, wheel: &WheelFile) -> Result<Download, WheelError> {
        let address = Url::parse(&wheel.url)
            .map_err(|error| self.away(&wheel.filename, &error.to_string()))?;
        self.get(address, &wheel.filename).await
    }

    async fn get(&self, address: Url, what: &str) -> Result<Download, WheelError> {
        let client = self
            .client
            .as_ref()
            .map_err(|reason| self.away(what, reason))?;
        let slot = self.slots.clone().acquire_owned().await;
        let slot = slot.map_err(|error| self.away(what, &error.to_string()))?;
        let sent = client.get(address).header(ACCEPT, JSON).send().await;
        let answer = sent.map_err(|error| self.away(what, &innermost(&error)))?;
        match answer.status() {
            status if status.is_success() => Ok(Download {
                answer,
                what: what.to_owned(),
                index: self.host(),
                _slot: slot,
            }),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(WheelError::NotFound(what.to_owned())),
            status => Err(self.away(what, &format!("it answered {status}"))),
        }
    }

    /// Its name for people, without the password that its address may hold.
    fn host(&self) -> String {
        let host = self.base.as_ref().ok().and_then(Url::host_str);
        host.unwrap_or("of this server").to_owned()
    }

    fn away(&self, what: &str, reason: &str) -> WheelError {
        away(self.host(), what, reason)
    }

    fn unexpected(&self, reason: &str) -> WheelError {
        WheelError::Unexpected {
            index: self.host(),
            reason: reason.to_owned(),
        }
    }
}

impl Download {
    /// The next piece; none at the end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, WheelError> {
        let piece = self.answer.chunk().await;
        piece.map_err(|error| away(self.index.clone(), &self.what, &innermost(&error)))
    }
}

fn away(index: String, what: &str, reason: &str) -> WheelError {
    WheelError::Unreachable {
        index,
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The innermost cause says what happened; the outer ones repeat the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
