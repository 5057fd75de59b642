//! Pure arithmetic: vectors, kernels, resampling taps.

pub(crate) mod arch;
mod groups;
pub mod kernels;
pub mod lanes;
pub mod pieces;
pub mod resample;
