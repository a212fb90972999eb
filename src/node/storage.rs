//! Where the contents of files are: in the data folder, or in an S3 bucket.

use std::path::Path;
use std::sync::Arc;

use super::NodeError;
use crate::artifacts::doctor::{self, DoctorError, Report};
use crate::artifacts::{BlobStore, FolderBlobs, S3Blobs, S3Settings};
use crate::config::{Config, Storage};
use crate::store::Store;
use crate::supervision::spawn_detached;

/// Folder of contents.
const BLOBS: &str = "blobs";
/// Folder of uploads on their way to a bucket.
const UPLOADS: &str = "uploads";
/// Folder of the records.
pub(super) const STORE: &str = "store";

/// Opens the contents of files: in the data folder, or in an S3 bucket.
pub(super) fn open(config: &Config) -> Result<Arc<dyn BlobStore>, NodeError> {
    let (storage, data) = (&config.storage, &config.server.data_dir);
    if !storage.s3 {
        return Ok(Arc::new(FolderBlobs::open(&data.join(BLOBS))?));
    }
    let settings = s3_settings(storage)?;
    let blobs = S3Blobs::open(&settings, &data.join(UPLOADS))?;
    let asked = blobs.clone();
    // A server that is away now is asked again with the first file.
    spawn_detached("look for the bucket", async move {
        match asked.ensure_bucket().await {
            Ok(()) => tracing::info!(bucket = settings.bucket, "files are kept in an S3 bucket"),
            Err(error) => tracing::error!(%error, "the S3 bucket cannot be used now"),
        }
    });
    Ok(Arc::new(blobs))
}

fn s3_settings(storage: &Storage) -> Result<S3Settings, NodeError> {
    for (name, value) in [
        ("endpoint_url", &storage.endpoint_url),
        ("access_key_id", &storage.access_key_id),
        ("secret_access_key", &storage.secret_access_key),
        ("workspace_bucket", &storage.workspace_bucket),
    ] {
        if value.is_empty() {
            return Err(NodeError::Storage(name));
        }
    }
    Ok(S3Settings {
        endpoint: storage.endpoint_url.clone(),
        public_endpoint: storage.endpoint_url_public.clone(),
        region: storage.region_name.clone(),
        access_key: storage.access_key_id.clone(),
        secret_key: storage.secret_access_key.clone(),
        bucket: storage.workspace_bucket.clone(),
        prefix: storage.prefix.clone(),
    })
}

/// The contents as they are, to look at them.
async fn as_they_are(config: &Config) -> Result<Arc<dyn BlobStore>, NodeError> {
    let (storage, data) = (&config.storage, &config.server.data_dir);
    if !storage.s3 {
        return Ok(Arc::new(FolderBlobs::as_it_is(&data.join(BLOBS))));
    }
    let blobs = S3Blobs::as_it_is(&s3_settings(storage)?, &data.join(UPLOADS))?;
    blobs.expect_bucket().await?;
    Ok(Arc::new(blobs))
}

/// Looks at the artifacts of a data folder that no server uses; see [`doctor`].
///
/// # Errors
/// There is no such folder, a server uses it, or something cannot be read at all.
pub async fn examine(config: &Config, deep: bool) -> Result<Report, NodeError> {
    let store = config.server.data_dir.join(STORE);
    if !has_store(&store) {
        return Err(NodeError::NoStore(store.display().to_string()));
    }
    let store = Store::open(&store)?;
    let blobs = as_they_are(config).await?;
    doctor::examine(&store, blobs, deep)
        .await
        .map_err(|error| match error {
            DoctorError::Store(error) => error.into(),
            DoctorError::Blobs(error) => error.into(),
        })
}

/// Whether records were ever kept in a folder.
fn has_store(path: &Path) -> bool {
    path.join("db").exists()
}
