//! Word lists of generated names: short, inoffensive, easy to say over the phone.

pub(super) const ADJECTIVES: &[&str] = &[
    "amber", "brave", "brisk", "calm", "clear", "cosy", "crisp", "dapper", "deep", "eager", "early",
    "fair", "fleet", "fresh", "gentle", "glad", "golden", "grand", "green", "happy", "hardy",
    "honest", "humble", "jolly", "keen", "kind", "lively", "lucid", "lunar", "mellow", "merry",
    "mild", "misty", "neat", "noble", "nimble", "patient", "plain", "polar", "proud", "quick",
    "quiet", "rapid", "rosy", "sage", "shiny", "silver", "smooth", "snowy", "solar", "steady",
    "still", "sunny", "swift", "tidy", "vivid", "warm", "wise", "witty", "young",
];

pub(super) const NOUNS: &[&str] = &[
    "acorn", "anchor", "badger", "beacon", "birch", "bridge", "brook", "canyon", "cedar", "cloud",
    "comet", "coral", "crane", "delta", "dune", "ember", "falcon", "fern", "fjord", "forest",
    "garden", "glacier", "harbor", "hare", "heron", "island", "jasmine", "kestrel", "lagoon",
    "lantern", "lark", "lemon", "lynx", "maple", "meadow", "moss", "oak", "ocean", "orchid",
    "otter", "owl", "pebble", "pine", "planet", "prairie", "quartz", "raven", "reef", "river",
    "robin", "root", "sparrow", "spruce", "summit", "thistle", "tulip", "valley", "walnut",
    "willow", "wren",
];

pub(super) const VERBS: &[&str] = &[
    "asks", "bends", "blooms", "builds", "calls", "climbs", "counts", "dances", "dives", "draws",
    "drifts", "flies", "flows", "gathers", "gleams", "glides", "grows", "hums", "jumps", "knits",
    "laughs", "leads", "leans", "learns", "leaps", "listens", "looks", "mends", "moves", "paints",
    "plays", "reads", "rests", "rises", "roams", "rows", "runs", "sails", "shines", "sings",
    "sits", "skips", "sleeps", "smiles", "soars", "spins", "stands", "steps", "swims", "swings",
    "talks", "thinks", "turns", "waits", "wakes", "walks", "wanders", "waves", "winds", "writes",
];

pub(super) const ADVERBS: &[&str] = &[
    "ably", "again", "ahead", "alone", "aloud", "always", "apart", "away", "boldly", "bravely",
    "briefly", "brightly", "calmly", "clearly", "closely", "daily", "deeply", "early", "easily",
    "evenly", "fairly", "finely", "firmly", "freely", "freshly", "gently", "gladly", "happily",
    "highly", "kindly", "lately", "lightly", "loudly", "mildly", "neatly", "nearby", "nicely",
    "often", "onward", "openly", "plainly", "proudly", "quickly", "quietly", "rapidly", "safely",
    "sharply", "slowly", "smoothly", "softly", "soon", "surely", "sweetly", "swiftly", "tidily",
    "today", "twice", "upward", "warmly", "wisely",
];
