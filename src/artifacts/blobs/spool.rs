//! Uploads on their way to a blob: a temporary file that is hashed as it grows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::store::free_bytes;

use super::{BlobError, BlobId, Expect, Incoming, LengthError, Put};

/// Bytes that are gathered before they are written in one go.
const WRITE_AT_ONCE: usize = 512 * 1024;

/// Bytes of the disk that uploads leave free: the store beside them needs room to go on.
const RESERVE: u64 = 16 * 1024 * 1024;

/// A temporary file; gone when this is dropped, unless it was renamed.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    file: File,
    sha: Sha256,
    md5: Md5,
    size: u64,
}

impl Spool {
    /// A new, empty one.
    pub fn create(path: PathBuf) -> io::Result<Spool> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Spool {
            path,
            file,
            sha: Sha256::new(),
            md5: Md5::new(),
            size: 0,
        })
    }

    /// Takes all of a body, checks its length and brings the file to disk.
    pub async fn fill(
        mut self,
        mut body: Incoming,
        expect: Expect,
    ) -> Result<(Spool, Put), BlobError> {
        self = self.with_room(expect.exactly.unwrap_or(0)).await?;
        let mut pieces = Vec::new();
        let mut waiting = 0;
        let mut total = 0;
        while let Some(piece) = body.try_next().await.map_err(BlobError::Broken)? {
            total += piece.len() as u64;
            within(total, expect)?;
            waiting += piece.len();
            pieces.push(piece);
            if waiting >= WRITE_AT_ONCE {
                self = self.write(std::mem::take(&mut pieces)).await?;
                waiting = 0;
            }
        }
        if let Some(announced) = expect.exactly.filter(|announced| *announced != total) {
            let got = total;
            return Err(BlobError::Length(LengthError::Differs { got, announced }));
        }
        self = self.write(pieces).await?;
        blocking("sync an upload", move || {
            self.file.sync_all()?;
            let put = Put {
                id: BlobId::finish(self.sha.clone()),
                size: self.size,
                md5: hex(&self.md5.clone().finalize()),
            };
            Ok((self, put))
        })
        .await
    }

    /// Fails when the disk cannot take so many bytes more.
    async fn with_room(self, bytes: u64) -> Result<Spool, BlobError> {
        blocking("look for room", move || {
            self.check_room(bytes)?;
            Ok(self)
        })
        .await
    }

    fn check_room(&self, bytes: u64) -> io::Result<()> {
        match free_bytes(&self.file)? < bytes.saturating_add(RESERVE) {
            true => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            false => Ok(()),
        }
    }

    async fn write(mut self, pieces: Vec<Bytes>) -> Result<Spool, BlobError> {
        blocking("write an upload", move || {
            self.check_room(0)?;
            for piece in pieces {
                self.sha.update(&piece);
                self.md5.update(&piece);
                self.file.write_all(&piece)?;
                self.size += piece.len() as u64;
            }
            Ok(self)
        })
        .await
    }

    /// Some of the bytes that were written.
    pub async fn piece(self: &Arc<Self>, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let spool = self.clone();
        blocking("read an upload", move || {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            spool.file.read_exact_at(&mut bytes, range.start)?;
            Ok(bytes)
        })
        .await
    }

    /// Gives the file its name.
    pub fn rename(self, to: &Path) -> io::Result<()> {
        // What is dropped afterwards finds nothing under the old name.
        fs::rename(&self.path, to)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; what else fails is swept at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

fn within(total: u64, expect: Expect) -> Result<(), BlobError> {
    if let Some(most) = expect.at_most.filter(|most| total > *most) {
        return Err(BlobError::Length(LengthError::TooLong(most)));
    }
    // One that sends more than it announced is told so before the disk is full of it.
    if let Some(announced) = expect.exactly.filter(|announced| total > *announced) {
        let got = total;
        return Err(BlobError::Length(LengthError::Differs { got, announced }));
    }
    Ok(())
}

/// Runs work on files away from the caller's thread.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(BlobError::io(what)),
        Err(gone) => Err(BlobError::io(what)(io::Error::other(gone))),
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
