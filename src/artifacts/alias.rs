//! Aliases of artifacts: which ones can be, and those that the server makes (artifacts.md 2).

use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::identity::four_words;

/// Longest alias in characters.
const MAX_CHARS: usize = 64;
/// Aliases that mean something in addresses.
const RESERVED: &[&str] = &["-", "~", "_"];
/// How often free names are looked for before it is given up.
const ROUNDS: usize = 100;

/// Why an alias cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    #[error("Alias has {0} characters; the minimum is 1, the maximum {MAX_CHARS}.")]
    Length(usize),
    #[error("Alias '{0}' is reserved.")]
    Reserved(String),
    #[error("Alias should be a human readable string, it cannot be a UUID.")]
    Uuid,
    #[error(
        "Alias '{}' is not possible: it starts with a letter or digit, and holds letters, digits, \
         spaces, '.', '_' and '-' only.",
        .0.escape_debug()
    )]
    Characters(String),
    /// A `RuntimeError` to clients, all others are a `ValueError`.
    #[error("Could not generate a unique alias within the maximum attempts.")]
    NoneFree,
}

/// What fills the places of a pattern.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// `id_parts` of the collection: a list to choose from, or a value.
    pub given: Map<String, Json>,
    /// For `{timestamp}`: seconds since 1970.
    pub timestamp: i64,
    /// For `{user_id}`.
    pub user_id: String,
}

/// Checks an alias that somebody chose.
///
/// # Errors
/// It is empty, too long, reserved, shaped like a UUID, or has characters that it cannot have.
pub fn check(alias: &str) -> Result<(), AliasError> {
    let length = alias.chars().count();
    if !(1..=MAX_CHARS).contains(&length) {
        return Err(AliasError::Length(length));
    }
    if RESERVED.contains(&alias) {
        return Err(AliasError::Reserved(alias.to_owned()));
    }
    if Uuid::try_parse(alias).is_ok() {
        return Err(AliasError::Uuid);
    }
    let starts = alias.starts_with(|c: char| c.is_alphanumeric());
    if !starts || !alias.chars().all(fits) || alias.ends_with(' ') {
        return Err(AliasError::Characters(alias.to_owned()));
    }
    Ok(())
}

fn fits(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ')
}

/// Whether an alias is a pattern, so that [`free`] makes the alias of it.
pub fn is_pattern(alias: &str) -> bool {
    !places(alias).is_empty()
}

/// A free alias: of four words, or made of a pattern. `taken` tells whether one is in use.
///
/// # Errors
/// What the pattern makes is no alias, no name was free, or `taken` failed.
pub fn free<E: From<AliasError>>(
    pattern: Option<&str>,
    parts: &Parts,
    rng: &mut impl Rng,
    mut taken: impl FnMut(&str) -> Result<bool, E>,
) -> Result<String, E> {
    for _ in 0..ROUNDS {
        let alias = match pattern {
            Some(pattern) => filled(pattern, parts, rng),
            None => four_words(rng),
        };
        check(&alias)?;
        if !taken(&alias)? {
            return Ok(alias);
        }
    }
    Err(AliasError::NoneFree.into())
}

/// The places `{x}` of a pattern, as ranges of its bytes.
fn places(pattern: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    for (end, _) in pattern.match_indices('}') {
        let Some(start) = pattern[..end].rfind('{') else {
            continue;
        };
        let name = &pattern[start + 1..end];
        if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            found.push(start..end + 1);
        }
    }
    found
}

/// The same name is filled with the same value everywhere in a pattern.
fn filled(pattern: &str, parts: &Parts, rng: &mut impl Rng) -> String {
    let mut chosen: Map<String, Json> = Map::new();
    let (mut alias, mut from) = (String::new(), 0);
    for place in places(pattern) {
        let name = &pattern[place.start + 1..place.end - 1];
        let value = chosen
            .entry(name)
            .or_insert_with(|| Json::String(value(name, parts, rng)));
        alias.push_str(&pattern[from..place.start]);
        alias.push_str(value.as_str().unwrap_or_default());
        from = place.end;
    }
    alias.push_str(&pattern[from..]);
    alias
}

