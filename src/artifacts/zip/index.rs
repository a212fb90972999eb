//! The directory of an archive: what is where.

use std::io::{Read, Seek};

use zip::{CompressionMethod, DateTime, ZipArchive};

use crate::workspace::iso_time::days_from_civil;

/// How a member is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Stored,
    Deflated,
    /// In a way that is not supported here.
    Other,
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub name: String,
    /// Bytes when it is unpacked, as the directory has it.
    pub size: u64,
    /// Bytes in the archive.
    pub packed: u64,
    pub method: Method,
    pub encrypted: bool,
    pub crc: u32,
    /// When it was changed, in seconds since 1970, as far as the archive tells.
    pub modified: Option<f64>,
    /// Where its local record starts.
    pub start: u64,
}

/// What is directly in a folder of an archive.
#[derive(Debug, Clone, PartialEq)]
pub enum Listed<'a> {
    /// Name in the folder, and the file.
    File(&'a str, &'a Member),
    Folder(&'a str),
}

/// The members of an archive in the order of their names. Folders have no entries of their own.
#[derive(Debug)]
pub struct ZipIndex {
    members: Vec<Member>,
    /// Folders that have an entry, with their slashes.
    folders: Vec<String>,
}

impl ZipIndex {
    /// Takes over the directory that was read.
    pub(super) fn of<R: Read + Seek>(archive: &ZipArchive<R>) -> ZipIndex {
        let mut members = Vec::with_capacity(archive.len());
        let mut folders = Vec::new();
        for at in 0..archive.len() {
            let Ok(entry) = archive.by_index_data(at) else {
                continue;
            };
            let Ok(name) = entry.name() else {
                continue;
            };
            let name = name.into_owned();
            if entry.is_dir() {
                folders.push(name);
                continue;
            }
            members.push(Member {
                name,
                size: entry.size(),
                packed: entry.compressed_size(),
                method: match entry.compression() {
                    CompressionMethod::Stored => Method::Stored,
                    CompressionMethod::DEFLATE => Method::Deflated,
                    _ => Method::Other,
                },
                encrypted: entry.encrypted(),
                crc: entry.crc32(),
                modified: entry.last_modified().map(seconds),
                start: entry.header_start(),
            });
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        folders.sort();
        ZipIndex { members, folders }
    }

    /// How many members there are, and so how much memory it takes.
    pub fn len(&self) -> usize {
        self.members.len() + self.folders.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        let at = self
            .members
            .binary_search_by(|one| one.name.as_str().cmp(name));
        at.ok().map(|at| &self.members[at])
    }

    /// What is directly in a folder, which is empty or ends with a slash; at most `limit`, after
    /// `offset` others. Files in the order of their names, then folders.
    pub fn list(&self, folder: &str, offset: usize, limit: usize) -> Vec<Listed<'_>> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let start = self
            .members
            .partition_point(|one| one.name.as_str() < folder);
        for member in &self.members[start..] {
            let Some(name) = member.name.strip_prefix(folder) else {
                break;
            };
            match name.split_once('/') {
                Some((inner, _)) => folders.push(inner),
                None if name.is_empty() => {}
                None => files.push(Listed::File(name, member)),
            }
        }
        let start = self.folders.partition_point(|one| one.as_str() < folder);
        let with_entry = self.folders[start..].iter();
        let below = with_entry.map_while(|one| one.strip_prefix(folder));
        folders.extend(below.filter_map(|name| Some(name.split_once('/')?.0)));
        folders.retain(|name| !name.is_empty());
        folders.sort_unstable();
        folders.dedup();
        files.extend(folders.into_iter().map(Listed::Folder));
        files.into_iter().skip(offset).take(limit).collect()
    }
}

/// Archives do not say in which zone; it is taken for UTC.
fn seconds(time: DateTime) -> f64 {
    let date = (time.year().into(), time.month().into(), time.day().into());
    let days = days_from_civil(date.0, date.1, date.2);
    let (hour, minute) = (i64::from(time.hour()), i64::from(time.minute()));
    (days * 86_400 + hour * 3600 + minute * 60 + i64::from(time.second())) as f64
}
