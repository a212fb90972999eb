//! Uploads in parts (artifacts.md 7): each part is a blob, and completing joins them.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Object, ObjectError, Objects, file_key, workspace_key};
use crate::artifacts::blobs::{BlobId, Expect, Incoming, hex};

/// Most parts of an upload.
pub const MAX_PARTS: u32 = 10_000;
/// Smallest size of a part that is not the last one, as with S3.
const MIN_PART: u64 = 5 * 1024 * 1024;
/// Seconds that an upload stays beyond its addresses.
const GRACE_S: f64 = 10.0;

/// A file that can be put.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A file of a directory of an artifact.
    Artifact {
        /// Where the artifact is; only a name in addresses.
        workspace: String,
        /// UUID of the artifact.
        id: String,
        /// The directory of one of its versions.
        dir: u32,
        /// Clean path in it.
        path: String,
    },
    /// A file of a workspace.
    Workspace {
        /// The workspace.
        workspace: String,
        /// Clean path in it.
        path: String,
    },
}

impl Target {
    /// Its key in its tree.
    pub fn key(&self) -> String {
        match self {
            Target::Artifact { id, dir, path, .. } => file_key(id, *dir, path),
            Target::Workspace { workspace, path } => workspace_key(workspace, path),
        }
    }

    /// Its path.
    pub fn path(&self) -> &str {
        match self {
            Target::Artifact { path, .. } | Target::Workspace { path, .. } => path,
        }
    }
}

/// An upload as it was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// What it will be.
    pub target: Target,
    /// Parts that were announced.
    pub part_count: u32,
    /// Seconds since 1970 after which it is forgotten.
    pub expires: f64,
    /// Seconds after which the file goes by itself.
    #[serde(default)]
    pub ttl: Option<f64>,
}

/// One that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::artifacts) struct Upload {
    pub session: Session,
    pub parts: BTreeMap<u32, StoredPart>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::artifacts) struct StoredPart {
    pub blob: BlobId,
    /// Bytes.
    pub size: u64,
    md5: String,
}

/// A part as the client names it at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// What the server answered when it was put; quotes do not matter.
    pub etag: String,
}

impl Objects {
    /// Begins an upload; its id.
    ///
    /// # Errors
    /// The number of parts is not possible, or the store failed.
    pub async fn begin_upload(
        &self,
        target: Target,
        part_count: u32,
        expires_in: f64,
        ttl: Option<f64>,
    ) -> Result<String, ObjectError> {
        if !(1..=MAX_PARTS).contains(&part_count) {
            let text = format!("part_count must be between 1 and {MAX_PARTS}");
            return Err(ObjectError::Parts(text));
        }
        let id = Uuid::new_v4().simple().to_string();
        let upload = Upload {
            session: Session {
                target,
                part_count,
                expires: self.now() + expires_in + GRACE_S,
                ttl,
            },
            parts: BTreeMap::new(),
        };
        let key = id.clone();
        self.blocking(move |inner| {
            inner.store.check_room()?;
            Ok(inner.uploads.put(&key, &upload)?)
        })
        .await?;
        self.durable().await?;
        Ok(id)
    }

    /// The upload of an id.
    ///
    /// # Errors
    /// There is none, or the store failed.
    pub async fn upload(&self, id: &str) -> Result<Session, ObjectError> {
        Ok(self.under_way(id).await?.session)
    }

    async fn under_way(&self, id: &str) -> Result<Upload, ObjectError> {
        let (id, now) = (id.to_owned(), self.now());
        self.blocking(move |inner| {
            let found = inner.uploads.get(&id)?;
            found
                .filter(|upload| upload.session.expires > now)
                .ok_or(ObjectError::NoUpload)
        })
        .await
    }

    /// Stores a part; its ETag without quotes. A part that is put again takes the place of the
    /// earlier one.
    ///
    /// # Errors
    /// There is no such upload or part, the stream broke off, or the storage failed.
    pub async fn put_part(
        &self,
        id: &str,
        number: u32,
        body: Incoming,
        expect: Expect,
    ) -> Result<String, ObjectError> {
        self.check_part(id, number).await?;
        let put = self.inner.blobs.put_stream(body, expect).await?;
        let etag = put.md5.clone();
        let part = StoredPart {
            blob: put.id,
            size: put.size,
            md5: put.md5,
        };
        let id = id.to_owned();
        self.blocking(move |inner| {
            inner.store.check_room()?;
            // Parts of one upload come at the same time.
            let changed = inner.uploads.update(&id, |upload: &mut Upload| {
                upload.parts.insert(number, part.clone());
            })?;
            changed.then_some(()).ok_or(ObjectError::NoUpload)
        })
        .await?;
        self.durable().await?;
        Ok(etag)
    }

