//! `/s3/{bucket}/{key}`: files under signed addresses, which need no other permission.

mod incoming;
mod outgoing;

use actix_web::http::header::ETAG;
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use percent_encoding::percent_decode_str;

pub use incoming::{content_type, drain, expected, receive};
pub use outgoing::{matches, serve};

use super::HttpError;
use crate::artifacts::objects::ObjectError;
use crate::artifacts::transfer::{LandError, Method, RefusedUrl, Signed};
use crate::node::Node;
use crate::store::StoreError;

pub fn routes(config: &mut ServiceConfig) {
    let file = web::resource("/s3/{bucket}/{key:.*}")
        .route(web::get().to(get))
        .route(web::head().to(get))
        .route(web::put().to(put));
    config.service(file);
}

/// What the address of a request allows.
fn signed(request: &HttpRequest, node: &Node) -> Result<Signed, HttpError> {
    // The raw path, because names may hold what the router takes for its own.
    let path = request.uri().path().strip_prefix("/s3/");
    let (bucket, key) = path
        .and_then(|path| path.split_once('/'))
        .ok_or(RefusedUrl::Forged)?;
    let key = percent_decode_str(key)
        .decode_utf8()
        .map_err(|_| RefusedUrl::Forged)?;
    Ok(node.transfer.verify(bucket, &key, request.query_string())?)
}

async fn get(request: HttpRequest, node: Data<Node>) -> Result<HttpResponse, HttpError> {
    let signed = signed(&request, &node)?;
    if signed.method != Method::Get {
        return Err(RefusedUrl::Forged.into());
    }
    let objects = &node.transfer.objects;
    let path = signed.target.path();
    let object = objects.head(&signed.target).await?;
    let object = object.ok_or_else(|| ObjectError::Missing(path.to_owned()))?;
    serve(&request, objects, &object, &object.media_type(path)).await
}

async fn put(
    request: HttpRequest,
    mut payload: Payload,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let outcome = put_signed(&request, &mut payload, &node).await;
    if outcome.is_err() {
        incoming::drain(&mut payload, &node.clock).await;
    }
    let etag = outcome?;
    Ok(HttpResponse::Ok()
        .insert_header((ETAG, format!("\"{etag}\"")))
        .finish())
}

async fn put_signed(
    request: &HttpRequest,
    payload: &mut Payload,
    node: &Node,
) -> Result<String, HttpError> {
    let signed = signed(request, node)?;
    if signed.method != Method::Put {
        return Err(RefusedUrl::Forged.into());
    }
    let transfer = &node.transfer;
    let expect = expected(request)?;
    transfer.may_put(&signed.target).await?;
    if let Some((upload, number)) = &signed.part {
        let objects = &transfer.objects;
        objects.check_part(upload, *number).await?;
        let put = |body| objects.put_part(upload, *number, body, expect);
        return Ok(receive(payload, &node.clock, put).await?);
    }
    let kind = content_type(request);
    let put = |body| transfer.put(&signed.target, body, expect, kind, signed.ttl);
    let object = receive(payload, &node.clock, put).await?;
    Ok(object.etag())
}

impl From<RefusedUrl> for HttpError {
    fn from(error: RefusedUrl) -> Self {
        HttpError::Forbidden(error.to_string())
    }
}

impl From<LandError> for HttpError {
    fn from(error: LandError) -> Self {
        let text = error.to_string();
        match error {
            LandError::Closed => HttpError::Conflict(text),
            LandError::Gone => HttpError::NotFound(text),
            LandError::Failed(error) => error.into(),
        }
    }
}

impl From<ObjectError> for HttpError {
    fn from(error: ObjectError) -> Self {
        use crate::artifacts::BlobError;
        let text = error.to_string();
        match error {
            ObjectError::Missing(_) => HttpError::NotFound(text),
            ObjectError::NoUpload | ObjectError::Parts(_) | ObjectError::Path(_) => {
                HttpError::Invalid(text)
            }
            ObjectError::Blob(BlobError::Full) | ObjectError::Store(StoreError::Full) => {
                HttpError::Full(text)
            }
            ObjectError::Blob(BlobError::Length(_) | BlobError::Broken(_)) => {
                HttpError::Invalid(text)
            }
            ObjectError::Blob(BlobError::Unavailable { .. }) => {
                tracing::error!(error = text, "the file storage does not work");
                HttpError::Unavailable("the file storage is not available, try again later".into())
            }
            ObjectError::Blob(BlobError::Missing(_) | BlobError::Io { .. })
            | ObjectError::Store(_)
            | ObjectError::Interrupted(_) => {
                tracing::error!(error = text, "the file storage failed");
                HttpError::Internal("the server could not read or store the file".into())
            }
        }
    }
}
