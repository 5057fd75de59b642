//! Kernels in the vector instructions of particular processors.
//!
//! The only place besides `ffi` with `unsafe`: intrinsics are called behind a check that the
//! processor has them.
#![allow(unsafe_code)]

use super::kernels::Kernels;
use super::network::kernels::NetworkKernels;
use super::network::window::Window;

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64;

/// The fastest kernels that this processor runs, if any are better than the portable ones.
pub fn detect() -> Option<&'static Kernels> {
    all().next()
}

/// Every set of kernels that this processor runs, fastest first.
pub fn all() -> impl Iterator<Item = &'static Kernels> {
    #[cfg(target_arch = "x86_64")]
    return x86_64::supported();
    #[cfg(not(target_arch = "x86_64"))]
    return core::iter::empty();
}

/// Every set of network kernels that this processor runs, fastest first.
pub fn network() -> impl Iterator<Item = NetworkKernels> {
    #[cfg(target_arch = "x86_64")]
    return x86_64::network::kernels::supported();
    #[cfg(not(target_arch = "x86_64"))]
    return core::iter::empty();
}

/// Bytes of scratch with which this architecture's depthwise convolutions run at full speed.
pub fn depthwise_u8_scratch_len(window: &Window, channels: usize, columns: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    return x86_64::network::depthwise_plan::depthwise_u8_scratch_len(window, channels, columns);
    #[cfg(not(target_arch = "x86_64"))]
    return {
        let _ = (window, channels, columns);
        0
    };
}
