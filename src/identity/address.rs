//! Addresses and ranges of addresses, as people write them.

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

/// A text is neither an address nor a range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is neither an IP address nor a range such as 10.0.0.0/8")]
pub struct RangeError(String);

/// Reads an address or a range. Bits behind the prefix are cleared, and an IPv4 address in IPv6
/// notation is the IPv4 address.
///
/// # Errors
/// [`RangeError`]
pub fn parse_range(text: &str) -> Result<IpNet, RangeError> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let range: IpNet = text.parse().map_err(|_| RangeError(text.to_owned()))?;
    Ok(range.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ranges_are_read() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1/32"),
            (" 10.1.2.3/8 ", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::1", "::1/128"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::1/32", "2001:db8::/32"),
        ] {
            assert_eq!(parse_range(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_by_name() {
        for text in [
            "",
            "localhost",
            "10.0.0.1/33",
            "10.0.0",
            "1.2.3.4:80",
            "::1/129",
            "*",
        ] {
            let error = parse_range(text).unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")), "{error}");
        }
    }
}
