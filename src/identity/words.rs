//! Word lists of generated names: short, inoffensive, easy to say over the phone.

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
