//! The header `Range` (artifacts.md 7).

use std::ops::Range;

/// What of a file is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it. Also for headers that cannot be read, which clients do send.
    All,
    /// These bytes of it, at least one.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Nothing,
}

/// What a `Range` header asks of a file of this size.
pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = header.and_then(bounds) else {
        return Wanted::All;
    };
    let range = match (first, last) {
        (Some(first), Some(last)) if first > last => return Wanted::All,
        (Some(first), last) => first..last.map_or(size, |last| last.saturating_add(1).min(size)),
        (None, Some(count)) => size.saturating_sub(count)..size,
        (None, None) => return Wanted::All,
    };
    match range.is_empty() {
        true => Wanted::Nothing,
        false => Wanted::Part(range),
    }
}

type Bounds = (Option<u64>, Option<u64>);

/// First and last byte of a header with one range; none for anything else.
fn bounds(header: &str) -> Option<Bounds> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| -> Option<Option<u64>> {
        let text = text.trim();
        match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true if text.is_empty() => Some(None),
            // Beyond all files.
            true => Some(Some(text.parse().unwrap_or(u64::MAX))),
            false => None,
        }
    };
    Some((number(first)?, number(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_s3_does() {
        let part = |range| Wanted::Part(range);
        for (header, expected) in [
            ("bytes=0-3", part(0..4)),
            ("bytes=2-", part(2..10)),
            ("bytes=-3", part(7..10)),
            ("bytes=-30", part(0..10)),
            ("bytes=9-9", part(9..10)),
            ("bytes=5-100", part(5..10)),
            ("bytes=0-99999999999999999999999", part(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-12", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=0--1", Wanted::All),
            ("bytes=4-2", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=0-1,4-5", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("", Wanted::All),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::All);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
        assert_eq!(wanted(None, 0), Wanted::All);
    }
}
