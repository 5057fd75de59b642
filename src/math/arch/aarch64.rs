//! NEON kernels, alone and with the products of `dotprod` and `i8mm`.
//!
//! NEON belongs to the target that this module is compiled for: its intrinsics, `unsafe` only
//! outside functions that ask for it once more, run on every processor that runs this code.

use crate::math::kernels::Kernels;

pub mod cpu;
mod dot;
pub mod network;

/// The sets that this processor runs, fastest first.
pub fn supported() -> impl Iterator<Item = &'static Kernels> {
    core::iter::empty()
}
