//! What a run was made with.

use super::session::PROCESSOR;
use serde::{Deserialize, Serialize};
use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

/// Programs, processor and input files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Versions {
    /// Of this library.
    pub(super) zsseg: String,
    /// Of the compiler.
    pub(super) rustc: String,
    /// What it compiled for.
    pub(super) target: String,
    /// Instructions of the processor that decide which routines run, and so the last bits.
    pub(super) cpu: Vec<String>,
    /// What the steps are computed on.
    #[serde(default = "processor")]
    pub(super) device: String,
    /// The method.
    pub(super) method: String,
    /// SHA-256 of the files by path.
    pub(super) inputs: BTreeMap<String, String>,
}

impl Versions {
    /// Those of this program on this machine.
    pub(super) fn here(method: &str, device: &str, inputs: BTreeMap<String, String>) -> Versions {
        Versions {
            zsseg: env!("CARGO_PKG_VERSION").to_owned(),
            rustc: env!("ZSSEG_RUSTC").to_owned(),
            target: env!("ZSSEG_TARGET").to_owned(),
            cpu: cpu().into_iter().map(ToOwned::to_owned).collect(),
            device: device.to_owned(),
            method: method.to_owned(),
            inputs,
        }
    }

    /// Names of what differs, and can change the last bits of a model.
    pub(super) fn other_programs(&self, other: &Versions) -> Vec<&'static str> {
        let same = [
            ("zsseg", self.zsseg == other.zsseg),
            ("rustc", self.rustc == other.rustc),
            ("target", self.target == other.target),
            ("cpu", self.cpu == other.cpu),
            ("device", self.device == other.device),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }

    /// Input files that are not the same.
    pub(super) fn other_inputs<'a>(&'a self, other: &'a Versions) -> Vec<&'a str> {
        let paths = self.inputs.keys().chain(other.inputs.keys());
        let mut paths: Vec<&str> = paths
            .filter(|path| self.inputs.get(*path) != other.inputs.get(*path))
            .map(String::as_str)
            .collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

/// Of runs from before there was another one.
fn processor() -> String {
    PROCESSOR.to_owned()
}

#[cfg(target_arch = "x86_64")]
fn cpu() -> Vec<&'static str> {
    let found = [
        ("avx", std::is_x86_feature_detected!("avx")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
    ];
    found.into_iter().filter(|(_, found)| *found).map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu() -> Vec<&'static str> {
    std::vec![std::env::consts::ARCH]
}
