//! Addresses under which a file can be put or fetched for a while without any other permission,
//! and what happens when one is used (artifacts.md 7).

mod address;
mod range;
mod signing;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;

pub use address::{key_of, target_of};
pub use range::{Wanted, wanted};
pub use signing::{Method, RefusedUrl, Signed};

use super::blobs::{Expect, Incoming, Presentation};
use super::objects::{Object, ObjectError, Objects, Part, Target};
use signing::Signer;

/// Longest life of an address in seconds, as with S3: a week.
pub const MAX_EXPIRY_S: f64 = 604_800.0;

/// Why a file cannot be put where its address says.
#[derive(Debug, thiserror::Error)]
pub enum LandError {
    /// The directory takes no more files: it was committed or discarded meanwhile.
    #[error("the version that this upload belongs to is closed")]
    Closed,
    /// What should hold the file is gone.
    #[error("there is nothing any more that this upload belongs to")]
    Gone,
    /// The store failed.
    #[error(transparent)]
    Failed(#[from] ObjectError),
}

/// Gives uploaded files of artifacts their names. Who owns the artifacts decides whether a
/// directory still takes files, under the lock that a commit takes, too.
#[async_trait]
pub trait Landing: Send + Sync {
    /// Whether the file could be put now; asked before its bytes are read.
    async fn may_put(&self, target: &Target) -> Result<(), LandError>;

    /// Puts the file; durable when it returns.
    async fn put(&self, target: &Target, object: Object) -> Result<(), LandError>;
}

/// What addresses start with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Base {
    /// The public address of the server.
    #[default]
    Public,
    /// The address that programs on this machine use.
    Local,
    /// One that the caller named.
    Given(String),
}

/// How an address is wanted.
#[derive(Debug, Clone)]
pub struct UrlOptions {
    /// Seconds for which it works.
    pub expires_in: f64,
    /// False: straight to the storage, when it can do that. None: as the server is set up.
    pub use_proxy: Option<bool>,
    /// What it starts with.
    pub base: Base,
}

/// Where addresses lead and how they are signed.
pub struct TransferSettings {
    /// Signs addresses; those signed with another one do not work.
    pub secret: String,
    /// Public address of the server.
    pub public_url: String,
    /// Address for programs on this machine.
    pub local_url: String,
    /// Name after `/s3/`, which logs of the reference show, too.
    pub bucket: String,
    /// Whether downloads go straight to the storage unless asked otherwise.
    pub direct: bool,
}

/// See the module's text.
pub struct Transfer {
    /// The files.
    pub objects: Objects,
    signer: Signer,
    settings: TransferSettings,
    landing: OnceLock<Arc<dyn Landing>>,
}

impl Transfer {
    /// Transfers of these objects.
    pub fn new(objects: Objects, settings: TransferSettings) -> Arc<Transfer> {
        Arc::new(Transfer {
            objects,
            signer: Signer::new(&settings.secret),
            settings,
            landing: OnceLock::new(),
        })
    }

    /// Says who takes files of artifacts. The first one stays.
    pub fn attach(&self, landing: Arc<dyn Landing>) {
        // A node builds its rooms once.
        let _ = self.landing.set(landing);
    }

    /// An address to put a file to. After `ttl` seconds the file goes by itself.
    pub fn put_url(&self, target: &Target, ttl: Option<u64>, options: &UrlOptions) -> String {
        let signed = self.signed(Method::Put, target, options);
        self.url(&Signed { ttl, ..signed }, options)
    }

    /// An address to put one part of an upload to.
    pub fn part_url(
        &self,
        target: &Target,
        upload: &str,
        number: u32,
        options: &UrlOptions,
    ) -> String {
        let signed = self.signed(Method::Put, target, options);
        let part = Some((upload.to_owned(), number));
        self.url(&Signed { part, ..signed }, options)
    }

