//! Kernels in the vector instructions of particular processors.
//!
//! The only place besides `ffi` with `unsafe`: intrinsics are called behind a check that the
//! processor has them.
#![allow(unsafe_code)]

use super::kernels::Kernels;
use super::network::kernels::NetworkKernels;

#[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
pub(crate) mod aarch64;
#[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
use aarch64 as native;

#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon", target_endian = "little")
))]
mod depthwise_f32;

#[cfg(zsseg_dsp)]
mod arm;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) mod depthwise_plan;
#[cfg(any(zsseg_dsp, zsseg_mve))]
mod depthwise_runs;
#[cfg(zsseg_mve)]
mod mve;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64;
#[cfg(target_arch = "x86_64")]
use x86_64 as native;

#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon", target_endian = "little")
)))]
#[path = "none.rs"]
mod native;

/// The fastest kernels that this processor runs, if any are better than the portable ones.
pub fn detect() -> Option<&'static Kernels> {
    all().next()
}

/// Every set of kernels that this processor runs, fastest first.
pub fn all() -> impl Iterator<Item = &'static Kernels> {
    native::supported()
}

/// Every set of network kernels that this processor runs, fastest first.
pub fn network() -> impl Iterator<Item = NetworkKernels> {
    let sets = native::network::kernels::supported();
    #[cfg(zsseg_dsp)]
    let sets = core::iter::once(arm::DSP).chain(sets);
    #[cfg(zsseg_mve)]
    let sets = core::iter::once(mve::MVE).chain(sets);
    sets
}

/// Every set of kernels of float layers that this processor runs, fastest first.
#[cfg(test)]
pub fn floats() -> impl Iterator<Item = &'static super::network::kernels_f32::KernelsF32> {
    native::network::kernels_f32::supported()
}

#[cfg(test)]
mod tests {
    use crate::math::network::kernels::NetworkKernels;
    use std::string::String;
    use std::vec::Vec;

    /// `ZSSEG_TEST_KERNELS` names the sets that tests must have gone over, so that a test run under
    /// an emulator cannot pass without them.
    #[test]
    fn the_sets_that_are_expected_run() {
        let sets: Vec<&str> = NetworkKernels::all().map(|set| set.name).collect();
        let heads: Vec<&str> = super::all().map(|set| set.name).collect();
        std::println!("kernels of networks: {sets:?}, of heads: {heads:?}");
        if let Ok(expected) = std::env::var("ZSSEG_TEST_KERNELS") {
            assert_eq!(sets.join(","), expected);
        }
        let unique = |names: &[&str]| names.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!([unique(&sets), unique(&heads)], [sets.len(), heads.len()]);
        assert_eq!(sets.last().map(|name| String::from(*name)).as_deref(), Some("portable"));
    }
}
