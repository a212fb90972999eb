//! The compact form of a signed token: three parts, the last one an HMAC over the first two.
//!
//! Only the signature is the library's work. Claims are checked in [`super::tokens`], because that
//! needs our own clock and our own texts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use serde_json::{Map, Value};

use super::{IdentityError, TokenError};

/// Header of every token we make.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const ALGORITHM: &str = "HS256";

/// The secret, ready for use in both directions.
pub(super) struct Key {
    sign: EncodingKey,
    verify: DecodingKey,
}

impl Key {
    pub(super) fn new(secret: &[u8]) -> Key {
        Key {
            sign: EncodingKey::from_secret(secret),
            verify: DecodingKey::from_secret(secret),
        }
    }

    /// Signs `claims`.
    pub(super) fn seal(&self, claims: &Map<String, Value>) -> Result<String, IdentityError> {
        let payload = serde_json::to_vec(claims).map_err(|_| IdentityError::Signing)?;
        let signed = format!("{}.{}", encode(HEADER), encode(payload));
        let signature = crypto::sign(signed.as_bytes(), &self.sign, Algorithm::HS256)
            .map_err(|_| IdentityError::Signing)?;
        Ok(format!("{signed}.{signature}"))
    }

    /// The claims of `token`, if its signature holds.
    pub(super) fn open(&self, token: &str) -> Result<Map<String, Value>, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        check_header(header)?;
        let holds = crypto::verify(signature, signed.as_bytes(), &self.verify, Algorithm::HS256);
        // A signature that is not even base64 is as wrong as any other.
        if !holds.unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        decode(payload).ok_or(TokenError::Claims)
    }
}

fn check_header(header: &str) -> Result<(), TokenError> {
    let header = decode(header).ok_or(TokenError::Malformed)?;
    match header.get("alg").and_then(Value::as_str) {
        Some(ALGORITHM) => Ok(()),
        Some(other) => Err(TokenError::Algorithm(other.to_owned())),
        None => Err(TokenError::Malformed),
    }
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn decode(part: &str) -> Option<Map<String, Value>> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}
