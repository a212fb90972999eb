//! Where a request comes from: the peer, or whom a trusted proxy names (http.md 1.1, rule S10).

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpMessage;
use actix_web::dev::ServiceRequest;
use ipnet::IpNet;

use crate::gateway::ClientIp;
use crate::identity::{RangeError, parse_range};

const FORWARDED: &str = "x-forwarded-for";

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Reads addresses and ranges; empty texts are none.
    ///
    /// # Errors
    /// A text is neither.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, RangeError> {
        let filled = texts
            .iter()
            .map(AsRef::as_ref)
            .filter(|text| !text.trim().is_empty());
        Ok(Proxies(filled.map(parse_range).collect::<Result<_, _>>()?))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }

    /// The client's address. `forwarded` are the values of the header in the order sent; each
    /// proxy appended the address it was called from, so they are read from the right: the first
    /// one that is no trusted proxy is the client. What stands left of it may be invented.
    pub fn origin<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut origin = peer.to_canonical();
        let entries = forwarded.rev().flat_map(|value| value.rsplit(','));
        for entry in entries {
            if !self.trusts(origin) {
                break;
            }
            match address(entry.trim()) {
                Some(address) => origin = address,
                None => break,
            }
        }
        origin
    }

    /// Finds the client of a request and notes it for [`crate::gateway::client_ip`].
    pub fn note(&self, request: &ServiceRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        let values: Vec<&str> = request
            .headers()
            .get_all(FORWARDED)
            .filter_map(|value| value.to_str().ok())
            .collect();
        let origin = self.origin(peer, values.into_iter());
        request.extensions_mut().insert(ClientIp(origin));
        Some(origin)
    }
}

/// An entry of the header; some proxies add the port.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    let address = match bare.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => entry.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies = Proxies::parse(trusted).unwrap();
        let values = forwarded.iter().copied();
        proxies.origin(peer.parse().unwrap(), values).to_string()
    }

    #[test]
    fn strangers_are_not_believed() {
        assert_eq!(origin(&["127.0.0.1"], "9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
        assert_eq!(origin(&[], "127.0.0.1", &["1.1.1.1"]), "127.0.0.1");
        assert_eq!(origin(&[""], "127.0.0.1", &["1.1.1.1"]), "127.0.0.1");
    }

    #[test]
    fn the_last_stranger_before_the_proxies_is_the_client() {
        let trusted = ["127.0.0.0/8", "10.0.0.0/8"];
        let of = |forwarded: &[&str]| origin(&trusted, "127.0.0.1", forwarded);
        assert_eq!(of(&["1.1.1.1"]), "1.1.1.1");
        assert_eq!(of(&["6.6.6.6, 1.1.1.1, 10.0.0.3"]), "1.1.1.1");
        assert_eq!(of(&["6.6.6.6", "1.1.1.1", "10.0.0.3"]), "1.1.1.1");
        assert_eq!(of(&["10.0.0.9, 10.0.0.3"]), "10.0.0.9");
        assert_eq!(of(&[]), "127.0.0.1");
    }

    #[test]
    fn what_cannot_be_read_ends_the_search() {
        let trusted = ["127.0.0.1", "10.0.0.3"];
        let of = |value: &str| origin(&trusted, "127.0.0.1", &[value]);
        assert_eq!(of("1.1.1.1, nonsense"), "127.0.0.1");
        assert_eq!(of("1.1.1.1, unknown, 10.0.0.3"), "10.0.0.3");
        assert_eq!(of(""), "127.0.0.1");
    }

    #[test]
    fn notations_of_one_address_are_the_same() {
        let of = |value: &str| origin(&["::1"], "::1", &[value]);
        assert_eq!(of("1.1.1.1:443"), "1.1.1.1");
        assert_eq!(of("[2001:db8::1]:443"), "2001:db8::1");
        assert_eq!(of("[2001:db8::1]"), "2001:db8::1");
        assert_eq!(of("::ffff:1.1.1.1"), "1.1.1.1");
        assert_eq!(
            origin(&["127.0.0.1"], "::ffff:127.0.0.1", &["1.1.1.1"]),
            "1.1.1.1"
        );
    }
}
