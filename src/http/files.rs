//! Files of running apps as answers: types, tags, and parts of them (RFC 9110, sections 13 and 14).

use actix_web::http::header::{
    ACCEPT_RANGES, ByteRangeSpec, CACHE_CONTROL, CONTENT_RANGE, ETAG, EntityTag, IF_NONE_MATCH,
    IF_RANGE, IfNoneMatch, IfRange, RANGE, Range, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use bytes::Bytes;

use crate::artifacts::BlobId;

/// The answer to a request for the file at `path`, whole, in part, or that it is the same.
/// Browsers do not keep it: its address tells who may read it.
pub fn answer(request: &HttpRequest, path: &str, content: Bytes) -> HttpResponse {
    let tag = EntityTag::new_strong(BlobId::of(&content).to_string());
    let mut response = HttpResponse::Ok();
    response
        .insert_header((ETAG, tag.to_string()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .content_type(kind_of(path));
    if is_known(request, &tag) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    match part_of(request, &tag, content.len() as u64) {
        Part::Whole => response.body(content),
        Part::Between(first, last) => {
            let range = format!("bytes {first}-{last}/{}", content.len());
            response
                .status(StatusCode::PARTIAL_CONTENT)
                .insert_header((CONTENT_RANGE, range))
                .body(content.slice(first as usize..=last as usize))
        }
        Part::Beyond => response
            .status(StatusCode::RANGE_NOT_SATISFIABLE)
            .insert_header((CONTENT_RANGE, format!("bytes */{}", content.len())))
            .finish(),
    }
}

/// The type of a file by its name. Texts are in UTF-8.
fn kind_of(path: &str) -> String {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let text = kind.type_() == mime_guess::mime::TEXT
        || ["javascript", "json", "xml"].contains(&kind.subtype().as_str());
    match text && kind.get_param("charset").is_none() {
        true => format!("{kind}; charset=utf-8"),
        false => kind.to_string(),
    }
}

fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    if !request.headers().contains_key(IF_NONE_MATCH) {
        return false;
    }
    match request.get_header::<IfNoneMatch>() {
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(items)) => items.iter().any(|item| item.weak_eq(tag)),
        None => false,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the first to the last byte.
    Between(u64, u64),
    Beyond,
}

/// The part that is asked for. Several parts at once, and what cannot be read, get the whole.
fn part_of(request: &HttpRequest, tag: &EntityTag, length: u64) -> Part {
    let headers = request.headers();
    if *request.method() != Method::GET || !headers.contains_key(RANGE) {
        return Part::Whole;
    }
    if headers.contains_key(IF_RANGE) {
        let same = match request.get_header::<IfRange>() {
            Some(IfRange::EntityTag(known)) => known.strong_eq(tag),
            // Files here have no date.
            _ => false,
        };
        if !same {
            return Part::Whole;
        }
    }
    let Some(Range::Bytes(ranges)) = request.get_header::<Range>() else {
        return Part::Whole;
    };
    let [range] = ranges.as_slice() else {
        return Part::Whole;
    };
    if matches!(range, ByteRangeSpec::FromTo(first, last) if last < first) {
        return Part::Whole;
    }
    match range.to_satisfiable_range(length) {
        Some((first, last)) => Part::Between(first, last),
        None => Part::Beyond,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn part(range: &'static str, condition: Option<&'static str>) -> Part {
        let mut request = TestRequest::default().insert_header((RANGE, range));
        if let Some(condition) = condition {
            request = request.insert_header((IF_RANGE, condition));
        }
        let tag = EntityTag::new_strong("t".into());
        part_of(&request.to_http_request(), &tag, 10)
    }

    #[test]
    fn parts_of_files() {
        for (range, expected) in [
            ("bytes=0-1", Part::Between(0, 1)),
            ("bytes=5-", Part::Between(5, 9)),
            ("bytes=-3", Part::Between(7, 9)),
            ("bytes=5-99", Part::Between(5, 9)),
            ("bytes=10-", Part::Beyond),
            ("bytes=0--1", Part::Whole),
            ("bytes=3-1", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("lines=0-1", Part::Whole),
        ] {
            assert_eq!(part(range, None), expected, "{range}");
        }
        assert_eq!(part("bytes=0-1", Some("\"t\"")), Part::Between(0, 1));
        assert_eq!(part("bytes=0-1", Some("\"other\"")), Part::Whole);
    }

    #[test]
    fn types_of_files() {
        for (path, kind) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.json", "application/json; charset=utf-8"),
            ("a.png", "image/png"),
            ("a.wasm", "application/wasm"),
            ("source", "application/octet-stream"),
        ] {
            assert_eq!(kind_of(path), kind, "{path}");
        }
        assert!(kind_of("a.mjs").ends_with("javascript; charset=utf-8"));
    }
}
