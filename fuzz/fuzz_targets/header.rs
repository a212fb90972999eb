//! The router's path: read a header, replace the stamped fields, read the result.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rhizome::wire::{Header, Limits, Stamp};

const STAMPED: [&str; 4] = ["ws", "to", "from", "user"];

fuzz_target!(|frame: &[u8]| {
    let limits = Limits::default();
    let _ = Header::session_of(frame, &limits);
    let Ok(header) = Header::parse(frame, &limits) else {
        return;
    };
    let stamp = Stamp {
        ws: "ws",
        to: "ws/target",
        from: "ws/sender",
        user: &[0x80],
    };
    let out = header.rewrite_frame(&stamp);
    assert_eq!(out.len(), out.capacity());
    // The stamps may push a header that just fits over the limit on items.
    let roomy = Limits {
        max_items: limits.max_items + 2 * STAMPED.len(),
        ..limits
    };
    let second = Header::parse(&out, &roomy).expect("the rewritten header parses");
    assert_eq!(second.kind, header.kind);
    assert_eq!(second.method, header.method);
    assert_eq!(second.session, header.session);
    assert_eq!(second.to, stamp.to);
    assert_eq!(second.body(), header.body());
    let kept = header.fields().filter(|(key, _)| !STAMPED.contains(key));
    assert!(kept.eq(second.fields().filter(|(key, _)| !STAMPED.contains(key))));
});
