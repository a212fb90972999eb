//! Reading the directory of an archive in the storage, and keeping it for the next question.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use zip::ZipArchive;

use super::ZipIndex;
use crate::artifacts::blobs::BlobId;
use crate::artifacts::objects::{Object, ObjectError, Objects};

/// Bytes that are fetched at once.
const BLOCK: u64 = 256 * 1024;
/// Blocks that are at hand while a directory is read.
const BLOCKS: usize = 4;
/// Most bytes that are fetched for a directory: half a million members or so.
const MAX_FETCHED: u64 = 64 * 1024 * 1024;
/// Most members in all directories that are kept.
const MAX_KEPT: usize = 1_000_000;
/// Directories that are read at the same time.
const AT_ONCE: usize = 2;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// It is none, or its directory is broken or too big.
    #[error("Invalid ZIP file: {0}")]
    Invalid(String),
    /// A member cannot be unpacked: it is encrypted, or packed in a rare way.
    #[error("Cannot unpack the member: {0}")]
    Unsupported(&'static str),
    #[error(transparent)]
    Storage(#[from] ObjectError),
}

/// Directories of archives that were asked for lately, the last one at the end. An archive is
/// known by its content, so none of them is ever out of date.
pub struct Indexes {
    kept: Mutex<VecDeque<(BlobId, Arc<ZipIndex>)>>,
    permits: Semaphore,
}

impl Default for Indexes {
    fn default() -> Self {
        Indexes {
            kept: Mutex::default(),
            permits: Semaphore::new(AT_ONCE),
        }
    }
}

impl Indexes {
    /// The directory of an archive.
    ///
    /// # Errors
    /// It is none, or the storage failed.
    pub async fn of(&self, objects: &Objects, object: &Object) -> Result<Arc<ZipIndex>, ZipError> {
        if let Some(known) = self.known(&object.blob) {
            return Ok(known);
        }
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        if let Some(known) = self.known(&object.blob) {
            return Ok(known);
        }
        let mut source = Source {
            objects: objects.clone(),
            object: object.clone(),
            runtime: Handle::current(),
            at: 0,
            fetched: 0,
            blocks: VecDeque::new(),
        };
        let read = tokio::task::spawn_blocking(move || match ZipArchive::new(&mut source) {
            Ok(archive) => Ok(ZipIndex::of(&archive)),
            Err(error) => Err(ZipError::Invalid(error.to_string())),
        });
        let read = read.await;
        let read = read.map_err(|error| ObjectError::Interrupted(error.to_string()))?;
        let index = Arc::new(read?);
        self.keep(&object.blob, index.clone());
        Ok(index)
    }

    fn known(&self, blob: &BlobId) -> Option<Arc<ZipIndex>> {
        let mut kept = self.kept.lock();
        let at = kept.iter().position(|(known, _)| known == blob)?;
        let found = kept.remove(at)?;
        let index = found.1.clone();
        kept.push_back(found);
        Some(index)
    }

    fn keep(&self, blob: &BlobId, index: Arc<ZipIndex>) {
        let mut kept = self.kept.lock();
        kept.push_back((blob.clone(), index));
        let mut members: usize = kept.iter().map(|(_, index)| index.len()).sum();
        while members > MAX_KEPT
            && let Some((_, oldest)) = kept.pop_front()
        {
            members -= oldest.len();
        }
    }
}

/// An object as something to read and seek in, block by block. For threads that may wait.
struct Source {
    objects: Objects,
    object: Object,
    runtime: Handle,
    at: u64,
    fetched: u64,
    /// Where each starts, and its bytes.
    blocks: VecDeque<(u64, Bytes)>,
}

impl Source {
    fn block(&mut self, start: u64) -> io::Result<Bytes> {
        if let Some((_, bytes)) = self.blocks.iter().find(|(at, _)| *at == start) {
            return Ok(bytes.clone());
        }
        let end = (start + BLOCK).min(self.object.size);
        self.fetched += end - start;
        if self.fetched > MAX_FETCHED {
            return Err(io::Error::other("its directory is too big"));
        }
        let bytes = self
            .runtime
            .block_on(fetch(&self.objects, &self.object, start..end));
        let bytes = bytes.map_err(io::Error::other)?;
        if self.blocks.len() == BLOCKS {
            self.blocks.pop_front();
        }
        self.blocks.push_back((start, bytes.clone()));
        Ok(bytes)
    }
}

/// A small part of an object.
pub(super) async fn fetch(
    objects: &Objects,
    object: &Object,
    range: std::ops::Range<u64>,
) -> Result<Bytes, ObjectError> {
    let mut pieces = objects.open_range(object, Some(range)).await?;
    let mut bytes = BytesMut::new();
    while let Some(piece) = pieces.try_next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.object.size || buffer.is_empty() {
            return Ok(0);
        }
        let start = self.at - self.at % BLOCK;
        let block = self.block(start)?;
        let rest = block.get((self.at - start) as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.object.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
