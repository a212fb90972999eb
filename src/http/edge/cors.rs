//! Which web pages may call the server from a browser (http.md 1.4).

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};

const METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
/// Seconds that a browser may remember the answer to a preflight.
const MAX_AGE: &str = "600";
const HEADERS: &str = "Accept, Accept-Encoding, Accept-Language, Access-Control-Allow-Headers, \
                       Access-Control-Request-Headers, Access-Control-Request-Method, \
                       Authorization, Content-Encoding, Content-Language, Content-Type, \
                       Inference-Header-Content-Length, Origin, Range, X-Requested-With";
/// The reference's list, and what uploads in parts and ranged downloads read.
const EXPOSED: &str = "Inference-Header-Content-Length, Accept-Encoding, Range, Origin, \
                       Content-Type, ETag, Content-Range, Accept-Ranges, Content-Length, \
                       Content-Disposition";

/// The allowed origins.
#[derive(Debug, Clone)]
pub struct Cors {
    everybody: bool,
    origins: Vec<String>,
}

/// What a request's origin is to us, taken before the request is handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// No page, or a route whose owner answers for itself.
    NotOurs,
    Allowed(HeaderValue),
    Refused,
}

impl Cors {
    pub fn new(origins: &[String]) -> Self {
        Cors {
            everybody: origins.iter().any(|origin| origin == "*"),
            origins: origins.to_vec(),
        }
    }

    /// Judges the origin of a request.
    pub fn judge(&self, request: &ServiceRequest) -> Caller {
        let Some(origin) = request.headers().get(header::ORIGIN) else {
            return Caller::NotOurs;
        };
        if answers_for_itself(request.path()) {
            return Caller::NotOurs;
        }
        let listed = || {
            self.origins
                .iter()
                .any(|known| known.as_bytes() == origin.as_bytes())
        };
        if self.everybody || listed() {
            Caller::Allowed(origin.clone())
        } else {
            Caller::Refused
        }
    }

    /// The answer to a preflight; none when the request is not one.
    pub fn preflight(&self, request: &ServiceRequest, caller: &Caller) -> Option<HttpResponse> {
        let asked = request
            .headers()
            .get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if request.method() != Method::OPTIONS || *caller == Caller::NotOurs {
            return None;
        }
        let mut wrong = Vec::new();
        if *caller == Caller::Refused {
            wrong.push("origin");
        }
        if !lists(METHODS, asked.as_bytes(), <[u8]>::eq) {
            wrong.push("method");
        }
        let requested = request
            .headers()
            .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let names = requested
            .map_or(&[][..], HeaderValue::as_bytes)
            .split(|byte| *byte == b',');
        let mut names = names
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty());
        if !names.all(|name| lists(HEADERS, name, <[u8]>::eq_ignore_ascii_case)) {
            wrong.push("headers");
        }
        let (status, text) = if wrong.is_empty() {
            (StatusCode::OK, "OK".to_owned())
        } else {
            (
                StatusCode::BAD_REQUEST,
                format!("Disallowed CORS {}", wrong.join(", ")),
            )
        };
        let mut answer = HttpResponse::build(status);
        answer
            .content_type("text/plain; charset=utf-8")
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS));
        Some(answer.body(text))
    }
}

/// Writes what the browser has to know into an answer. The origin is named, never `*`: browsers
/// accept credentials under no other condition.
pub fn decorate(headers: &mut HeaderMap, caller: Caller) {
    let origin = match caller {
        Caller::NotOurs => return,
        // A handler's own permission must not overrule the setting.
        Caller::Refused => {
            headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
            return;
        }
        Caller::Allowed(origin) => origin,
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

fn lists(list: &str, name: &[u8], same: fn(&[u8], &[u8]) -> bool) -> bool {
    list.split(", ").any(|known| same(known.as_bytes(), name))
}

/// Routes whose service, or whose own code, decides about origins: apps of clients, and the
/// endpoints for agents.
fn answers_for_itself(path: &str) -> bool {
    let mut segments = path.trim_start_matches('/').split('/');
    let (workspace, kind) = (segments.next(), segments.next());
    let (third, fourth) = (segments.next(), segments.next());
    match kind {
        Some("apps") => third.is_some_and(|service| !service.is_empty()) && fourth.is_some(),
        Some("agent-skills") => third.is_some() && workspace != Some("ws"),
        Some("mcp" | "a2a") => third.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_and_endpoints_for_agents_answer_for_themselves() {
        for path in [
            "/lab/apps/svc/",
            "/lab/apps/svc/a/b",
            "/lab/agent-skills/",
            "/lab/mcp/svc/mcp",
            "/lab/a2a/svc",
        ] {
            assert!(answers_for_itself(path), "{path}");
        }
        for path in [
            "/",
            "/lab/apps",
            "/lab/apps/",
            "/lab/apps/svc",
            "/lab/services/apps/svc/x",
            "/ws/agent-skills/SKILL.md",
            "/lab/mcp",
            "/apps/x/y/z",
        ] {
            assert!(!answers_for_itself(path), "{path}");
        }
    }
}
