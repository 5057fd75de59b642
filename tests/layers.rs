//! The structure of the source, checked by reading it: imports point down only, tract is named in
//! one folder, `unsafe` stays where it is allowed, and the core has no panic site.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer, lowest first. A module may import from lower layers and from itself; within
/// L1 and L4 also from modules named before it.
const LAYERS: &[(&[&str], Siblings)] = &[
    (&["status", "limits"], Siblings::Before),
    (&["arena", "map", "spec", "threads", "trace", "math"], Siblings::Before),
    (&["image", "classes", "head", "bundle", "plan", "spectral"], Siblings::None),
    (&["compile", "backbone"], Siblings::Before),
    (&["segmenter", "viz", "metrics"], Siblings::None),
    (&["ffi", "convert", "train", "cli"], Siblings::Before),
];

/// Modules that nobody but the command's own entry point may import.
const TOP: &[&str] = &["ffi", "cli"];

#[derive(Clone, Copy, PartialEq)]
enum Siblings {
    /// Modules of the layer do not know one another.
    None,
    /// A module may import those listed before it.
    Before,
}

fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "only {} source files found", found.len());
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The module a file belongs to: `head` for `src/head/output.rs`, `arena` for `src/arena.rs`.
fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(root()).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_string()
}

/// The part of a file before its tests, without comments.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// Modules named after `crate::` anywhere in the code, grouped imports included.
fn imports(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for piece in code.split("crate::").skip(1) {
        if let Some(group) = piece.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut item)),
                    _ if depth == 0 => item.push(letter),
                    _ => {}
                }
            }
            names.push(item);
        } else {
            names.push(piece.to_string());
        }
    }
    let head = |name: String| {
        let name = name.trim_start();
        let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(name.len());
        name[..end].to_string()
    };
    names.into_iter().map(head).filter(|name| !name.is_empty()).collect()
}

fn place_of(module: &str) -> Option<(usize, usize)> {
    LAYERS.iter().enumerate().find_map(|(layer, (modules, _))| {
        modules.iter().position(|name| *name == module).map(|position| (layer, position))
    })
}

fn allowed(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    let (Some(from_place), Some(to_place)) = (place_of(from), place_of(to)) else { return false };
    if TOP.contains(&to) {
        return false;
    }
    match LAYERS[from_place.0].1 {
        Siblings::Before => to_place < from_place,
        Siblings::None => to_place.0 < from_place.0,
    }
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for path in sources(&root()) {
        let module = module_of(&path);
        if module == "lib" || module == "bin" {
            continue;
        }
        assert!(place_of(&module).is_some(), "{} is in no layer", path.display());
        for import in imports(&code_of(&path)) {
            if !allowed(&module, &import) {
                wrong.push(format!("{}: {module} imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point up:\n{}", wrong.join("\n"));
}

#[test]
fn the_rule_itself_bites() {
    assert!(allowed("head", "map") && allowed("segmenter", "head") && allowed("arena", "limits"));
    assert!(!allowed("map", "head") && !allowed("head", "image") && !allowed("limits", "map"));
    assert!(!allowed("convert", "cli") && !allowed("cli", "ffi") && !allowed("head", "unknown"));
    assert_eq!(imports("use crate::{arena::Arena, map::{Map, Layout}};"), ["arena", "map"]);
    assert_eq!(imports("fn f(x: crate::status::Error)"), ["status"]);
}

#[test]
fn tract_is_named_in_one_folder() {
    for path in sources(&root()) {
        let inside = path.starts_with(root().join("backbone").join("tract"));
        let code = code_of(&path);
        let named = ["tract_core", "tract_onnx", "tract_linalg"].iter().any(|n| code.contains(n));
        assert!(inside || !named, "{} names a tract crate", path.display());
    }
}

/// Folders and files that call what Rust cannot check: C, vector instructions, CUDA.
const UNSAFE: [&str; 7] = [
    "ffi",
    "math/arch",
    "train/cuda/copies.rs",
    "train/cuda/driver.rs",
    "train/cuda/nccl.rs",
    "train/cuda/nvrtc.rs",
    "train/cuda/simulator.rs",
];

#[test]
fn unsafe_stays_where_it_is_needed() {
    for path in sources(&root()) {
        let relative = path.strip_prefix(root()).unwrap();
        if UNSAFE.iter().any(|place| relative.starts_with(place)) {
            continue;
        }
        let code = code_of(&path);
        for word in ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"] {
            assert!(!code.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn the_core_has_no_panic_site() {
    // Files that hold the tests of a module.
    let is_test = |path: &Path| {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        stem == "testing" || stem == "tests" || stem.ends_with("_tests")
    };
    let forbidden =
        [".unwrap()", ".expect(", "panic!(", "unreachable!(", "assert!(", "assert_eq!("];
    for path in sources(&root()) {
        let relative = path.strip_prefix(root()).unwrap();
        let module = module_of(&path);
        let on_host =
            ["cli", "convert", "train", "viz", "metrics", "bin", "lib"].contains(&module.as_str());
        if on_host || is_test(&path) || relative.starts_with("backbone/tract") {
            continue;
        }
        let code = code_of(&path).replace("const _: () = assert!(", "");
        for word in forbidden {
            assert!(!code.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn cuda_is_named_in_one_folder() {
    for path in sources(&root()) {
        let inside = path.starts_with(root().join("train").join("cuda"));
        let code = code_of(&path);
        assert!(inside || !code.contains("cudarc"), "{} names cudarc", path.display());
    }
}
