use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const MIN_LENGTH: usize = 32;
const SAFE_LENGTH: usize = 64;

/// Words that people put into passwords. A short token with one of them was not drawn at random.
const GUESSABLE: [&str; 10] = [
    "test", "root", "admin", "password", "token", "secret", "123", "abc", "hypha", "default",
];

/// The configured token of the root user. Only its hash is kept.
#[derive(Clone)]
pub struct RootToken {
    hash: [u8; 32],
}

/// Why a root token is too weak to start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootTokenError {
    /// It has too few characters.
    #[error("the root token is too short, it needs at least {MIN_LENGTH} characters")]
    TooShort,
    /// It contains a word that an attacker would try.
    #[error(
        "the root token contains the guessable text '{0}'; take a random one or one of at least \
         {SAFE_LENGTH} characters"
    )]
    Guessable(&'static str),
}

impl RootToken {
    /// Takes a token from the configuration, unless it is weak.
    pub fn new(token: &str) -> Result<RootToken, RootTokenError> {
        let token = token.trim();
        let length = token.chars().count();
        if length < MIN_LENGTH {
            return Err(RootTokenError::TooShort);
        }
        let lower = token.to_lowercase();
        if length < SAFE_LENGTH
            && let Some(word) = GUESSABLE.into_iter().find(|word| lower.contains(word))
        {
            return Err(RootTokenError::Guessable(word));
        }
        Ok(RootToken { hash: hash(token) })
    }

    /// Whether `token` is the root token, in a time that does not depend on how much of it is
    /// right.
    pub fn matches(&self, token: &str) -> bool {
        // Hashes have one length, so the length of the configured token does not show either.
        hash(token).ct_eq(&self.hash).into()
    }
}

impl fmt::Debug for RootToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootToken")
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "kqzvwxjyplmnrdfgtcbsheauio-97865";

    #[test]
    fn a_good_token_matches_itself_only() {
        let root = RootToken::new(&format!(" {GOOD}\n")).unwrap();
        assert!(root.matches(GOOD));
        for other in [
            "",
            &GOOD[1..],
            &GOOD[..31],
            "kqzvwxjyplmnrdfgtcbsheauio-97864",
        ] {
            assert!(!root.matches(other), "{other}");
        }
        assert_eq!(format!("{root:?}"), "RootToken");
    }

    #[test]
    fn weak_tokens_are_refused() {
        let refused = |token: &str| RootToken::new(token).unwrap_err();
        assert_eq!(refused(""), RootTokenError::TooShort);
        assert_eq!(refused(&GOOD[1..]), RootTokenError::TooShort);
        assert_eq!(
            refused(&format!("{}     ", &GOOD[1..])),
            RootTokenError::TooShort
        );
        for word in GUESSABLE {
            let token = format!("{GOOD}{}", word.to_uppercase());
            assert_eq!(refused(&token), RootTokenError::Guessable(word));
        }
        let long = format!("{GOOD}{GOOD}admin");
        assert!(RootToken::new(&long).is_ok());
    }

    #[test]
    fn the_refusal_does_not_show_the_token() {
        let token = format!("{GOOD}hypha");
        let text = RootToken::new(&token).unwrap_err().to_string();
        assert!(!text.contains(&GOOD[..6]), "{text}");
    }
}
