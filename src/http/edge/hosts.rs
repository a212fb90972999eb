//! Names of their own for apps and sites: a request that names one of these hosts is led below the
//! path of an app or of an artifact, and reaches nothing else of the server.

use std::collections::HashMap;

use actix_web::HttpMessage;
use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderValue, LOCATION};
use actix_web::http::uri::PathAndQuery;

use crate::http::artifacts::ALONE;

/// The page of a folder of files.
const INDEX: &str = "index.html";

/// What a request carries that came in by such a name: below its host there is nothing else, so its
/// app is at the root.
#[derive(Debug, Clone, Copy)]
pub struct AtRoot;

/// Where a host leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `/{workspace}/apps/{service}` or the like, without a slash at its end.
    path: String,
    /// Folders of files have no page; their `index.html` is taken for it.
    files: bool,
}

/// See the module's text. Hosts in lower case, without a port.
#[derive(Debug, Default)]
pub struct Hosts(HashMap<String, Place>);

impl Hosts {
    /// Reads `host=/workspace/apps/service`, `host=/workspace/view/artifact` and
    /// `host=/workspace/artifacts/artifact/files`.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn parse(given: &[String]) -> Result<Self, String> {
        let mut hosts = HashMap::new();
        for text in given {
            let (host, place) = parse(text)?;
            if hosts.insert(host, place).is_some() {
                return Err(format!("{text} names a host that is there already"));
            }
        }
        Ok(Hosts(hosts))
    }

    /// Leads a request to the place of its host, if that has one.
    pub fn enter(&self, request: &mut ServiceRequest) -> Option<Place> {
        if self.0.is_empty() {
            return None;
        }
        let host = request.headers().get(HOST)?.to_str().ok()?;
        let place = self.0.get(&bare(host))?.clone();
        let given = request.uri().path_and_query().map(PathAndQuery::as_str);
        let inner = place.inner(given.unwrap_or("/"));
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(inner.parse().ok()?);
        let uri = Uri::from_parts(parts).ok()?;
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
        request.extensions_mut().insert(AtRoot);
        Some(place)
    }
}

impl Place {
    /// The path and query of the server for those that the caller named.
    fn inner(&self, given: &str) -> String {
        let (path, query) = match given.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (given, String::new()),
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let index = if self.files && path.ends_with('/') {
            INDEX
        } else {
            ""
        };
        format!("{}{slash}{path}{index}{query}", self.path)
    }

    /// Makes an answer one of the host's: redirects stay there, and a page needs no protection from
    /// the server's own pages, which are of another host.
    pub fn leave(&self, headers: &mut HeaderMap) {
        let outside = headers
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| location.strip_prefix(self.path.as_str()))
            .filter(|rest| rest.starts_with('/'))
            .and_then(|rest| HeaderValue::from_str(rest).ok());
        if let Some(location) = outside {
            headers.insert(LOCATION, location);
        }
        if headers
            .get(CONTENT_SECURITY_POLICY)
            .is_some_and(|policy| policy == ALONE)
        {
            headers.remove(CONTENT_SECURITY_POLICY);
        }
    }
}

/// A host without its port, in lower case.
fn bare(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn parse(text: &str) -> Result<(String, Place), String> {
    let wrong = || {
        format!(
            "a host is written www.example.org=/workspace/apps/service, …=/workspace/view/artifact or \
             …=/workspace/artifacts/artifact/files, got {text}"
        )
    };
    let (host, path) = text.split_once('=').ok_or_else(wrong)?;
    let path = path.trim().trim_end_matches('/');
    let steps: Vec<&str> = path.split('/').collect();
    let files = match steps[..] {
        ["", _, "apps" | "view", _] => false,
        ["", _, "artifacts", _, "files", ..] => true,
        _ => return Err(wrong()),
    };
    let host = bare(host.trim());
    let usable = path.parse::<PathAndQuery>().is_ok() && !path.contains(['?', '#']);
    let named = steps[1..].iter().all(|step| !matches!(*step, "" | ".."));
    if host.is_empty() || host.contains('/') || !usable || !named {
        return Err(wrong());
    }
    let path = path.to_owned();
    Ok((host, Place { path, files }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        parse(text).unwrap().1
    }

    #[test]
    fn hosts_lead_to_apps_sites_and_files() {
        assert_eq!(
            parse("Www.Example.org:80 = /ws/apps/s@a/").unwrap().0,
            "www.example.org"
        );
        assert_eq!(
            place("a=/ws/apps/s@a/").inner("/x?y=1"),
            "/ws/apps/s@a/x?y=1"
        );
        assert_eq!(place("a=/ws/view/s").inner("/"), "/ws/view/s/");
        let files = place("a=/ws/artifacts/s/files/site");
        assert_eq!(
            files.inner("/?v"),
            "/ws/artifacts/s/files/site/index.html?v"
        );
        assert_eq!(files.inner("/a.css"), "/ws/artifacts/s/files/site/a.css");
        for bad in [
            "a",
            "a=",
            "a=/",
            "=/ws/apps/s",
            "a=/ws/services/s",
            "a=/ws/apps/",
            "a=/../apps/s",
            "a=/ws/apps/s?x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Hosts::parse(&["a=/w/apps/s".into(), "A:1=/w/apps/t".into()]).is_err());
    }

    #[test]
    fn answers_stay_on_their_host() {
        let place = place("a=/ws/apps/s");
        for (given, want) in [
            ("/ws/apps/s/x/", "/x/"),
            ("/ws/apps/sx/", "/ws/apps/sx/"),
            ("https://b/x", "https://b/x"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_str(given).unwrap());
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(ALONE));
            place.leave(&mut headers);
            assert_eq!(headers.get(LOCATION).unwrap(), want);
            assert!(!headers.contains_key(CONTENT_SECURITY_POLICY));
        }
    }
}