/// The value of a place. What an alias cannot hold of it becomes a hyphen.
fn value(name: &str, parts: &Parts, rng: &mut impl Rng) -> String {
    let given = match parts.given.get(name) {
        Some(Json::Array(list)) => list.choose(rng),
        given => given,
    };
    let text = match (name, given) {
        ("uuid", _) => random_uuid(rng),
        ("timestamp", _) => parts.timestamp.to_string(),
        ("user_id", _) => parts.user_id.clone(),
        (_, Some(Json::String(text))) => text.clone(),
        (_, Some(number @ Json::Number(_))) => number.to_string(),
        _ => random_uuid(rng),
    };
    let fitting = |c| if fits(c) { c } else { '-' };
    text.chars().map(fitting).collect()
}

fn random_uuid(rng: &mut impl Rng) -> String {
    uuid::Builder::from_random_bytes(rng.random())
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use serde_json::json;

    use super::*;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    fn make(pattern: &str, given: Json) -> Result<String, AliasError> {
        let parts = Parts {
            given: given.as_object().unwrap().clone(),
            timestamp: 1_700_000_000,
            user_id: "github|12".into(),
        };
        free(Some(pattern), &parts, &mut rng(), |_| Ok(false))
    }

    #[test]
    fn aliases_have_rules() {
        let long = "a".repeat(64);
        for alias in [
            "a",
            "0",
            "my data.v1_x-y",
            "Zürich",
            "データ",
            long.as_str(),
        ] {
            assert_eq!(check(alias), Ok(()), "{alias}");
        }
        let too_long = "a".repeat(65);
        for alias in ["", too_long.as_str()] {
            let length = alias.len();
            assert_eq!(check(alias), Err(AliasError::Length(length)));
        }
        for alias in ["-", "_", "~"] {
            assert_eq!(check(alias), Err(AliasError::Reserved(alias.into())));
        }
        for alias in [
            "018f3c9e-0000-7000-8000-000000000001",
            "018F3C9E000070008000000000000001",
        ] {
            assert_eq!(check(alias), Err(AliasError::Uuid));
        }
        for alias in [
            "a/b", "..", ".a", " a", "a ", "a\n", "a\0", "a\\b", "a?b", "a%2Fb", "a@v1", "{x}",
        ] {
            assert_eq!(check(alias), Err(AliasError::Characters(alias.into())));
        }
    }

    #[test]
    fn names_have_four_words() {
        let mut rng = rng();
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let alias: Result<_, AliasError> =
                free(None, &Parts::default(), &mut rng, |_| Ok(false));
            let alias = alias.unwrap();
            assert_eq!(alias.split('-').count(), 4, "{alias}");
            seen.insert(alias);
        }
        assert!(seen.len() > 95);
    }

    #[test]
    fn patterns_are_filled() {
        let parts = json!({ "animals": ["cat"], "site": "a/b", "year": 2024 });
        assert_eq!(make("{animals}-{year}", parts.clone()).unwrap(), "cat-2024");
        assert_eq!(make("{site}.{site}", parts.clone()).unwrap(), "a-b.a-b");
        assert_eq!(
            make("x {timestamp} {user_id}", parts.clone()).unwrap(),
            "x 1700000000 github-12"
        );
        let odd = make("p-{unknown}", parts.clone()).unwrap();
        assert!(Uuid::try_parse(odd.strip_prefix("p-").unwrap()).is_ok());
        let twice = make("{uuid}", parts.clone());
        assert_eq!(twice, Err(AliasError::Uuid));
        for pattern in ["{", "}", "{}", "}{", "plain", "{a b}"] {
            assert!(!is_pattern(pattern), "{pattern}");
        }
        assert!(is_pattern("{{a}}") && make("{{animals}}", parts).is_err());
    }

    #[test]
    fn taken_names_are_passed_over() {
        let given = json!({ "n": ["a", "b", "c"] });
        let parts = Parts {
            given: given.as_object().unwrap().clone(),
            ..Parts::default()
        };
        let only_b = |alias: &str| Ok::<_, AliasError>(alias != "b");
        assert_eq!(
            free(Some("{n}"), &parts, &mut rng(), only_b),
            Ok("b".into())
        );
        let all = |_: &str| Ok::<_, AliasError>(true);
        assert_eq!(
            free(Some("{n}"), &parts, &mut rng(), all),
            Err(AliasError::NoneFree)
        );
    }
}
