use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Name of a blob: the SHA-256 of its bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BlobId([u8; 32]);

/// A text that names no blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a blob id has 64 lower-case hexadecimal digits")]
pub struct BlobIdError;

impl BlobId {
    /// The id that `bytes` have.
    pub fn of(bytes: &[u8]) -> BlobId {
        BlobId(Sha256::digest(bytes).into())
    }

    /// Finds the id of bytes that come piece by piece.
    pub(in crate::artifacts) fn hasher() -> BlobHasher {
        BlobHasher(Sha256::new())
    }

    /// The id of bytes that went through a hasher.
    pub(super) fn finish(hasher: Sha256) -> BlobId {
        BlobId(hasher.finalize().into())
    }
}

/// See [`BlobId::hasher`].
pub(in crate::artifacts) struct BlobHasher(Sha256);

impl BlobHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The id of all bytes that were taken.
    pub fn finish(self) -> BlobId {
        BlobId::finish(self.0)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({self})")
    }
}

impl FromStr for BlobId {
    type Err = BlobIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(BlobIdError);
        }
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(BlobId(id))
    }
}

fn nibble(digit: u8) -> Result<u8, BlobIdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(BlobIdError),
    }
}

impl From<BlobId> for String {
    fn from(id: BlobId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for BlobId {
    type Error = BlobIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn an_id_is_the_hash_in_hexadecimal() {
        let id = BlobId::of(b"abc");
        assert_eq!(id.to_string(), OF_ABC);
        assert_eq!(OF_ABC.parse(), Ok(id));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{OF_ABC}\""));
        assert_eq!(serde_json::from_str::<BlobId>(&json).unwrap(), id);
    }

    #[test]
    fn other_texts_are_no_ids() {
        let upper = OF_ABC.to_uppercase();
        let long = format!("{OF_ABC}0");
        let wide = "é".repeat(32);
        for text in ["", "../../etc/passwd", &OF_ABC[1..], &upper, &long, &wide] {
            assert_eq!(text.parse::<BlobId>(), Err(BlobIdError), "{text}");
        }
        assert!(serde_json::from_str::<BlobId>("\"zz\"").is_err());
    }
}
