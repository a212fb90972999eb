//! Uploads in parts that are under way in the bucket. A small file remembers each, so that a later
//! start of the server gives up those that a crash left; a bucket keeps their parts for ever.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use s3::error::S3Error;
use tokio::sync::{RwLock, RwLockReadGuard};
use uuid::Uuid;

use super::{Inner, unavailable};
use crate::artifacts::blobs::BlobError;
use crate::artifacts::blobs::spool::blocking;

/// How the names of these files end.
const ENDING: &str = ".parts";
const WHAT: &str = "give up an upload";

/// An upload in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begun {
    pub key: String,
    pub id: String,
    /// The file that remembers it; none when only the bucket does.
    note: Option<PathBuf>,
}

impl Begun {
    /// How it is called where people read it.
    pub fn name(&self) -> String {
        format!("parts of {} in the bucket, upload {}", self.key, self.id)
    }

    fn forget(&self) -> io::Result<()> {
        match self.note.as_deref().map(fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What is known of uploads in parts.
pub(super) struct Journal {
    folder: PathBuf,
    /// Those of this run of the server.
    alive: Mutex<Vec<Begun>>,
    /// Those that an earlier run left.
    abandoned: Mutex<Vec<Begun>>,
    /// Held shared while one begins and is not noted yet, and alone while the bucket is asked.
    beginning: RwLock<()>,
}

impl Journal {
    /// Reads what an earlier run left in a folder.
    pub fn open(folder: &Path) -> io::Result<Journal> {
        let mut abandoned = Vec::new();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry.path();
            if !is_note(&path) {
                continue;
            }
            let text = fs::read_to_string(&path)?;
            // One that is half written was of an upload that got no parts.
            let whole = text
                .strip_suffix('\n')
                .and_then(|text| text.split_once('\n'));
            if let Some((key, id)) = whole {
                abandoned.push(Begun {
                    key: key.to_owned(),
                    id: id.to_owned(),
                    note: Some(path),
                });
            }
        }
        Ok(Journal {
            folder: folder.to_owned(),
            alive: Mutex::default(),
            abandoned: Mutex::new(abandoned),
            beginning: RwLock::default(),
        })
    }

    /// To be held from before an upload begins until it is noted.
    pub async fn beginning(&self) -> RwLockReadGuard<'_, ()> {
        self.beginning.read().await
    }

    /// Notes an upload that has begun.
    pub async fn note(&self, key: &str, id: &str) -> Result<Begun, BlobError> {
        let path = self.folder.join(format!("{}{ENDING}", Uuid::new_v4()));
        let text = format!("{key}\n{id}\n");
        let begun = Begun {
            key: key.to_owned(),
            id: id.to_owned(),
            note: Some(path.clone()),
        };
        let folder = self.folder.clone();
        blocking("note an upload", move || {
            let mut file = File::create(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            File::open(folder)?.sync_all()
        })
        .await?;
        self.alive.lock().push(begun.clone());
        Ok(begun)
    }

    /// Leaves an upload that could not be given up for later.
    pub fn leave(&self, begun: Begun) {
        self.alive.lock().retain(|other| *other != begun);
        self.abandoned.lock().push(begun);
    }

    /// Forgets an upload that is complete or given up.
    pub fn end(&self, begun: &Begun) {
        self.alive.lock().retain(|other| other != begun);
        if let Err(error) = begun.forget() {
            tracing::warn!(%error, "the note of an upload stays until the next start");
        }
    }
}

pub(super) fn is_note(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.ends_with(ENDING))
}

/// Empties a folder of all but the notes.
pub(super) fn clear_all_but_notes(folder: &Path) -> Result<(), BlobError> {
    let clear = || {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if !is_note(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    };
    clear().map_err(BlobError::io("clear unfinished blobs"))
}

impl Inner {
    /// Uploads in parts that nobody continues: noted by an earlier run, or found in the bucket.
    pub(super) async fn abandoned(&self) -> Result<Vec<Begun>, BlobError> {
        let mut found = self.journal.abandoned.lock().clone();
        for listed in self.listed().await? {
            if found.iter().all(|known| known.id != listed.id) {
                found.push(listed);
            }
        }
        Ok(found)
    }

    /// What the bucket says; nothing where it cannot say that.
    async fn listed(&self) -> Result<Vec<Begun>, BlobError> {
        let _alone = self.journal.beginning.write().await;
        let pages = self
            .bucket
            .list_multiparts_uploads(Some(&self.prefix), None)
            .await;
        let pages = match pages {
            Ok(pages) => pages,
            // Not every server can list them, and not in the same form.
            Err(S3Error::HttpFailWithBody(..) | S3Error::SerdeXml(_)) => return Ok(Vec::new()),
            Err(error) => return Err(unavailable("list uploads")(error)),
        };
        let alive = self.journal.alive.lock();
        let uploads = pages.into_iter().flat_map(|page| page.uploads);
        let ours = uploads.filter(|upload| upload.key.starts_with(&self.prefix));
        Ok(ours
            .filter(|upload| alive.iter().all(|known| known.id != upload.id))
            .map(|upload| Begun {
                key: upload.key,
                id: upload.id,
                note: None,
            })
            .collect())
    }

    /// Gives up what nobody continues; how many there were.
    pub(super) async fn give_up_abandoned(&self) -> Result<usize, BlobError> {
        let abandoned = self.abandoned().await?;
        for begun in &abandoned {
            match self.bucket.abort_upload(&begun.key, &begun.id).await {
                Ok(()) => {}
                // It is complete, or was given up by somebody else.
                Err(S3Error::HttpFailWithBody(status, _)) if (400..500).contains(&status) => {}
                Err(error) => return Err(unavailable(WHAT)(error)),
            }
            let forget = begun.clone();
            blocking(WHAT, move || forget.forget()).await?;
            self.journal.abandoned.lock().retain(|other| other != begun);
        }
        Ok(abandoned.len())
    }
}
