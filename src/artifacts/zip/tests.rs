use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use futures::TryStreamExt;
use zip::ZipArchive;

use super::format::{Header, end};
use super::*;
use crate::artifacts::FolderBlobs;
use crate::artifacts::objects::{Object, Objects};
use crate::store::Store;
use crate::store::testing::TempDir;
use crate::supervision::ManualClock;

struct Fixture {
    objects: Objects,
    dir: TempDir,
}

fn fixture() -> Fixture {
    let dir = TempDir::new();
    let blobs = FolderBlobs::open(&dir.path().join("blobs")).unwrap();
    let clock = ManualClock::at(1_700_000_000.0);
    let objects = Objects::open(Store::temporary(), Arc::new(blobs), clock.shared()).unwrap();
    Fixture { objects, dir }
}

impl Fixture {
    async fn put(&self, bytes: Vec<u8>) -> Object {
        self.objects.take_bytes(bytes.into(), None).await.unwrap()
    }

    async fn archive(&self, entries: Vec<Entry>) -> Vec<u8> {
        let expected = length(&entries);
        let pieces = stream(self.objects.clone(), entries);
        let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
        let bytes = pieces.concat();
        assert_eq!(bytes.len() as u64, expected);
        bytes
    }

    async fn member(&self, archive: &Object, name: &str) -> Result<Vec<u8>, String> {
        let index = Indexes::default().of(&self.objects, archive).await;
        let index = index.map_err(|error| error.to_string())?;
        let member = index.member(name).ok_or("no such member")?;
        let opened = open(&self.objects, archive, member).await;
        let pieces = opened.map_err(|error| error.to_string())?;
        let pieces: Vec<Bytes> = pieces.try_collect().await.map_err(|e| e.to_string())?;
        Ok(pieces.concat())
    }
}

fn entry(name: &str, object: &Object) -> Entry {
    Entry {
        name: name.to_owned(),
        object: object.clone(),
    }
}

#[tokio::test]
async fn an_archive_has_what_was_put_into_it() {
    let it = fixture();
    let big: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let files = [
        ("a.txt", b"hello".to_vec()),
        ("d/é ü.bin", big),
        ("d/empty", Vec::new()),
    ];
    let mut entries = Vec::new();
    for (name, bytes) in &files {
        entries.push(entry(name, &it.put(bytes.clone()).await));
    }
    let bytes = it.archive(entries).await;
    let mut archive = ZipArchive::new(Cursor::new(&bytes)).unwrap();
    assert_eq!(archive.len(), 3);
    for (name, content) in &files {
        let mut read = Vec::new();
        archive
            .by_name(name)
            .unwrap()
            .read_to_end(&mut read)
            .unwrap();
        assert!(read == *content, "{name}");
    }
    let empty = it.archive(Vec::new()).await;
    assert!(ZipArchive::new(Cursor::new(&empty)).unwrap().is_empty());
}

#[tokio::test]
async fn more_files_than_16_bits_can_count() {
    let it = fixture();
    let object = it.put(b"x".to_vec()).await;
    let entries = (0..65_536)
        .map(|n| entry(&format!("{n:05}"), &object))
        .collect();
    let bytes = it.archive(entries).await;
    let archive = ZipArchive::new(Cursor::new(&bytes)).unwrap();
    assert_eq!(archive.len(), 65_536);
}

#[test]
fn files_beyond_32_bits() {
    let dir = TempDir::new();
    let path = dir.path().join("sparse.zip");
    let mut file = std::fs::File::create(&path).unwrap();
    let (size, mut offset) = (5 << 30, 0);
    let mut headers = Vec::new();
    for (name, size) in [("big", size), ("after", 3)] {
        let (name, modified, crc) = (name.to_owned(), 1.7e9, 0);
        let header = Header {
            name,
            size,
            modified,
            offset,
            crc,
        };
        file.write_all(&header.local()).unwrap();
        file.seek(SeekFrom::Current(size as i64)).unwrap();
        file.write_all(&header.descriptor()).unwrap();
        offset = file.stream_position().unwrap();
        headers.push(header);
    }
    for header in &headers {
        file.write_all(&header.central()).unwrap();
    }
    let directory = file.stream_position().unwrap() - offset;
    file.write_all(&end(2, offset, directory)).unwrap();
    let mut archive = ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(archive.by_index_data(0).unwrap().size(), size);
    let mut read = Vec::new();
    let after =
        archive.by_index_with_options(1, zip::read::ZipReadOptions::new().ignore_crc32(true));
    after.unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, [0; 3]);
}

