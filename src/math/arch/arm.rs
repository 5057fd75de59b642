//! Kernels for 32-bit ARM with the DSP instructions: Cortex-M4, M7, M33 and every ARMv7-A. Equal to
//! the portable ones bit for bit.

use crate::math::network::kernels::{NetworkKernels, PORTABLE};

mod depthwise_u8;
mod finish_u8;
mod gemm_u8;

/// The kernels with DSP instructions.
pub const DSP: NetworkKernels = NetworkKernels {
    name: "dsp",
    gemm_u8: gemm_u8::gemm_u8,
    depthwise_u8: depthwise_u8::depthwise_u8,
    ..PORTABLE
};
