//! The committed `include/zsseg.h` is the one that `build.rs` makes from `src/ffi`.
//!
//! To renew it after a change of the C API: `ZSSEG_BLESS=1 cargo test --test header_drift`
//! (with `--no-default-features --features std,capi` the engine is not built, which is quicker).
#![cfg(feature = "capi")]

use std::path::Path;
use std::{env, fs};

const RENEW: &str = "run `ZSSEG_BLESS=1 cargo test --test header_drift` and commit the result";

fn generated() -> String {
    fs::read_to_string(env!("ZSSEG_GENERATED_HEADER")).expect("build.rs wrote the header")
}

#[test]
fn committed_header_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/zsseg.h");
    let generated = generated();
    if env::var_os("ZSSEG_BLESS").is_some() {
        fs::write(&path, &generated).expect("include/ is writable");
    }
    let committed = fs::read_to_string(path).expect("include/zsseg.h is there");
    let differs = |(_, (old, new)): &(usize, (&str, &str))| old != new;
    let old = committed.lines().chain(std::iter::repeat("(end of file)"));
    let new = generated.lines().chain(std::iter::once("(end of file)"));
    if let Some((number, (old, new))) = old.zip(new).enumerate().find(differs) {
        let line = number + 1;
        panic!("include/zsseg.h:{line} has\n  {old}\nand src/ffi gives\n  {new}\n{RENEW}");
    }
    assert_eq!(committed, generated, "the ends of include/zsseg.h differ; {RENEW}");
}

#[test]
fn header_reads_like_c() {
    for (number, line) in generated().lines().enumerate() {
        let line_number = number + 1;
        assert!(line.len() <= 100, "include/zsseg.h:{line_number} is over 100 columns: {line}");
        for foreign in ["# Safety", "usize", "stdbool", "[`", "::", "//"] {
            assert!(!line.contains(foreign), "include/zsseg.h:{line_number} has `{foreign}`");
        }
    }
}

#[test]
fn header_lies_beside_the_libraries() {
    let generated = Path::new(env!("ZSSEG_GENERATED_HEADER"));
    let profile = generated.ancestors().nth(4).expect("target/<profile>/build/<package>/out");
    assert!(profile.join("zsseg.h").is_file(), "no zsseg.h in {}", profile.display());
}
