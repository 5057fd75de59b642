//! Pure arithmetic: vectors, kernels, resampling taps.

pub(crate) mod arch;
mod groups;
pub mod kernels;
pub mod lanes;
pub mod linear_i8;
pub mod network;
pub mod pieces;
pub mod prune;
pub mod quantized;
pub(crate) mod random;
pub mod resample;
pub mod sums;
