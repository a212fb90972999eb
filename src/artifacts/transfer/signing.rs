//! Signatures of addresses: HMAC-SHA256 over all that an address allows.

use std::collections::HashMap;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::address::key_of;
use crate::artifacts::blobs::hex;
use crate::artifacts::objects::Target;

/// By which clients of S3 tell a signed address from a plain one. It names no algorithm of theirs:
/// what is signed is ours.
const ALGORITHM: &str = "X-Amz-Algorithm=HYPHA-HMAC-SHA256";
const METHOD: &str = "X-Hypha-Method";
const EXPIRES: &str = "X-Hypha-Expires";
const SIGNATURE: &str = "X-Hypha-Signature";
const TTL: &str = "X-Hypha-Ttl";
const UPLOAD: &str = "uploadId";
const PART: &str = "partNumber";

/// What may be done with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Fetch the file, or ask for its size.
    Get,
    /// Put it.
    Put,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Put => "PUT",
        }
    }
}

/// What an address allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What may be done.
    pub method: Method,
    /// With which file.
    pub target: Target,
    /// Until when, in seconds since 1970.
    pub expires: u64,
    /// Id of an upload and number of the part that may be put.
    pub part: Option<(String, u32)>,
    /// Seconds after which the file goes by itself.
    pub ttl: Option<u64>,
}

/// Why an address does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedUrl {
    /// It was not made by this server, or was changed.
    #[error("the signature of this URL is not valid")]
    Forged,
    /// It was made by this server and does not work any more.
    #[error("this URL has expired")]
    Expired,
}

/// Makes and checks signatures.
pub(super) struct Signer {
    mac: Hmac<Sha256>,
}

impl Signer {
    pub fn new(secret: &str) -> Signer {
        let mac = Hmac::new_from_slice(secret.as_bytes());
        Signer {
            mac: mac.expect("HMAC takes keys of any length"),
        }
    }

    /// The query of an address.
    pub fn query(&self, signed: &Signed) -> String {
        let method = signed.method.name();
        let expires = signed.expires;
        let mut query = format!("{ALGORITHM}&{METHOD}={method}&{EXPIRES}={expires}");
        if let Some((upload, number)) = &signed.part {
            query.push_str(&format!("&{UPLOAD}={upload}&{PART}={number}"));
        }
        if let Some(ttl) = signed.ttl {
            query.push_str(&format!("&{TTL}={ttl}"));
        }
        let signature = hex(&self.over(signed).finalize().into_bytes());
        format!("{query}&{SIGNATURE}={signature}")
    }

    /// What the query of an address to `target` allows.
    pub fn verify(&self, target: Target, query: &str, now: f64) -> Result<Signed, RefusedUrl> {
        let given: HashMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let number = |name: &str| given.get(name).map(|text| text.parse::<u64>());
        let whole = |name: &str| number(name).transpose().map_err(|_| RefusedUrl::Forged);
        let method = match given.get(METHOD).map(AsRef::as_ref) {
            Some("GET") => Method::Get,
            Some("PUT") => Method::Put,
            _ => return Err(RefusedUrl::Forged),
        };
        let part = match (given.get(UPLOAD), whole(PART)?) {
            (Some(upload), Some(number)) => {
                let number = u32::try_from(number).map_err(|_| RefusedUrl::Forged)?;
                Some((upload.to_string(), number))
            }
            (None, None) => None,
            _ => return Err(RefusedUrl::Forged),
        };
        let signed = Signed {
            method,
            target,
            expires: whole(EXPIRES)?.ok_or(RefusedUrl::Forged)?,
            part,
            ttl: whole(TTL)?,
        };
        let signature = given.get(SIGNATURE).and_then(|text| unhex(text));
        let signature = signature.ok_or(RefusedUrl::Forged)?;
        self.over(&signed)
            .verify_slice(&signature)
            .map_err(|_| RefusedUrl::Forged)?;
        if (signed.expires as f64) < now {
            return Err(RefusedUrl::Expired);
        }
        Ok(signed)
    }

    fn over(&self, signed: &Signed) -> Hmac<Sha256> {
        let kind = match signed.target {
            Target::Artifact { .. } => "artifact",
            Target::Workspace { .. } => "workspace",
        };
        let (upload, number) = signed.part.clone().unwrap_or_default();
        let ttl = signed.ttl.map(|ttl| ttl.to_string()).unwrap_or_default();
        // No part holds a line break: keys are clean paths, the rest are words and numbers.
        let text = [
            signed.method.name(),
            kind,
            &key_of(&signed.target),
            &signed.expires.to_string(),
            &upload,
            &number.to_string(),
            &ttl,
        ]
        .join("\n");
        let mut mac = self.mac.clone();
        mac.update(text.as_bytes());
        mac
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> Signed {
        Signed {
            method: Method::Put,
            target: Target::Workspace {
                workspace: "ws".into(),
                path: "a/b".into(),
            },
            expires: 1000,
            part: Some(("abc".into(), 3)),
            ttl: Some(60),
        }
    }

    #[test]
    fn a_signed_address_allows_what_was_signed() {
        let signer = Signer::new("secret");
        for signed in [
            signed(),
            Signed {
                method: Method::Get,
                part: None,
                ttl: None,
                ..signed()
            },
        ] {
            let query = signer.query(&signed);
            let target = signed.target.clone();
            assert_eq!(signer.verify(target.clone(), &query, 1000.0), Ok(signed));
            let late = signer.verify(target, &query, 1000.5);
            assert_eq!(late, Err(RefusedUrl::Expired));
        }
    }

    #[test]
    fn no_part_of_it_can_be_changed() {
        let signer = Signer::new("secret");
        let query = signer.query(&signed());
        let target = signed().target;
        let forged = Err(RefusedUrl::Forged);
        for (from, to) in [
            ("Method=PUT", "Method=GET"),
            ("Expires=1000", "Expires=2000"),
            ("uploadId=abc", "uploadId=abd"),
            ("partNumber=3", "partNumber=4"),
            ("&partNumber=3", ""),
            ("&uploadId=abc&partNumber=3", ""),
            ("&X-Hypha-Ttl=60", ""),
            ("Ttl=60", "Ttl=6"),
            ("Signature=", "Signature=0"),
            ("X-Hypha-Signature=", "X="),
        ] {
            let changed = query.replace(from, to);
            assert_ne!(changed, query);
            assert_eq!(signer.verify(target.clone(), &changed, 0.0), forged);
        }
        let other = Target::Workspace {
            workspace: "ws".into(),
            path: "a/c".into(),
        };
        assert_eq!(signer.verify(other, &query, 0.0), forged);
        assert_eq!(
            Signer::new("other").verify(target.clone(), &query, 0.0),
            forged
        );
        assert_eq!(signer.verify(target, "", 0.0), forged);
    }
}
