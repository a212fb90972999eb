use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;

use super::spool::{Spool, blocking};
use super::{
    BlobError, BlobId, BlobStat, BlobStore, Expect, Incoming, Outgoing, Presentation, Put,
};

/// Where a blob is written before it gets its name.
const UNFINISHED: &str = "tmp";
/// Bytes that are read from a file in one go.
const READ_AT_ONCE: u64 = 256 * 1024;

/// Blobs as files: `<dir>/<first two digits>/<id>`.
///
/// A file appears under its name only when all of its bytes are on disk. No file name comes from a
/// user. The directory belongs to one process; the lock of the store beside it sees to that.
#[derive(Clone, Debug)]
pub struct FolderBlobs {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    dir: PathBuf,
    counter: AtomicU64,
    /// Held while a file gets its name or is made young, and while an old one is taken away.
    naming: Mutex<()>,
}

impl FolderBlobs {
    /// Opens the folder `dir`, creates it if need be and clears what a crash left unfinished.
    pub fn open(dir: &Path) -> Result<FolderBlobs, BlobError> {
        clear(&dir.join(UNFINISHED))?;
        Ok(FolderBlobs::as_it_is(dir))
    }

    /// The folder `dir` as it is, to look at it.
    pub fn as_it_is(dir: &Path) -> FolderBlobs {
        FolderBlobs {
            folder: Arc::new(Folder {
                dir: dir.to_owned(),
                counter: AtomicU64::new(0),
                naming: Mutex::new(()),
            }),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let folder = self.folder.clone();
        blocking(what, move || work(&folder)).await
    }
}

/// The paths of what lies in a folder; nothing when there is no such folder.
pub(super) fn files_in(dir: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = present(fs::read_dir(dir))? else {
        return Ok(Vec::new());
    };
    let path = |entry: io::Result<fs::DirEntry>| Ok(entry?.path().display().to_string());
    entries.map(path).collect()
}

/// Makes `dir` an empty folder.
pub(super) fn clear(dir: &Path) -> Result<(), BlobError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(BlobError::io("clear unfinished blobs")(error));
        }
        _ => {}
    }
    fs::create_dir_all(dir).map_err(BlobError::io("create the blob folder"))
}

#[async_trait]
impl BlobStore for FolderBlobs {
    async fn put(&self, bytes: Bytes) -> Result<BlobId, BlobError> {
        let body = stream::iter([Ok(bytes)]).boxed();
        Ok(self.put_stream(body, Expect::default()).await?.id)
    }

    async fn put_stream(&self, body: Incoming, expect: Expect) -> Result<Put, BlobError> {
        let spool = self.blocking("begin an upload", Folder::spool).await?;
        let (spool, put) = spool.fill(body, expect).await?;
        let id = put.id;
        self.blocking("put a blob", move |folder| folder.shelve(spool, &id))
            .await?;
        Ok(put)
    }

    async fn read(&self, id: &BlobId, range: Option<Range<u64>>) -> Result<Outgoing, BlobError> {
        let id = *id;
        let opened = self.blocking("open a blob", move |folder| {
            let Some(mut file) = present(File::open(folder.path(&id)))? else {
                return Ok(None);
            };
            let range = match range {
                Some(range) => range,
                None => 0..file.metadata()?.len(),
            };
            file.seek(SeekFrom::Start(range.start))?;
            Ok(Some((file, range.end.saturating_sub(range.start))))
        });
        let (file, left) = opened.await?.ok_or(BlobError::Missing(id))?;
        Ok(pieces(file, left))
    }

    async fn presigned_get(
        &self,
        _: &BlobId,
        _: Duration,
        _: &Presentation,
    ) -> Result<Option<String>, BlobError> {
        Ok(None)
    }

    async fn stat(&self, id: &BlobId) -> Result<Option<BlobStat>, BlobError> {
        let id = *id;
        self.blocking("look at a blob", move |folder| folder.stat(&id))
            .await
    }

    async fn remove(&self, id: &BlobId) -> Result<bool, BlobError> {
        let id = *id;
        self.blocking("remove a blob", move |folder| folder.remove(&id))
            .await
    }

