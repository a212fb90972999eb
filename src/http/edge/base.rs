//! The path below which the server lives (http.md: every route is prefixed by `base_path`).
//!
//! It is taken off at the edge and put back into redirects, so that no route has to know it.

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use actix_web::http::header::{HeaderMap, HeaderValue, LOCATION};
use actix_web::http::uri::PathAndQuery;

/// See the module's text.
#[derive(Debug)]
pub struct BasePath {
    /// Nothing, or `/a/b`.
    prefix: String,
}

/// Where a request leads.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// To this path and query of a route.
    Route(String),
    /// To the base itself, which lacks its slash.
    Bare,
    Outside,
}

impl BasePath {
    pub fn new(prefix: String) -> Self {
        BasePath { prefix }
    }

    pub fn is_root(&self) -> bool {
        self.prefix.is_empty()
    }

    fn target(&self, path_and_query: &str) -> Target {
        match path_and_query.strip_prefix(&self.prefix) {
            Some(rest) if rest.starts_with('/') => Target::Route(rest.to_owned()),
            Some(rest) if rest.is_empty() || rest.starts_with('?') => Target::Bare,
            _ => Target::Outside,
        }
    }

    /// Takes the base off the path of a request.
    ///
    /// # Errors
    /// It is not below the base: where the caller should go instead, if that is known.
    pub fn enter(&self, request: &mut ServiceRequest) -> Result<(), Option<String>> {
        if self.is_root() {
            return Ok(());
        }
        let given = request.uri().path_and_query().map(PathAndQuery::as_str);
        match self.target(given.unwrap_or("/")) {
            Target::Bare => Err(Some(format!("{}/", self.prefix))),
            Target::Outside => Err(None),
            Target::Route(path) => {
                let mut parts = request.uri().clone().into_parts();
                parts.path_and_query = path.parse().ok();
                let uri = Uri::from_parts(parts).map_err(|_| None)?;
                request.match_info_mut().get_mut().update(&uri);
                request.head_mut().uri = uri;
                Ok(())
            }
        }
    }

    /// Makes a redirect to a path of ours lead below the base.
    pub fn leave(&self, headers: &mut HeaderMap) {
        if self.is_root() {
            return;
        }
        let below = headers
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .filter(|location| location.starts_with('/') && !location.starts_with("//"))
            // An app that knows its whole path (`root_path`) leads below the base by itself.
            .filter(|location| self.target(location) == Target::Outside)
            .and_then(|path| HeaderValue::from_str(&format!("{}{path}", self.prefix)).ok());
        if let Some(location) = below {
            headers.insert(LOCATION, location);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_taken_off_whole_segments_only() {
        let base = BasePath::new("/my/engine".into());
        for (given, target) in [
            ("/my/engine/ws?a=1", Target::Route("/ws?a=1".into())),
            ("/my/engine/", Target::Route("/".into())),
            ("/my/engine", Target::Bare),
            ("/my/engine?a=1", Target::Bare),
            ("/my/engines/ws", Target::Outside),
            ("/ws", Target::Outside),
        ] {
            assert_eq!(base.target(given), target, "{given}");
        }
    }

    #[test]
    fn redirects_stay_below_the_base() {
        let base = BasePath::new("/b".into());
        for (given, want) in [
            ("/x/", "/b/x/"),
            ("/b/x/", "/b/x/"),
            ("//other/x", "//other/x"),
            ("https://other/x", "https://other/x"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_str(given).unwrap());
            base.leave(&mut headers);
            assert_eq!(headers.get(LOCATION).unwrap(), want);
        }
    }
}
