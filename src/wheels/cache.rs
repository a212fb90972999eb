//! What is kept on disk: `index/<project>.json` and `files/<sha256>`, each put in place by one rename.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::fs;
use uuid::Uuid;

use super::{Project, ProjectName, WheelError, WheelFile};

/// Most pages of projects.
const MAX_PROJECTS: usize = 5000;
/// What files on their way in are called.
const INCOMING: &str = ".incoming-";

/// See the module's text.
pub(super) struct Cache {
    folder: PathBuf,
    pub max_bytes: u64,
}

/// A file that is not complete yet; removed again unless it is kept.
pub(super) struct Incoming {
    pub file: fs::File,
    path: PathBuf,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After it was kept there is nothing under this name.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Cache {
    pub fn new(folder: PathBuf, max_bytes: u64) -> Self {
        // Left behind by a crash.
        for entry in std::fs::read_dir(folder.join("files"))
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with(INCOMING) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Self { folder, max_bytes }
    }

    fn page(&self, name: &ProjectName) -> PathBuf {
        self.folder
            .join("index")
            .join(format!("{}.json", name.as_str()))
    }

    fn place(&self, wheel: &WheelFile) -> PathBuf {
        self.folder.join("files").join(&wheel.sha256)
    }

    /// What is known of a project, and since when.
    pub async fn project(&self, name: &ProjectName) -> Option<(Project, Duration)> {
        let path = self.page(name);
        let text = fs::read(&path).await.ok()?;
        let written = fs::metadata(&path).await.ok()?.modified().ok()?;
        let age = SystemTime::now()
            .duration_since(written)
            .unwrap_or_default();
        Some((serde_json::from_slice(&text).ok()?, age))
    }

    pub async fn keep_project(
        &self,
        name: &ProjectName,
        project: &Project,
    ) -> Result<(), WheelError> {
        let text = serde_json::to_vec(project).map_err(std::io::Error::other)?;
        let incoming = self.incoming().await?;
        fs::write(&incoming.path, text).await?;
        let path = self.page(name);
        let folder = self.folder.join("index");
        fs::create_dir_all(&folder).await?;
        fs::rename(&incoming.path, &path).await?;
        sweep(folder, |rank, _| rank >= MAX_PROJECTS).await
    }

    /// A wheel that is here. It counts as used, and so stays longer.
    pub async fn wheel(&self, wheel: &WheelFile) -> Option<PathBuf> {
        let path = self.place(wheel);
        let opening = path.clone();
        let touch = move || std::fs::File::open(&opening)?.set_modified(SystemTime::now());
        tokio::task::spawn_blocking(touch).await.ok()?.ok()?;
        Some(path)
    }

    pub async fn incoming(&self) -> Result<Incoming, WheelError> {
        let folder = self.folder.join("files");
        fs::create_dir_all(&folder).await?;
        let path = folder.join(format!("{INCOMING}{}", Uuid::new_v4()));
        let file = fs::File::create(&path).await?;
        Ok(Incoming { file, path })
    }

    /// Puts a complete and verified file in its place.
    pub async fn keep_wheel(
        &self,
        mut incoming: Incoming,
        wheel: &WheelFile,
    ) -> Result<PathBuf, WheelError> {
        let path = self.place(wheel);
        tokio::io::AsyncWriteExt::flush(&mut incoming.file).await?;
        incoming.file.sync_all().await?;
        fs::rename(&incoming.path, &path).await?;
        let max = self.max_bytes;
        sweep(self.folder.join("files"), move |_, bytes| bytes > max).await?;
        Ok(path)
    }
}

/// Removes the files that were not used for longest: all for which `beyond` says so, given how many younger ones there
/// are and how many bytes the younger ones and it have.
async fn sweep(
    folder: PathBuf,
    beyond: impl Fn(usize, u64) -> bool + Send + 'static,
) -> Result<(), WheelError> {
    let swept = tokio::task::spawn_blocking(move || {
        let mut files = list(&folder)?;
        files.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
        let mut bytes = 0;
        for (rank, (_, size, path)) in files.into_iter().enumerate() {
            bytes += size;
            if beyond(rank, bytes) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    });
    swept
        .await
        .map_err(std::io::Error::other)?
        .map_err(WheelError::Disk)
}

fn list(folder: &Path) -> std::io::Result<Vec<(SystemTime, u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // What is on its way in counts once it is here.
        if entry.file_name().to_string_lossy().starts_with(INCOMING) {
            continue;
        }
        let about = entry.metadata()?;
        files.push((about.modified()?, about.len(), entry.path()));
    }
    Ok(files)
}
