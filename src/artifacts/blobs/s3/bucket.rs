//! The bucket: how it is reached, and that it is there.

use s3::creds::Credentials;
use s3::error::S3Error;
use s3::{Bucket, BucketConfiguration, Region};

use super::{S3Settings, unavailable};
use crate::artifacts::blobs::BlobError;

/// The region in which a bucket is made without naming a region.
const PLAIN_REGION: &str = "us-east-1";
const WHAT: &str = "look for the bucket";

/// The bucket of the settings at this address.
pub(super) fn of(settings: &S3Settings, endpoint: &str) -> Result<Box<Bucket>, BlobError> {
    let wrong = unavailable("read the S3 settings");
    let region = Region::Custom {
        region: settings.region.clone(),
        endpoint: endpoint.trim_end_matches('/').to_owned(),
    };
    let (access, secret) = (&settings.access_key, &settings.secret_key);
    let credentials = Credentials::new(Some(access), Some(secret), None, None, None);
    let credentials = credentials.map_err(|error| wrong(error.into()))?;
    let bucket = Bucket::new(&settings.bucket, region, credentials).map_err(&wrong)?;
    Ok(bucket.with_path_style())
}

/// Makes the bucket unless it exists.
pub(super) async fn ensure(bucket: &Bucket) -> Result<(), BlobError> {
    match is_there(bucket).await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(error) => return Err(unavailable(WHAT)(error)),
    }
    let made = make(bucket).await;
    match (is_there(bucket).await, made) {
        // Also when somebody else was quicker.
        (Ok(true), _) => {
            tracing::info!(bucket = bucket.name(), "the bucket of all files is made");
            Ok(())
        }
        (_, Err(error)) => Err(error),
        (Err(error), _) => Err(unavailable(WHAT)(error)),
        (Ok(false), Ok(())) => Err(BlobError::Unavailable {
            what: WHAT,
            reason: "the server says that it made the bucket, and does not have it".into(),
        }),
    }
}

/// Fails unless the bucket exists.
pub(super) async fn expect(bucket: &Bucket) -> Result<(), BlobError> {
    match is_there(bucket).await.map_err(unavailable(WHAT))? {
        true => Ok(()),
        false => Err(BlobError::Unavailable {
            what: WHAT,
            reason: format!("there is no bucket {}", bucket.name()),
        }),
    }
}

async fn is_there(bucket: &Bucket) -> Result<bool, S3Error> {
    let page = bucket.list_page("blobs/".into(), None, None, None, Some(1));
    match page.await {
        Ok(_) => Ok(true),
        Err(S3Error::HttpFailWithBody(404, _)) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn make(bucket: &Bucket) -> Result<(), BlobError> {
    let what = "make the bucket";
    let region = bucket.region();
    let named = matches!(&region, Region::Custom { region, .. } if region != PLAIN_REGION);
    let credentials = bucket.credentials().await.map_err(unavailable(what))?;
    if named {
        let config = BucketConfiguration::default();
        let name = bucket.name();
        let made = Bucket::create_with_path_style(&name, region, credentials, config);
        made.await.map_err(unavailable(what))?;
        return Ok(());
    }
    // The library always names the region, which servers refuse for this one.
    let url = bucket.presign_put("/", 60, None, None).await;
    let request = bucket.http_client().put(url.map_err(unavailable(what))?);
    // Left out for an empty body otherwise, which some servers refuse (411).
    let request = request.header("Content-Length", "0");
    let answer = request.send().await.map_err(|error| {
        // Its text would have the signed address.
        unavailable(what)(S3Error::Reqwest(error.without_url()))
    })?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(BlobError::Unavailable {
            what,
            reason: format!("the server answered {status}"),
        }),
    }
}
