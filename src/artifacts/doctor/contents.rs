//! Contents: each that is referred to is there, as long as it should be and, if asked, the same.

use std::collections::HashMap;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::{Doctor, DoctorError};
use crate::artifacts::blobs::{BlobError, BlobId, BlobStore};
use crate::artifacts::objects::Target;

/// Questions to the storage that are open at the same time.
const AT_ONCE: usize = 16;

/// Something that refers to a content.
struct Reference {
    blob: BlobId,
    size: u64,
    subject: String,
}

impl Doctor {
    pub(super) async fn look_at_contents(&mut self, deep: bool) -> Result<(), DoctorError> {
        let mut sizes: HashMap<BlobId, Option<u64>> = HashMap::new();
        self.each_reference(|one| {
            sizes.insert(one.blob, None);
        })?;
        let ids: Vec<BlobId> = sizes.keys().copied().collect();
        let blobs = &self.blobs;
        let found = stream::iter(ids).map(|id| async move {
            let stat = blobs.stat(&id).await?;
            Ok::<_, BlobError>((id, stat.map(|stat| stat.size)))
        });
        let mut found = found.buffer_unordered(AT_ONCE);
        while let Some((id, size)) = found.try_next().await? {
            sizes.insert(id, size);
        }
        drop(found);
        self.report.counts.blobs = sizes.len();
        self.report.counts.bytes = sizes.values().flatten().sum();
        let changed = match deep {
            true => self.changed(&sizes).await?,
            false => HashMap::new(),
        };
        let mut wrong = Vec::new();
        self.each_reference(|one| {
            let Reference { blob, size, .. } = one;
            match sizes.get(&blob).copied().flatten() {
                None => {
                    let text = format!("its content {blob} is not there");
                    wrong.push(("missing-blob", one.subject, text));
                }
                Some(there) if there != size => {
                    let text =
                        format!("its content {blob} has {there} bytes and should have {size}");
                    wrong.push(("wrong-size", one.subject, text));
                }
                Some(_) => {
                    if let Some(other) = changed.get(&blob) {
                        let text = format!("its content {blob} {other}");
                        wrong.push(("wrong-hash", one.subject, text));
                    }
                }
            }
        })?;
        for (kind, subject, text) in wrong {
            self.report.error(kind, subject, text);
        }
        self.look_at_garbage(&sizes).await
    }

    /// Hands every reference to a content to `each`.
    fn each_reference(&self, mut each: impl FnMut(Reference)) -> Result<(), DoctorError> {
        // Entries that cannot be read were reported where they lie.
        for (key, object) in self.files.iter().flatten() {
            each(Reference {
                blob: object.blob,
                size: object.size,
                subject: self.file_name(&key),
            });
        }
        for (key, object) in self.workspace_files.iter().flatten() {
            each(Reference {
                blob: object.blob,
                size: object.size,
                subject: key,
            });
        }
        for (id, upload) in self.uploads.iter().flatten() {
            let path = match &upload.session.target {
                Target::Artifact { path, .. } | Target::Workspace { path, .. } => path,
            };
            for (number, part) in &upload.parts {
                each(Reference {
                    blob: part.blob,
                    size: part.size,
                    subject: format!("upload {id} of {path}, part {number}"),
                });
            }
        }
        Ok(())
    }

    /// The contents whose bytes are not those of their name, and what is wrong with them.
    async fn changed(
        &self,
        sizes: &HashMap<BlobId, Option<u64>>,
    ) -> Result<HashMap<BlobId, String>, DoctorError> {
        let mut changed = HashMap::new();
        for (id, _) in sizes.iter().filter(|(_, size)| size.is_some()) {
            match hash(&*self.blobs, id).await {
                Ok(hash) if hash == *id => {}
                Ok(hash) => {
                    changed.insert(*id, format!("has the hash {hash}"));
                }
                Err(BlobError::Io { source, .. }) => {
                    changed.insert(*id, format!("cannot be read: {source}"));
                }
                Err(other) => return Err(other.into()),
            }
        }
        Ok(changed)
    }

    /// What the server clears away: contents that nothing refers to, uploads that broke off.
    async fn look_at_garbage(
        &mut self,
        sizes: &HashMap<BlobId, Option<u64>>,
    ) -> Result<(), DoctorError> {
        let all = self.blobs.ids().await?;
        let unused: Vec<BlobId> = all
            .into_iter()
            .filter(|id| !sizes.contains_key(id))
            .collect();
        for id in unused {
            let text = "nothing refers to this content; the server removes it after an hour";
            self.report.note("garbage", id.to_string(), text);
        }
        for name in self.blobs.unfinished().await? {
            let text =
                "what is left of an upload that broke off; the next start of the server removes it";
            self.report.note("unfinished-upload", name, text);
        }
        Ok(())
    }
}

/// The hash that the bytes of a blob have.
async fn hash(blobs: &dyn BlobStore, id: &BlobId) -> Result<BlobId, BlobError> {
    let mut pieces = blobs.read(id, None).await?;
    let mut hasher = BlobId::hasher();
    while let Some(piece) = pieces.try_next().await? {
        hasher.update(&piece);
    }
    Ok(hasher.finish())
}
