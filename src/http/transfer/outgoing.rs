//! Files on their way out, whole or in part.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::body::SizedStream;
use actix_web::http::header::{
    ACCEPT_RANGES, CONTENT_RANGE, ETAG, HttpDate, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures::{StreamExt, TryStreamExt};

use crate::artifacts::objects::{Object, Objects};
use crate::artifacts::transfer::{Wanted, wanted};
use crate::http::HttpError;

/// Answers a GET or HEAD with an object: ranges, ETag, conditions.
///
/// # Errors
/// The storage failed.
pub async fn serve(
    request: &HttpRequest,
    objects: &Objects,
    object: &Object,
    media_type: &str,
) -> Result<HttpResponse, HttpError> {
    let header = |name| {
        let value = request.headers().get(name)?;
        value.to_str().ok()
    };
    let etag = format!("\"{}\"", object.etag());
    if header(IF_NONE_MATCH).is_some_and(|given| matches(given, &etag)) {
        let mut answer = HttpResponse::NotModified();
        return Ok(answer.insert_header((ETAG, etag)).finish());
    }
    // A range of what the client has no longer is of no use to it.
    let fresh = header(IF_RANGE).is_none_or(|given| given.trim() == etag);
    let range = header(RANGE).filter(|_| fresh);
    let (status, range) = match wanted(range, object.size) {
        Wanted::All => (StatusCode::OK, 0..object.size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            return Ok(HttpResponse::RangeNotSatisfiable()
                .insert_header((CONTENT_RANGE, format!("bytes */{}", object.size)))
                .finish());
        }
    };
    let length = range.end - range.start;
    let mut answer = HttpResponse::build(status);
    describe(&mut answer, object, media_type, &etag);
    if status == StatusCode::PARTIAL_CONTENT {
        let (first, last, size) = (range.start, range.end - 1, object.size);
        answer.insert_header((CONTENT_RANGE, format!("bytes {first}-{last}/{size}")));
    }
    if request.method() == Method::HEAD {
        // A body that is never sent, and its length.
        let nothing = futures::stream::empty::<Result<_, std::io::Error>>();
        return Ok(answer.body(SizedStream::new(length, nothing)));
    }
    let pieces = objects.open_range(object, Some(range)).await?;
    let pieces = pieces.inspect_err(|error| tracing::error!(%error, "a download breaks off"));
    Ok(answer.body(SizedStream::new(length, pieces.boxed_local())))
}

fn describe(answer: &mut HttpResponseBuilder, object: &Object, media_type: &str, etag: &str) {
    let modified = UNIX_EPOCH + Duration::from_secs_f64(object.at.max(0.0));
    answer
        .content_type(media_type)
        .insert_header((ETAG, etag))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((LAST_MODIFIED, HttpDate::from(modified)));
}

/// Whether a list of ETags, or `*`, has this one.
pub fn matches(list: &str, etag: &str) -> bool {
    list.split(',')
        .map(str::trim)
        .any(|given| given == "*" || given.trim_start_matches("W/") == etag)
}
