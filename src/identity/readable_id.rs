use rand::Rng;
use rand::seq::IndexedRandom;

use super::words::{ADVERBS, VERBS};

const ADJECTIVES: [&str; 72] = [
    "agile", "amber", "ample", "apt", "balmy", "bold", "brave", "brisk", "broad", "calm", "candid",
    "clear", "clever", "cosy", "crisp", "daring", "deft", "eager", "early", "easy", "exact",
    "fabled", "fair", "fleet", "fluent", "fond", "frank", "fresh", "frosty", "gentle", "giddy",
    "glad", "golden", "grand", "happy", "hardy", "humble", "jolly", "keen", "kind", "lively",
    "lucid", "lucky", "mellow", "merry", "mild", "misty", "modest", "neat", "nifty", "noble",
    "novel", "patient", "plain", "polite", "prime", "proud", "quick", "quiet", "rapid", "ready",
    "rosy", "rural", "silent", "smooth", "snowy", "solid", "steady", "sunny", "tidy", "vivid",
    "witty",
];

const NOUNS: [&str; 72] = [
    "acorn", "alder", "anchor", "apple", "arbor", "aspen", "badger", "basil", "beacon", "birch",
    "bridge", "brook", "canyon", "cedar", "cherry", "cliff", "clover", "comet", "copper", "coral",
    "cove", "crane", "delta", "dune", "ember", "falcon", "fern", "finch", "fjord", "forest",
    "garden", "ginger", "glade", "grove", "harbor", "hazel", "heron", "island", "ivy", "juniper",
    "lagoon", "lantern", "larch", "lark", "linden", "lotus", "maple", "marten", "meadow", "moss",
    "nutmeg", "oak", "orchid", "otter", "pebble", "pine", "plum", "prairie", "quartz", "raven",
    "reed", "river", "robin", "rowan", "saffron", "spruce", "summit", "thistle", "tulip", "valley",
    "willow", "wren",
];

/// A fresh random name that people can read aloud: an adjective, a noun and eight digits.
pub fn readable_id() -> String {
    let mut rng = rand::rng();
    let mut word = |words: &[&'static str]| words.choose(&mut rng).copied().unwrap_or("plain");
    let (adjective, noun) = (word(&ADJECTIVES), word(&NOUNS));
    let number: u32 = rng.random_range(0..100_000_000);
    format!("{adjective}-{noun}-{number:08}")
}

/// A random name of four words, such as `quiet-otter-drifts-gently`.
pub fn four_words(rng: &mut impl Rng) -> String {
    let mut word = |words: &[&'static str]| words.choose(rng).copied().unwrap_or("plain");
    let (adjective, noun) = (word(&ADJECTIVES), word(&NOUNS));
    let (verb, adverb) = (word(VERBS), word(ADVERBS));
    format!("{adjective}-{noun}-{verb}-{adverb}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_has_two_words_and_eight_digits() {
        for _ in 0..200 {
            let id = readable_id();
            let parts: Vec<&str> = id.split('-').collect();
            let [adjective, noun, digits] = parts[..] else {
                panic!("{id}");
            };
            assert!(ADJECTIVES.contains(&adjective) && NOUNS.contains(&noun));
            assert!(digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()));
        }
    }

    #[test]
    fn ids_differ() {
        let ids: HashSet<String> = (0..1000).map(|_| readable_id()).collect();
        assert_eq!(ids.len(), 1000);
    }

    #[test]
    fn no_word_is_there_twice() {
        for words in [ADJECTIVES, NOUNS] {
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
            assert!(
                words
                    .iter()
                    .all(|w| w.bytes().all(|b| b.is_ascii_lowercase()))
            );
        }
    }
}