    /// Whether a part can be put.
    ///
    /// # Errors
    /// It cannot, because the upload or the number is unknown; or the store failed.
    pub async fn check_part(&self, id: &str, number: u32) -> Result<(), ObjectError> {
        let session = self.upload(id).await?;
        if (1..=session.part_count).contains(&number) {
            return Ok(());
        }
        let text = format!("part {number} was not announced");
        Err(ObjectError::Parts(text))
    }

    /// Joins the parts. The upload stays until [`Objects::end_upload`], so that the file can first
    /// get its name, and a client can try again after a failure.
    ///
    /// # Errors
    /// The parts are not the ones that came, the upload is unknown, or the storage failed.
    pub async fn join_parts(&self, id: &str, parts: &[Part]) -> Result<Object, ObjectError> {
        let upload = self.under_way(id).await?;
        let chosen = chosen(&upload, parts)?;
        let etag = joined_etag(&chosen);
        let size = chosen.iter().map(|part| part.size).sum();
        let blobs = self.inner.blobs.clone();
        let ids: Vec<BlobId> = chosen.iter().map(|part| part.blob).collect();
        let body = stream::iter(ids)
            .then(move |id| {
                let blobs = blobs.clone();
                async move { blobs.read(&id, None).await }
            })
            .try_flatten()
            .map_err(std::io::Error::other);
        let expect = Expect {
            exactly: Some(size),
            at_most: None,
        };
        let mut object = self.take(body.boxed(), expect, None).await?;
        object.etag = Some(etag);
        Ok(object)
    }

    /// Forgets an upload, because it is complete or given up.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_upload(&self, id: &str) -> Result<(), ObjectError> {
        let id = id.to_owned();
        self.blocking(move |inner| Ok(inner.uploads.discard(&id).map(drop)?))
            .await
    }

    /// Forgets uploads whose time is over; how many there were.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sweep_uploads(&self) -> Result<usize, ObjectError> {
        let now = self.now();
        self.blocking(move |inner| {
            let mut swept = 0;
            for entry in inner.uploads.iter() {
                let (id, upload) = entry?;
                if upload.session.expires <= now {
                    inner.uploads.discard(&id)?;
                    swept += 1;
                }
            }
            Ok(swept)
        })
        .await
    }
}

/// The stored parts that a client names, in the order of their numbers.
fn chosen(upload: &Upload, parts: &[Part]) -> Result<Vec<StoredPart>, ObjectError> {
    let wrong = |text: String| Err(ObjectError::Parts(text));
    if parts.is_empty() {
        return wrong("Parts list cannot be empty".into());
    }
    let mut by_number = BTreeMap::new();
    for part in parts {
        let number = part.number;
        let Some(stored) = upload.parts.get(&number) else {
            return wrong(format!("part {number} was not uploaded"));
        };
        if part.etag.trim_matches('"') != stored.md5 {
            return wrong(format!(
                "the etag of part {number} is not that of what came"
            ));
        }
        if by_number.insert(number, stored.clone()).is_some() {
            return wrong(format!("part {number} is listed twice"));
        }
    }
    let last = by_number.keys().next_back().copied();
    let small = by_number
        .iter()
        .find(|(number, part)| part.size < MIN_PART && Some(**number) != last);
    if let Some((number, part)) = small {
        let size = part.size;
        return wrong(format!(
            "part {number} has {size} bytes; all but the last need at least {MIN_PART}"
        ));
    }
    Ok(by_number.into_values().collect())
}

/// As S3 makes it: the MD5 of the parts' MD5s, and their number.
fn joined_etag(parts: &[StoredPart]) -> String {
    let mut hasher = Md5::new();
    for part in parts {
        for pair in part.md5.as_bytes().chunks_exact(2) {
            let digits = std::str::from_utf8(pair).unwrap_or("0");
            hasher.update([u8::from_str_radix(digits, 16).unwrap_or(0)]);
        }
    }
    format!("{}-{}", hex(&hasher.finalize()), parts.len())
}