    async fn remove_older(&self, id: &BlobId, time: SystemTime) -> Result<bool, BlobError> {
        let id = *id;
        self.blocking("remove a blob", move |folder| {
            let _naming = folder.naming.lock();
            match folder.stat(&id)? {
                Some(stat) if stat.put_at < time => folder.remove(&id),
                _ => Ok(false),
            }
        })
        .await
    }

    async fn ids(&self) -> Result<Vec<BlobId>, BlobError> {
        self.blocking("list the blobs", Folder::ids).await
    }

    async fn unfinished(&self) -> Result<Vec<String>, BlobError> {
        self.blocking("list unfinished blobs", |folder| {
            files_in(&folder.dir.join(UNFINISHED))
        })
        .await
    }
}

/// `left` bytes of a file from where it stands, each piece read when the one before is taken.
fn pieces(file: File, left: u64) -> Outgoing {
    stream::try_unfold((file, left), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        blocking("read a blob", move || {
            let mut piece = vec![0; left.min(READ_AT_ONCE) as usize];
            file.read_exact(&mut piece)?;
            let left = left - piece.len() as u64;
            Ok(Some((Bytes::from(piece), (file, left))))
        })
        .await
    })
    .boxed()
}

impl Folder {
    fn path(&self, id: &BlobId) -> PathBuf {
        let name = id.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    fn spool(&self) -> io::Result<Spool> {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        Spool::create(self.dir.join(UNFINISHED).join(number.to_string()))
    }

    /// Gives a finished upload its name, or makes the blob young that is there already.
    fn shelve(&self, spool: Spool, id: &BlobId) -> io::Result<()> {
        let path = self.path(id);
        let shelf = self.shelf_of(&path)?;
        {
            let _naming = self.naming.lock();
            if !renew(&path)? {
                spool.rename(&path)?;
            }
        }
        // Also for a blob found in place: another task may have renamed it and not yet come here.
        sync_dir(&shelf)
    }

    /// The directory a blob belongs in, which is on disk when this returns.
    fn shelf_of(&self, path: &Path) -> io::Result<PathBuf> {
        let shelf = path.parent().unwrap_or(&self.dir).to_owned();
        match fs::create_dir(&shelf) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => {
                sync_dir(&self.dir)?;
                Ok(shelf)
            }
        }
    }

    fn remove(&self, id: &BlobId) -> io::Result<bool> {
        Ok(present(fs::remove_file(self.path(id)))?.is_some())
    }

    fn stat(&self, id: &BlobId) -> io::Result<Option<BlobStat>> {
        let Some(metadata) = present(fs::metadata(self.path(id)))? else {
            return Ok(None);
        };
        Ok(Some(BlobStat {
            size: metadata.len(),
            put_at: metadata.modified()?,
        }))
    }

    fn ids(&self) -> io::Result<Vec<BlobId>> {
        let mut ids = Vec::new();
        let Some(shelves) = present(fs::read_dir(&self.dir))? else {
            return Ok(ids);
        };
        for shelf in shelves {
            let shelf = shelf?;
            if shelf.file_name() == UNFINISHED || !shelf.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(shelf.path())? {
                let name = file?.file_name();
                // Files that are no blobs are not ours to touch.
                ids.extend(name.to_str().and_then(|name| name.parse::<BlobId>().ok()));
            }
        }
        Ok(ids)
    }
}

