//! Many files as one archive.

use std::collections::VecDeque;
use std::io;

use bytes::{Bytes, BytesMut};
use crc32fast::Hasher;
use futures::TryStreamExt;
use futures::stream::{self, BoxStream, StreamExt};

use super::format::{Header, end};
use crate::artifacts::blobs::Outgoing;
use crate::artifacts::objects::{Object, Objects};

/// Bytes of the directory that are handed on at once.
const PIECE: usize = 64 * 1024;

/// A file of an archive.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its path in the archive, at most 65535 bytes.
    pub name: String,
    pub object: Object,
}

/// What each file's records say, as far as it is known before the contents are read, and where the
/// directory starts.
fn headers(entries: &[Entry]) -> (Vec<Header>, u64) {
    let mut offset = 0;
    let header = |entry: &Entry| {
        let header = Header {
            name: entry.name.clone(),
            size: entry.object.size,
            modified: entry.object.at,
            offset,
            crc: 0,
        };
        offset += (header.local().len() + header.descriptor().len()) as u64 + header.size;
        header
    };
    let headers = entries.iter().map(header).collect();
    (headers, offset)
}

/// How many bytes the archive of these files has.
pub fn length(entries: &[Entry]) -> u64 {
    let (headers, start) = headers(entries);
    let directory: u64 = headers.iter().map(|one| one.central().len() as u64).sum();
    start + directory + end(headers.len(), start, directory).len() as u64
}

/// The archive of these files, made while it is read.
pub fn stream(objects: Objects, entries: Vec<Entry>) -> BoxStream<'static, io::Result<Bytes>> {
    let (headers, start) = headers(&entries);
    let contents = entries.into_iter().map(|entry| entry.object);
    let writer = Writer {
        objects,
        contents: contents.collect(),
        headers,
        start,
        at: 0,
        reading: None,
        listed: 0,
        directory: 0,
        ended: false,
    };
    stream::try_unfold(writer, |mut writer| async move {
        let piece = writer.next().await?;
        Ok(piece.map(|piece| (piece, writer)))
    })
    .boxed()
}

struct Writer {
    objects: Objects,
    /// Those that are not begun.
    contents: VecDeque<Object>,
    headers: Vec<Header>,
    /// Where the directory starts.
    start: u64,
    /// The file that is written.
    at: usize,
    reading: Option<Reading>,
    /// Files that the directory lists already.
    listed: usize,
    /// Bytes of the directory so far.
    directory: u64,
    ended: bool,
}

struct Reading {
    pieces: Outgoing,
    hasher: Hasher,
    left: u64,
}

impl Writer {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(reading) = &mut self.reading {
            if let Some(piece) = reading.pieces.try_next().await.map_err(io::Error::other)? {
                reading.hasher.update(&piece);
                let left = reading.left.checked_sub(piece.len() as u64);
                reading.left = left.ok_or_else(changed)?;
                return Ok(Some(piece));
            }
            return self.end_file().map(Some);
        }
        if let Some(object) = self.contents.pop_front() {
            let pieces = self.objects.open_range(&object, None).await;
            self.reading = Some(Reading {
                pieces: pieces.map_err(io::Error::other)?,
                hasher: Hasher::new(),
                left: object.size,
            });
            return Ok(Some(self.headers[self.at].local().freeze()));
        }
        Ok(self.directory())
    }

    fn end_file(&mut self) -> io::Result<Bytes> {
        let header = &mut self.headers[self.at];
        if let Some(reading) = self.reading.take() {
            if reading.left > 0 {
                return Err(changed());
            }
            header.crc = reading.hasher.finalize();
        }
        self.at += 1;
        Ok(header.descriptor().freeze())
    }

    fn directory(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut piece = BytesMut::new();
        while piece.len() < PIECE
            && let Some(header) = self.headers.get(self.listed)
        {
            piece.extend_from_slice(&header.central());
            self.listed += 1;
        }
        self.directory += piece.len() as u64;
        if self.listed == self.headers.len() {
            piece.extend_from_slice(&end(self.headers.len(), self.start, self.directory));
            self.ended = true;
        }
        Some(piece.freeze())
    }
}

fn changed() -> io::Error {
    io::Error::other("a stored file has another length than it should have")
}