/// An archive with one deflated member, put together by hand.
fn deflated(content: &[u8], size: u64, crc: u32) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    let packed = encoder.finish().unwrap();
    let header = |size| Header {
        name: "m".into(),
        size,
        modified: 0.0,
        offset: 0,
        crc,
    };
    let mut bytes = header(size).local().to_vec();
    bytes[8] = 8;
    bytes.extend_from_slice(&packed);
    let start = bytes.len() as u64;
    let mut central = header(size).central();
    central[10] = 8;
    central[20..24].copy_from_slice(&(packed.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&central);
    bytes.extend_from_slice(&end(1, start, central.len() as u64));
    bytes
}

#[tokio::test]
async fn members_are_unpacked_and_checked() {
    let it = fixture();
    // It unpacks to many pieces from a single one.
    let content = vec![7; 1_000_000];
    let crc = crc32fast::hash(&content);
    let good = it.put(deflated(&content, 1_000_000, crc)).await;
    assert!(it.member(&good, "m").await.unwrap() == content);
    for (bad, says) in [
        (deflated(&content, 1_000_000, crc + 1), "checksum"),
        (deflated(&content, 999_999, crc), "longer"),
        (deflated(&content, 1_000_001, crc), "shorter"),
        (deflated(&content, 10, crc), "longer"),
    ] {
        let bad = it.put(bad).await;
        let error = it.member(&bad, "m").await.unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    for bad in [b"no archive".to_vec(), Vec::new(), vec![0; 100_000]] {
        let bad = it.put(bad).await;
        let error = it.member(&bad, "m").await.unwrap_err();
        assert!(error.contains("Invalid ZIP file"), "{error}");
    }
}

#[tokio::test]
async fn broken_archives_are_refused() {
    let it = fixture();
    let good = deflated(
        b"hello hello hello",
        17,
        crc32fast::hash(b"hello hello hello"),
    );
    // Whatever byte is wrong: an answer or an error, and nothing else.
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        let bad = it.put(bad).await;
        if let Ok(content) = it.member(&bad, "m").await {
            assert_eq!(content, b"hello hello hello", "{at}");
        }
    }
}

#[tokio::test]
async fn folders_of_an_archive_are_listed() {
    let it = fixture();
    let object = it.put(b"abc".to_vec()).await;
    let names = ["z", "a.txt", "d/1", "d/e/2", "d.txt", "d/e/f/3"];
    let entries = names.iter().map(|name| entry(name, &object)).collect();
    let archive = it.archive(entries).await;
    let archive = it.put(archive).await;
    let indexes = Indexes::default();
    let index = indexes.of(&it.objects, &archive).await.unwrap();
    let again = indexes.of(&it.objects, &archive).await.unwrap();
    assert!(Arc::ptr_eq(&index, &again));
    let list = |folder: &str| -> Vec<String> {
        let listed = index.list(folder, 0, 100).into_iter();
        let shown = listed.map(|one| match one {
            Listed::File(name, member) => format!("{name} {}", member.size),
            Listed::Folder(name) => format!("{name}/"),
        });
        shown.collect()
    };
    assert_eq!(list(""), ["a.txt 3", "d.txt 3", "z 3", "d/"]);
    assert_eq!(list("d/"), ["1 3", "e/"]);
    assert_eq!(list("d/e/"), ["2 3", "f/"]);
    assert_eq!(list("nothing/"), [] as [&str; 0]);
    assert_eq!(index.list("", 1, 2).len(), 2);
    assert!(index.member("d/e/2").is_some() && index.member("d").is_none());
    drop(it.dir);
}
