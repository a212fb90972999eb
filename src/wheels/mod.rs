//! A caching index of Python packages for apps in pages, in front of PyPI or of another index.
//!
//! Pages ask it as they would ask PyPI (PEP 691). It knows wheels only, and of these those that run in a page: pure ones
//! and those for WebAssembly. What was asked once is answered from disk while the upstream index is away.

mod cache;
mod error;
mod flight;
mod project;
#[cfg(test)]
mod tests;
mod upstream;

use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

pub use error::WheelError;
pub use project::{Project, ProjectName, WheelFile};

use cache::Cache;
use flight::Flights;
use upstream::Upstream;

/// How long an answer of the upstream index counts as news.
const FRESH: Duration = Duration::from_secs(600);

/// How the index is set up.
#[derive(Debug, Clone)]
pub struct WheelSettings {
    /// Base address of the upstream index; empty for none at all.
    pub upstream: String,
    /// Folder of the cache.
    pub folder: PathBuf,
    /// Most bytes of files in the cache. A single file may not be larger, either.
    pub max_bytes: u64,
}

/// See the module's text.
pub struct WheelIndex {
    upstream: Option<Upstream>,
    cache: Cache,
    flights: Flights,
}

impl WheelIndex {
    /// An index that fills its cache as it is asked.
    pub fn new(settings: WheelSettings) -> Self {
        let address = settings.upstream.trim();
        WheelIndex {
            upstream: (!address.is_empty()).then(|| Upstream::new(address)),
            cache: Cache::new(settings.folder, settings.max_bytes),
            flights: Flights::default(),
        }
    }

    /// The wheels of a project.
    ///
    /// # Errors
    /// There is no such project, or the upstream index is away and it was never asked for before.
    pub async fn project(&self, name: &ProjectName) -> Result<Project, WheelError> {
        let upstream = self.upstream.as_ref().ok_or(WheelError::Disabled)?;
        if let Some((project, age)) = self.cache.project(name).await
            && age < FRESH
        {
            return Ok(project);
        }
        let _alone = self.flights.take(name.as_str()).await;
        // Somebody else may have fetched it meanwhile.
        let known = self.cache.project(name).await;
        if let Some((project, age)) = &known
            && *age < FRESH
        {
            return Ok(project.clone());
        }
        match upstream.project(name).await {
            Ok(project) => {
                self.cache.keep_project(name, &project).await?;
                Ok(project)
            }
            Err(error @ WheelError::Unreachable { .. }) => match known {
                Some((project, _)) => {
                    tracing::debug!(project = name.as_str(), %error, "answered from the cache");
                    Ok(project)
                }
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// A wheel as a file on disk, whose contents have the hash that the index promised.
    ///
    /// # Errors
    /// There is no such wheel, it is not what was promised, or it is neither here nor to be had.
    pub async fn wheel(&self, name: &ProjectName, file: &str) -> Result<PathBuf, WheelError> {
        let upstream = self.upstream.as_ref().ok_or(WheelError::Disabled)?;
        let missing = || WheelError::NotFound(format!("{}/{file}", name.as_str()));
        // The page of a project that is in use is not news any more, but names the file all the same.
        let known = self.cache.project(name).await;
        let project = match known.filter(|(project, _)| project.file(file).is_some()) {
            Some((project, _)) => project,
            None => self.project(name).await?,
        };
        let wheel = project.file(file).ok_or_else(missing)?;
        if let Some(path) = self.cache.wheel(wheel).await {
            return Ok(path);
        }
        let _alone = self.flights.take(&wheel.sha256).await;
        if let Some(path) = self.cache.wheel(wheel).await {
            return Ok(path);
        }
        self.fetch(upstream, wheel).await
    }

    async fn fetch(&self, upstream: &Upstream, wheel: &WheelFile) -> Result<PathBuf, WheelError> {
        let mut incoming = self.cache.incoming().await?;
        let mut download = upstream.wheel(wheel).await?;
        let (mut hash, mut length) = (Sha256::new(), 0u64);
        while let Some(piece) = download.piece().await? {
            length += piece.len() as u64;
            if length > self.cache.max_bytes {
                return Err(WheelError::TooLarge(wheel.filename.clone()));
            }
            hash.update(&piece);
            incoming.file.write_all(&piece).await?;
        }
        let found: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        if found != wheel.sha256 {
            return Err(WheelError::Corrupt(wheel.filename.clone()));
        }
        self.cache.keep_wheel(incoming, wheel).await
    }
}
