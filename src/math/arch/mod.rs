//! Kernels in the vector instructions of particular processors.
//!
//! The only place besides `ffi` with `unsafe`: intrinsics are called behind a check that the
//! processor has them.
#![allow(unsafe_code)]

use super::kernels::Kernels;

#[cfg(target_arch = "x86_64")]
mod x86_64;

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