    /// An address to fetch a file from. Without the object it leads to this server.
    ///
    /// # Errors
    /// The storage failed to make an address of its own.
    pub async fn get_url(
        &self,
        target: &Target,
        object: Option<&Object>,
        options: &UrlOptions,
    ) -> Result<String, ObjectError> {
        let direct = !options.use_proxy.unwrap_or(!self.settings.direct);
        if let Some(object) = object.filter(|_| direct && options.base == Base::Public) {
            let name = target.path().rsplit('/').next();
            let presentation = Presentation {
                content_type: Some(object.media_type(target.path())),
                file_name: name.map(str::to_owned),
            };
            let expires = Duration::from_secs_f64(options.expires_in.clamp(1.0, MAX_EXPIRY_S));
            let blobs = self.objects.blobs();
            let url = blobs.presigned_get(&object.blob, expires, &presentation);
            if let Some(url) = url.await? {
                return Ok(url);
            }
        }
        Ok(self.url(&self.signed(Method::Get, target, options), options))
    }

    fn signed(&self, method: Method, target: &Target, options: &UrlOptions) -> Signed {
        let expires_in = options.expires_in.clamp(0.0, MAX_EXPIRY_S);
        Signed {
            method,
            target: target.clone(),
            expires: (self.objects.now() + expires_in).ceil() as u64,
            part: None,
            ttl: None,
        }
    }

    fn url(&self, signed: &Signed, options: &UrlOptions) -> String {
        let base = match &options.base {
            Base::Public => &self.settings.public_url,
            Base::Local => &self.settings.local_url,
            Base::Given(base) => base,
        };
        let base = base.trim_end_matches('/');
        let bucket = &self.settings.bucket;
        let path = address::encoded(&key_of(&signed.target));
        let query = self.signer.query(signed);
        format!("{base}/s3/{bucket}/{path}?{query}")
    }

    /// What an address that came in allows.
    ///
    /// # Errors
    /// It is forged, of another bucket, or its time is over.
    pub fn verify(&self, bucket: &str, key: &str, query: &str) -> Result<Signed, RefusedUrl> {
        if bucket != self.settings.bucket {
            return Err(RefusedUrl::Forged);
        }
        let target = target_of(key).ok_or(RefusedUrl::Forged)?;
        self.signer.verify(target, query, self.objects.now())
    }

    /// Whether a file can be put; asked before its bytes are read.
    ///
    /// # Errors
    /// The directory is closed or gone.
    pub async fn may_put(&self, target: &Target) -> Result<(), LandError> {
        match (target, self.landing.get()) {
            (Target::Workspace { .. }, _) => Ok(()),
            (Target::Artifact { .. }, Some(landing)) => landing.may_put(target).await,
            (Target::Artifact { .. }, None) => Err(LandError::Gone),
        }
    }

    /// Stores a body as the file that a target names. Nothing changes when it fails.
    ///
    /// # Errors
    /// The body broke off, the directory is closed, or the storage failed.
    pub async fn put(
        &self,
        target: &Target,
        body: Incoming,
        expect: Expect,
        content_type: Option<String>,
        ttl: Option<u64>,
    ) -> Result<Object, LandError> {
        self.may_put(target).await?;
        let object = self.objects.take(body, expect, content_type).await?;
        self.land(target, object.clone(), ttl.map(|ttl| ttl as f64))
            .await?;
        Ok(object)
    }

    async fn land(
        &self,
        target: &Target,
        object: Object,
        ttl: Option<f64>,
    ) -> Result<(), LandError> {
        match (target, self.landing.get()) {
            (Target::Workspace { workspace, path }, _) => {
                let put = self
                    .objects
                    .put_workspace_file(workspace, path, object, ttl);
                Ok(put.await?)
            }
            (Target::Artifact { .. }, Some(landing)) => landing.put(target, object).await,
            (Target::Artifact { .. }, None) => Err(LandError::Gone),
        }
    }

    /// Joins the parts of an upload and puts the file. After a failure the parts are still there.
    ///
    /// # Errors
    /// As [`Objects::join_parts`] and [`Transfer::put`].
    pub async fn complete(&self, upload: &str, parts: &[Part]) -> Result<Object, LandError> {
        let session = self.objects.upload(upload).await?;
        self.may_put(&session.target).await?;
        let object = self.objects.join_parts(upload, parts).await?;
        self.land(&session.target, object.clone(), session.ttl)
            .await?;
        self.objects.end_upload(upload).await?;
        Ok(object)
    }
}
