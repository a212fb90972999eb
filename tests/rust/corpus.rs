//! Every input that the fuzz targets start from goes through the decoders once.

use bytes::Bytes;
use rhizome::wire::{Header, Limits, decode_prefix};

#[test]
fn seeds_decode_or_fail_cleanly() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus-seed");
    let mut seeds = 0;
    for folder in std::fs::read_dir(root).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let bytes = Bytes::from(std::fs::read(file.unwrap().path()).unwrap());
            let limits = Limits::default();
            if let Ok(header) = Header::parse(&bytes, &limits) {
                assert!(header.body_at <= bytes.len());
            }
            if let Ok((_, used)) = decode_prefix(&bytes, &limits) {
                assert!(used <= bytes.len());
            }
            seeds += 1;
        }
    }
    assert!(seeds > 0, "the seed corpus is empty");
}
