//! Kernels for MVE (Helium) with floats: Cortex-M52, M55 and M85. Equal to the portable ones bit
//! for bit.
//!
//! Vectors of float flush subnormal numbers to zero. Nothing here shows it: what is rounded to a
//! whole number is 0 either way, and a sum is the same with a summand that small as without.

use crate::math::network::kernels::{NetworkKernels, PORTABLE};

mod depthwise_u8;
mod finish_u8;
mod gemm_u8;

/// The kernels with MVE instructions.
pub const MVE: NetworkKernels = NetworkKernels {
    name: "mve",
    gemm_u8: gemm_u8::gemm_u8,
    depthwise_u8: depthwise_u8::depthwise_u8,
    ..PORTABLE
};
