//! Makes `zsseg.h` from the Rust sources of the C API, with the feature `capi`, and tells the
//! library which compiler makes it.
//!
//! The header goes to `$OUT_DIR`, and a copy beside the libraries. The source tree is only read:
//! `include/zsseg.h` is the committed copy, which `tests/header_drift.rs` compares and renews.

/// Names of LLVM for processors with MVE; whether theirs has floats, the target says.
const MVE_PROCESSORS: [&str; 3] = ["cortex-m52", "cortex-m55", "cortex-m85"];
/// Names of LLVM for processors of Armv8-M with DSP instructions and without MVE.
const DSP_PROCESSORS: [&str; 3] = ["cortex-m33", "cortex-m35p", "star-mc1"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    tell_versions();
    tell_arm();
    #[cfg(feature = "capi")]
    capi::main();
}

/// What compiles this, for the records of trainings.
fn tell_versions() {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = std::process::Command::new(compiler).arg("--version").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo:rustc-env=ZSSEG_RUSTC={}", told.unwrap_or_default());
    println!("cargo:rustc-env=ZSSEG_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}

/// Whether the processor has ARM's DSP instructions, and MVE with floats: `target_feature` of either
/// is unstable in Rust. Of Armv8-M, `target-cpu` alone says so.
fn tell_arm() {
    println!("cargo:rustc-check-cfg=cfg(zsseg_dsp, zsseg_mve)");
    println!("cargo:rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let target = std::env::var("TARGET").unwrap_or_default();
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let cpu = flags.split('\x1f').filter_map(|flag| flag.split_once("target-cpu=")).next_back();
    let is_one_of = |names: &[&str]| {
        target == "thumbv8m.main-none-eabihf" && cpu.is_some_and(|(_, cpu)| names.contains(&cpu))
    };
    let always_has_dsp = target.starts_with("thumbv7em-") || target.starts_with("armv7-");
    // Makers may leave them out of a Cortex-M33; its users say so.
    let is_without_dsp = flags.contains("-dsp");
    if always_has_dsp || is_one_of(&DSP_PROCESSORS) && !is_without_dsp {
        println!("cargo:rustc-cfg=zsseg_dsp");
    }
    if is_one_of(&MVE_PROCESSORS) {
        println!("cargo:rustc-cfg=zsseg_mve");
    }
}

#[cfg(feature = "capi")]
mod capi {
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    const CONFIG: &str = "cbindgen.toml";
    /// In the order of the header.
    const SOURCES: [&str; 11] = [
        "src/ffi/types.rs",
        "src/ffi/types_classes.rs",
        "src/ffi/types_work.rs",
        "src/ffi/version.rs",
        "src/ffi/bundle.rs",
        "src/ffi/functions.rs",
        "src/ffi/classes.rs",
        "src/ffi/settings.rs",
        "src/ffi/steps.rs",
        "src/ffi/threads.rs",
        "src/ffi/object.rs",
    ];

    pub fn main() {
        for path in SOURCES.iter().chain([&CONFIG]) {
            println!("cargo:rerun-if-changed={path}");
        }
        let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        let header = out_dir.join("zsseg.h");
        fs::write(&header, tidy(&generate())).expect("OUT_DIR is writable");
        println!("cargo:rustc-env=ZSSEG_GENERATED_HEADER={}", header.display());

        // target/<profile>/build/<package>/out: the libraries are three folders up. Only a
        // convenience, so a layout that is not as expected is no error.
        let libraries = out_dir.ancestors().nth(3);
        if let Some(folder) = libraries {
            let _ = fs::copy(&header, folder.join("zsseg.h"));
        }
        name_shared_library(libraries);
    }

    /// cbindgen on these files alone: no `cargo metadata`, no macro expansion.
    fn generate() -> String {
        let config = cbindgen::Config::from_file(CONFIG).expect("cbindgen.toml is valid");
        let builder = SOURCES
            .iter()
            .fold(cbindgen::Builder::new(), |builder, source| builder.with_src(source));
        let bindings = builder.with_config(config).generate().expect("src/ffi is valid Rust");
        let mut text = Vec::new();
        bindings.write(&mut text);
        String::from_utf8(text).expect("Rust sources are UTF-8")
    }

    /// Gives `libzsseg.so` a versioned name for the dynamic loader, and leaves a link of that
    /// name beside it so that programs linked against the build folder start.
    fn name_shared_library(libraries: Option<&Path>) {
        if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
            return;
        }
        let part = |name: &str| env::var(name).unwrap_or_default();
        let (major, minor) = (part("CARGO_PKG_VERSION_MAJOR"), part("CARGO_PKG_VERSION_MINOR"));
        // Before 1.0 a minor version may break, afterwards a major one.
        let version = if major == "0" { format!("0.{minor}") } else { major };
        let name = format!("libzsseg.so.{version}");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{name}");
        #[cfg(unix)]
        if let Some(folder) = libraries {
            let _ = std::os::unix::fs::symlink("libzsseg.so", folder.join(name));
        }
        #[cfg(not(unix))]
        let _ = libraries;
    }

    /// Brings cbindgen's text into the form in which a C header is written by hand.
    fn tidy(text: &str) -> String {
        let lines: Vec<String> = text.replace("*/\n\n\n", "*/\n").lines().map(plain).collect();
        let lines = group_constants(join_short_comments(name_preconditions(lines)));
        lines.join("\n") + "\n"
    }

    /// Types by their short names, and no `//` comments, which C90 mode refuses.
    fn plain(line: &str) -> String {
        let code = line.split("//").next().unwrap_or_default().trim_end();
        if code.starts_with("typedef") || code.trim_start().starts_with('*') {
            return code.to_owned();
        }
        code.replace("struct zsseg_", "zsseg_")
    }

    /// Rust's `# Safety` heading and the line under it become one line that starts with
    /// `Requires:`.
    fn name_preconditions(lines: Vec<String>) -> Vec<String> {
        let mut tidied: Vec<String> = Vec::new();
        let mut heading = false;
        for line in lines {
            if line.trim() == "* # Safety" {
                heading = true;
            } else if heading {
                tidied.push(line.replacen("* ", "* Requires: ", 1));
                heading = false;
            } else {
                tidied.push(line);
            }
        }
        tidied
    }

    /// A comment of one line stays on one line: `/** text */`.
    fn join_short_comments(lines: Vec<String>) -> Vec<String> {
        let mut tidied = Vec::new();
        let mut rest = lines.as_slice();
        while let [line, after @ ..] = rest {
            rest = after;
            let Some(indent) = line.strip_suffix("/**") else {
                tidied.push(line.clone());
                continue;
            };
            let short = match after {
                [text, end, ..] if end.trim() == "*/" => text.trim().strip_prefix("* "),
                _ => None,
            };
            let joined = short.map(|text| format!("{indent}/** {text} */"));
            match joined.filter(|joined| joined.len() <= 100) {
                Some(joined) => {
                    tidied.push(joined);
                    rest = &after[2..];
                }
                None => tidied.push(line.clone()),
            }
        }
        tidied
    }

    /// Drops the empty line between two constants of one family, such as `ZSSEG_FORMAT_`.
    fn group_constants(lines: Vec<String>) -> Vec<String> {
        let mut tidied: Vec<String> = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            let before = tidied.last().and_then(|line| family(line));
            let next = lines[number..].iter().find_map(|line| family(line));
            let between = line.is_empty() && before.is_some() && before == next;
            if !between {
                tidied.push(line.clone());
            }
        }
        tidied
    }

    /// `ZSSEG_FORMAT` for `#define ZSSEG_FORMAT_RGB8 1`.
    fn family(line: &str) -> Option<&str> {
        let name = line.strip_prefix("#define ")?.split(' ').next()?;
        let (second_bar, _) = name.match_indices('_').nth(1)?;
        name.get(..second_bar)
    }
}
