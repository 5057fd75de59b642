//! ONNX's own tests of its operators (`onnx/backend/test/data/node`), as plans.
//!
//! Every test all of whose operators are in the list of `onnx_nodes/model.rs` is lowered, compiled and run on
//! every set of kernels, and compared with the output that comes with it: floats to a relative
//! 1e-4, integers exactly. A plan reads one tensor, so the other inputs become constants; where
//! two inputs are floats of one size the test is run once more with all of them in one tensor.
//!
//! `onnx_nodes/not_run.txt` lists what does not run or pass, each with its reason, and the test
//! fails unless the list is true to the letter. `scripts/test_onnx.sh` gets the data and runs this.

#![cfg(feature = "tract")]

#[path = "onnx_nodes/case.rs"]
mod case;
#[path = "onnx_nodes/model.rs"]
mod model;
#[path = "onnx_nodes/run.rs"]
mod run;

use case::Case;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LISTED: &str = include_str!("onnx_nodes/not_run.txt");
/// Most characters of a reason.
const MAX_REASON: usize = 160;

fn folders() -> Vec<PathBuf> {
    let variable = "ZSSEG_ONNX_NODES";
    let root = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names no folder"));
    let entries = fs::read_dir(&root).unwrap_or_else(|error| panic!("{root:?}: {error}"));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.retain(|folder| folder.join("model.onnx").exists());
    folders
}

/// Between a reason and what is to be said about it.
const NOTE: &str = " -- ";

/// `name: reason` per line, perhaps with a note.
fn listed() -> BTreeMap<String, String> {
    let pairs = LISTED.lines().filter_map(|line| line.split_once(": "));
    pairs.map(|(name, reason)| (name.into(), reason.into())).collect()
}

/// The list as it should be, with the notes that it has.
fn rewritten(found: &BTreeMap<String, String>, listed: &BTreeMap<String, String>) -> String {
    let line = |(name, reason): (&String, &String)| {
        let note = listed.get(name).and_then(|listed| listed.split_once(NOTE));
        let note = note.map_or_else(String::new, |(_, note)| format!("{NOTE}{note}"));
        format!("{name}: {reason}{note}\n")
    };
    found.iter().map(line).collect()
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_REASON).collect()
}

#[test]
#[ignore = "needs the data of the onnx package: scripts/test_onnx.sh"]
fn every_operator_gives_what_onnx_says() {
    let mut found = BTreeMap::new();
    let mut passed = 0;
    for folder in folders() {
        for case in Case::all_of(&folder) {
            match case.and_then(|case| run::check(&case).map_err(|reason| (case.name, reason))) {
                Ok(()) => passed += 1,
                Err((name, reason)) => drop(found.insert(name, line(&reason))),
            }
        }
    }
    println!("{passed} run and passed, {} do not", found.len());
    assert!(passed > 0, "no test was found");
    let listed = listed();
    let right = rewritten(&found, &listed);
    if right == LISTED {
        return;
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("not_run.txt");
    fs::write(&path, &right).unwrap();
    for line in right.lines().filter(|line| !LISTED.lines().any(|listed| listed == *line)) {
        println!("is not listed: {line}");
    }
    for line in LISTED.lines().filter(|line| !right.lines().any(|right| right == *line)) {
        println!("is not true: {line}");
    }
    panic!("tests/onnx_nodes/not_run.txt is not true; {path:?} would be");
}
