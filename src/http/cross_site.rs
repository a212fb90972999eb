//! Which requests a cookie may authenticate. Browsers send it along whoever made them ask, so a
//! link on a foreign page could call a service as its visitor. What made them ask, they say
//! themselves (`Sec-Fetch-Site` and its sisters).

use actix_web::HttpRequest;
use actix_web::http::Method;

/// Whether the cookie of a request says who calls. From another site it does only where somebody
/// follows a link to a page: not for parts of a page, and never for a call of a service.
pub fn cookie_counts(request: &HttpRequest) -> bool {
    let says = |name: &str, text: &str| {
        let value = request.headers().get(name);
        value.is_some_and(|value| value.as_bytes() == text.as_bytes())
    };
    if !says("sec-fetch-site", "cross-site") {
        // Same site, typed into the address bar, or no browser that tells.
        return true;
    }
    let follows_link = matches!(*request.method(), Method::GET | Method::HEAD)
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document");
    follows_link && !calls_service(request.path())
}

/// `/{workspace}/services/{service}/{function}`
fn calls_service(path: &str) -> bool {
    let mut segments = path.trim_start_matches('/').split('/');
    segments.nth(1) == Some("services")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn counts(method: Method, path: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let mut request = TestRequest::default().method(method).uri(path);
        for header in headers {
            request = request.insert_header(*header);
        }
        cookie_counts(&request.to_http_request())
    }

    #[test]
    fn other_sites_may_only_lead_to_pages() {
        let (call, page) = ("/ws/services/svc/f", "/ws/apps/svc/");
        let cross = ("sec-fetch-site", "cross-site");
        let link = [
            cross,
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let frame = [cross, link[1], ("sec-fetch-dest", "iframe")];
        for headers in [&link[..], &frame, &[cross]] {
            assert!(!counts(Method::GET, call, headers), "{headers:?}");
            assert!(!counts(Method::POST, page, headers), "{headers:?}");
        }
        assert!(counts(Method::GET, page, &link));
        assert!(counts(Method::HEAD, page, &link));
        assert!(!counts(Method::GET, page, &frame));
        assert!(!counts(Method::GET, page, &[cross]));
        for site in ["same-origin", "same-site", "none"] {
            assert!(counts(Method::GET, call, &[("sec-fetch-site", site)]));
        }
        assert!(counts(Method::POST, call, &[]));
    }
}
