//! Which hosts a page may reach.

use std::str::FromStr;

use thiserror::Error;

/// A text that names no hosts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("holds '{0}', which is neither a host such as api.example.org or *.example.org:8080 nor *")]
pub struct BadPattern(String);

/// One host, all hosts below a domain, or all; on one port or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    name: Name,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Any,
    /// Below this domain, not the domain itself.
    Below(String),
    Exactly(String),
}

impl FromStr for HostPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let wrong = || BadPattern(text.to_owned());
        let (host, port) = split_port(text.trim()).ok_or_else(wrong)?;
        let host = host.to_ascii_lowercase();
        let name = match host.strip_prefix("*.") {
            _ if host == "*" => Name::Any,
            Some(domain) if is_host(domain) => Name::Below(domain.to_owned()),
            None if is_host(&host) => Name::Exactly(host),
            _ => return Err(wrong()),
        };
        Ok(Self { name, port })
    }
}

impl HostPattern {
    /// Whether `host` (in lower case, no brackets) on `port` is meant.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let named = match &self.name {
            Name::Any => true,
            Name::Exactly(name) => name == host,
            Name::Below(domain) => host
                .strip_suffix(domain.as_str())
                .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        };
        named && self.port.is_none_or(|wanted| wanted == port)
    }
}

/// `host`, `host:port` or `[v6]:port`; the host comes without brackets.
pub(crate) fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        None => Some((text, None)),
        // An IPv6 address without brackets has no port.
        Some((_, rest)) if rest.contains(':') => Some((text, None)),
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
    }
}

fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    !text.is_empty() && text.chars().all(plain) && !text.starts_with('.') && !text.ends_with('.')
}

/// The hosts that a page may reach beside this server: those that every list knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed(Vec<Vec<HostPattern>>);

impl Allowed {
    /// No host at all.
    pub fn nothing() -> Self {
        Self(vec![Vec::new()])
    }

    /// Hosts that are in each of these lists.
    pub fn all_of(lists: impl IntoIterator<Item = Vec<HostPattern>>) -> Self {
        let any = |pattern: &HostPattern| pattern.name == Name::Any && pattern.port.is_none();
        Self(
            lists
                .into_iter()
                .filter(|list| !list.iter().any(any))
                .collect(),
        )
    }

    /// Whether there is no bound.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `host` on `port` may be reached.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.0
            .iter()
            .all(|list| list.iter().any(|pattern| pattern.matches(&host, port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(lists: &[&[&str]]) -> Allowed {
        Allowed::all_of(
            lists
                .iter()
                .map(|list| list.iter().map(|text| text.parse().unwrap()).collect()),
        )
    }

    #[test]
    fn hosts_domains_and_ports() {
        let list = allowed(&[&["Example.org", "*.cdn.net", "localhost:8080", "::1"]]);
        assert!(list.allows("example.org", 443) && list.allows("EXAMPLE.org.", 80));
        assert!(
            list.allows("a.b.cdn.net", 1)
                && !list.allows("cdn.net", 1)
                && !list.allows("evilcdn.net", 1)
        );
        assert!(list.allows("localhost", 8080) && !list.allows("localhost", 80));
        assert!(list.allows("::1", 5) && !list.allows("sub.example.org", 443));
    }

    #[test]
    fn lists_only_narrow_each_other() {
        assert!(allowed(&[&["*"], &["a", "*"]]).is_everything());
        let both = allowed(&[&["a.org", "b.org"], &["b.org", "c.org"]]);
        assert!(both.allows("b.org", 1) && !both.allows("a.org", 1) && !both.allows("c.org", 1));
        assert!(!allowed(&[&[]]).allows("a.org", 1) && !Allowed::nothing().allows("a.org", 1));
    }

    #[test]
    fn what_is_no_host() {
        for text in [
            "",
            "http://a/",
            "a/b",
            "*.",
            "a*",
            "*.*",
            "a:port",
            "a b",
            ".a",
            "[::1",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
        assert_eq!(split_port("[::1]:80"), Some(("::1", Some(80))));
    }
}
