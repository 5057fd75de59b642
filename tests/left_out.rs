//! What a build leaves out is refused by name: `scripts/check_size.sh` runs this on the smallest one.

use zsseg::arena::ALIGN_BYTES;
use zsseg::bundle::Bundle;
use zsseg::limits::Limits;
use zsseg::plan::Plan;
use zsseg::segmenter::Segmenter;
use zsseg::status::{Result, Status};

/// A copy of bytes that starts at a multiple of [`ALIGN_BYTES`].
fn aligned(bytes: &[u8], memory: &mut Vec<u8>) -> std::ops::Range<usize> {
    memory.resize(bytes.len() + ALIGN_BYTES, 0);
    let start = memory.as_ptr().align_offset(ALIGN_BYTES);
    memory[start..start + bytes.len()].copy_from_slice(bytes);
    start..start + bytes.len()
}

/// Checks that something works exactly where it was built, and else says that it was left out.
fn check<T>(is_built: bool, result: Result<T>) {
    let error = match (is_built, result) {
        (true, result) => {
            result.map(|_| ()).unwrap();
            return;
        }
        (false, result) => result.err().expect("it was left out"),
    };
    assert_eq!(error.status(), Status::Unsupported);
    let mut text = String::new();
    error.describe(&mut |piece| text.push_str(piece));
    assert!(text.contains("which this build leaves out"), "{text}");
}

#[test]
fn layers_in_floats() {
    let mut memory = Vec::new();
    let range = aligned(include_bytes!("data/float-layer.plan"), &mut memory);
    check(cfg!(feature = "float-layers"), Plan::new(&memory[range]));
}

#[test]
fn fusion() {
    let mut memory = Vec::new();
    let range = aligned(include_bytes!("../models/tiny-road.zsb"), &mut memory);
    let bundle = Bundle::parse(&memory[range]).unwrap();
    let limits = Limits { fusion: true, ..Limits::for_frames(160, 120) };
    check(cfg!(feature = "fusion"), Segmenter::arena_bytes(&bundle, &limits));
    Segmenter::arena_bytes(&bundle, &Limits { fusion: false, ..limits }).unwrap();
}
