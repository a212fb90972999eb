//! Fingerprint of an app's source: a sha2-256 multihash in base58, the form clients already store.

use sha2::{Digest, Sha256};

/// Multihash code of sha2-256 and the length of its digest.
const SHA2_256: [u8; 2] = [0x12, 0x20];

/// The given source does not have the fingerprint the manifest promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("App source code verification failed (source_hash: {expected})")]
pub struct SourceHashMismatch {
    pub expected: String,
}

impl SourceHashMismatch {
    /// Exception class under which clients see this error.
    pub fn class(&self) -> &'static str {
        "AssertionError"
    }
}

/// Fingerprint of the source exactly as it was given, before a URL is downloaded.
pub fn source_hash(source: &str) -> String {
    let mut multihash = Vec::with_capacity(34);
    multihash.extend_from_slice(&SHA2_256);
    multihash.extend_from_slice(&Sha256::digest(source.as_bytes()));
    bs58::encode(multihash).into_string()
}

/// Computes the fingerprint and compares it with the one a manifest demands, if it demands one.
pub fn verified_source_hash(
    source: &str,
    expected: Option<&str>,
) -> Result<String, SourceHashMismatch> {
    let actual = source_hash(source);
    match expected {
        Some(expected) if expected != actual => Err(SourceHashMismatch {
            expected: expected.to_owned(),
        }),
        _ => Ok(actual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fingerprints() {
        // The multihash of the empty string and of "hello world" are widely published values.
        assert_eq!(
            source_hash(""),
            "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"
        );
        assert_eq!(
            source_hash("hello world"),
            "QmaozNR7DZHQK1ZcU9p7QdrshMvXqWK6gpu5rmrkPdT3L4"
        );
    }

    #[test]
    fn a_promised_fingerprint_is_checked() {
        let hash = source_hash("code");
        assert_eq!(verified_source_hash("code", None).unwrap(), hash);
        assert_eq!(verified_source_hash("code", Some(&hash)).unwrap(), hash);
        let error = verified_source_hash("other", Some(&hash)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("App source code verification failed (source_hash: {hash})")
        );
    }
}