/// Marks a blob that is there already as just put; false when there is none.
fn renew(path: &Path) -> io::Result<bool> {
    let Some(file) = present(OpenOptions::new().write(true).open(path))? else {
        return Ok(false);
    };
    file.set_modified(SystemTime::now())?;
    Ok(true)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn present<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::testing::TempDir;

    fn open() -> (TempDir, FolderBlobs) {
        let dir = TempDir::new();
        let blobs = FolderBlobs::open(dir.path()).unwrap();
        (dir, blobs)
    }

    #[tokio::test]
    async fn bytes_come_back_under_their_hash() {
        let (dir, blobs) = open();
        let id = blobs.put(Bytes::from_static(b"hello")).await.unwrap();
        assert_eq!(id, BlobId::of(b"hello"));
        assert_eq!(blobs.get(&id).await.unwrap(), &b"hello"[..]);
        assert!(blobs.exists(&id).await.unwrap());
        assert_eq!(blobs.stat(&id).await.unwrap().unwrap().size, 5);
        let name = id.to_string();
        assert!(dir.path().join(&name[..2]).join(&name).is_file());
        let again = FolderBlobs::open(dir.path()).unwrap();
        assert_eq!(again.get(&id).await.unwrap(), &b"hello"[..]);
    }

    #[tokio::test]
    async fn an_empty_blob_is_a_blob() {
        let (_dir, blobs) = open();
        let id = blobs.put(Bytes::new()).await.unwrap();
        assert!(blobs.get(&id).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn putting_twice_keeps_one_and_makes_it_young() {
        let (_dir, blobs) = open();
        let id = blobs.put(Bytes::from_static(b"x")).await.unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let file = OpenOptions::new().write(true).open(blobs.folder.path(&id));
        file.unwrap().set_modified(old).unwrap();
        assert_eq!(blobs.stat(&id).await.unwrap().unwrap().put_at, old);
        assert_eq!(blobs.put(Bytes::from_static(b"x")).await.unwrap(), id);
        assert!(blobs.stat(&id).await.unwrap().unwrap().put_at > old);
        assert_eq!(blobs.ids().await.unwrap(), [id]);
    }

    #[tokio::test]
    async fn a_missing_blob_is_told_apart_from_a_failure() {
        let (dir, blobs) = open();
        let id = BlobId::of(b"nowhere");
        let error = blobs.get(&id).await.unwrap_err();
        assert!(matches!(error, BlobError::Missing(missing) if missing == id));
        assert!(!blobs.exists(&id).await.unwrap());
        assert!(!blobs.remove(&id).await.unwrap());
        fs::create_dir_all(blobs.folder.path(&id)).unwrap();
        let error = blobs.get(&id).await.unwrap_err();
        assert!(matches!(error, BlobError::Io { .. }), "{error}");
        drop(dir);
    }

    #[tokio::test]
    async fn a_removed_blob_can_be_put_again() {
        let (_dir, blobs) = open();
        let id = blobs.put(Bytes::from_static(b"x")).await.unwrap();
        assert!(blobs.remove(&id).await.unwrap());
        assert!(!blobs.exists(&id).await.unwrap());
        assert!(blobs.ids().await.unwrap().is_empty());
        blobs.put(Bytes::from_static(b"x")).await.unwrap();
        assert!(blobs.exists(&id).await.unwrap());
    }

    #[tokio::test]
    async fn the_list_has_blobs_only_and_opening_clears_the_unfinished() {
        let (dir, blobs) = open();
        let mut ids = Vec::new();
        for text in ["a", "b", "c"] {
            ids.push(blobs.put(Bytes::from(text)).await.unwrap());
        }
        let shelf = blobs.folder.path(&ids[0]).parent().unwrap().to_owned();
        fs::write(shelf.join("note.txt"), b"x").unwrap();
        fs::write(dir.path().join("README"), b"x").unwrap();
        let unfinished = dir.path().join(UNFINISHED).join("17");
        fs::write(&unfinished, b"half").unwrap();
        let blobs = FolderBlobs::open(dir.path()).unwrap();
        let mut found = blobs.ids().await.unwrap();
        found.sort();
        ids.sort();
        assert_eq!(found, ids);
        assert!(!unfinished.exists());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_tasks_put_the_same_and_different_bytes() {
        let (dir, blobs) = open();
        let tasks = (0..40u8).map(|n| {
            let blobs = blobs.clone();
            tokio::spawn(async move { blobs.put(vec![n % 10; 1000].into()).await })
        });
        for task in futures::future::join_all(tasks).await {
            task.unwrap().unwrap();
        }
        assert_eq!(blobs.ids().await.unwrap().len(), 10);
        let left = fs::read_dir(dir.path().join(UNFINISHED)).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[tokio::test]
    async fn the_trait_can_be_used_as_an_object() {
        let (_dir, blobs) = open();
        let blobs: Arc<dyn BlobStore> = Arc::new(blobs);
        let id = blobs.put(Bytes::from_static(b"x")).await.unwrap();
        assert!(blobs.exists(&id).await.unwrap());
    }
}
