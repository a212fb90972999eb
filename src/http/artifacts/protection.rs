//! What goes along with files that anybody may have put there.

use actix_web::HttpResponse;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A page under this policy runs its scripts, but as one of a site of its own: it reads neither
/// the tokens nor the cookies of the server's pages.
pub const ALONE: &str =
    "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads";

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Types of what browsers show as pages, whose scripts they run.
fn is_page(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/html")
        || kind.eq_ignore_ascii_case("application/pdf")
        || kind.to_ascii_lowercase().ends_with("xml")
}

/// Adds what keeps a file from acting as a page of this server, and how long it may be kept.
pub fn protect(answer: &mut HttpResponse, media_type: &str) {
    let headers = answer.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    let asking = HeaderValue::from_static("private, no-cache");
    headers.insert(CACHE_CONTROL, asking);
    if is_page(media_type) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(ALONE));
    }
}

/// A media type with the character set that texts are in.
pub fn with_charset(media_type: String) -> String {
    let kind = media_type.split(';').next().unwrap_or_default();
    let text = kind.starts_with("text/")
        || ["javascript", "json", "xml"]
            .iter()
            .any(|ending| kind.ends_with(ending));
    match text && !media_type.contains("charset") {
        true => format!("{media_type}; charset=utf-8"),
        false => media_type,
    }
}

/// A name as scopes of tokens have it.
pub fn quoted(name: &str) -> String {
    utf8_percent_encode(name, ENCODED).to_string()
}

/// The header that makes browsers save an answer under a name.
pub fn attachment(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' => '_',
            c if c.is_ascii_graphic() || c == ' ' => c,
            _ => '_',
        })
        .collect();
    format!(
        "attachment; filename=\"{plain}\"; filename*=UTF-8''{}",
        quoted(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_other_files() {
        for page in [
            "text/html; charset=utf-8",
            "TEXT/HTML",
            "image/svg+xml",
            "text/xml",
        ] {
            assert!(is_page(page), "{page}");
        }
        for other in ["text/plain", "image/png", "application/javascript", ""] {
            assert!(!is_page(other), "{other}");
        }
    }

    #[test]
    fn texts_say_that_they_are_in_utf_8() {
        for (given, shown) in [
            ("text/html", "text/html; charset=utf-8"),
            ("text/html; charset=latin-1", "text/html; charset=latin-1"),
            ("application/json", "application/json; charset=utf-8"),
            ("image/png", "image/png"),
        ] {
            assert_eq!(with_charset(given.to_owned()), shown);
        }
    }

    #[test]
    fn names_cannot_leave_their_header() {
        let header = attachment("a\"\r\nb é.zip");
        assert_eq!(
            header,
            "attachment; filename=\"a___b _.zip\"; filename*=UTF-8''a%22%0D%0Ab%20%C3%A9.zip"
        );
    }
}
