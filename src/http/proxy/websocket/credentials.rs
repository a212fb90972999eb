//! Tokens of WebSockets to web applications. A browser cannot set headers there, so a token may
//! also come as a subprotocol or in the query; and it sends its cookies whichever page opens the
//! socket, so those count for pages of this server alone.

use actix_web::HttpRequest;
use actix_web::http::header::{self, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use actix_web::web::Data;
use url::form_urlencoded;

use crate::node::Node;

/// Name of the query parameter, and of the subprotocol before its dot.
const NAME: &str = "access_token";

/// Whether a request opens a WebSocket to a service under `/{workspace}/apps/{service}/`.
pub fn opens_websocket(request: &HttpRequest) -> bool {
    let upgrade = request.headers().get(header::UPGRADE);
    let mut segments = request.path().split('/').skip(2);
    upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && segments.next() == Some("apps")
        && segments.nth(1).is_some()
}

/// The token that a WebSocket brings beside the usual places.
pub fn token(request: &HttpRequest) -> Option<String> {
    let offered = offered(request);
    let as_protocol = offered.iter().find_map(|protocol| in_protocol(protocol));
    if let Some(token) = as_protocol {
        return Some(token.to_owned());
    }
    form_urlencoded::parse(request.query_string().as_bytes())
        .find(|(name, value)| name == NAME && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

/// The token in a subprotocol `access_token.<token>`.
pub fn in_protocol(protocol: &str) -> Option<&str> {
    let token = protocol.strip_prefix(NAME)?.strip_prefix('.')?;
    (!token.is_empty()).then_some(token)
}

/// The subprotocols that the caller offers, in its order.
pub fn offered(request: &HttpRequest) -> Vec<String> {
    request
        .headers()
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|protocol| protocol.trim().to_owned())
        .filter(|protocol| !protocol.is_empty())
        .collect()
}

/// Whether the cookies of a WebSocket say who opens it: not when a page of another site does.
pub fn cookies_count(request: &HttpRequest) -> bool {
    let Some(origin) = request.headers().get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let own = origin
        .split_once("://")
        .is_some_and(|(_, host)| host.eq_ignore_ascii_case(request.connection_info().host()));
    let listed = || {
        let node = request.app_data::<Data<Node>>();
        node.is_some_and(|node| {
            let origins = &node.config.server.allow_origins;
            origins.iter().any(|known| known == origin)
        })
    };
    own || listed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn tokens_come_as_a_subprotocol_or_in_the_query() {
        let request = |query: &str, protocol: &'static str| {
            TestRequest::with_uri(&format!("/ws/apps/svc/x{query}"))
                .insert_header((SEC_WEBSOCKET_PROTOCOL, protocol))
                .to_http_request()
        };
        let found = |query: &str, protocol| token(&request(query, protocol));
        assert_eq!(found("", "chat, access_token.a.b").as_deref(), Some("a.b"));
        assert_eq!(found("?access_token=q%2B", "chat").as_deref(), Some("q+"));
        assert_eq!(found("?access_token=", "access_token."), None);
        assert_eq!(found("?token=x", "access_tokens.x"), None);
    }

    #[test]
    fn only_paths_of_services_are_asked_for_more_tokens() {
        for (path, header, expected) in [
            ("/lab/apps/svc/", "websocket", true),
            ("/lab/apps/svc/a/b", "WebSocket", true),
            ("/lab/apps/svc", "websocket", false),
            ("/ws", "websocket", false),
            ("/lab/services/svc/f", "websocket", false),
            ("/lab/apps/svc/", "h2c", false),
        ] {
            let request = TestRequest::with_uri(path)
                .insert_header((header::UPGRADE, header))
                .to_http_request();
            assert_eq!(opens_websocket(&request), expected, "{path} {header}");
        }
    }

    #[test]
    fn cookies_of_other_sites_do_not_count() {
        for (origin, counts) in [
            (None, true),
            (Some("http://here.example:9"), true),
            (Some("https://evil.example"), false),
            (Some("null"), false),
        ] {
            let mut request =
                TestRequest::default().insert_header((header::HOST, "here.example:9"));
            if let Some(origin) = origin {
                request = request.insert_header((ORIGIN, origin));
            }
            assert_eq!(
                cookies_count(&request.to_http_request()),
                counts,
                "{origin:?}"
            );
        }
    }
}
