//! The kernels of a network's layers for a processor.

use super::depthwise_u8::{self, DepthwiseU8};
use super::gemm_dynamic_u8::{
    PackDynamicU8Fn, RowBiasU8Fn, pack_gemm_dynamic_u8, row_bias_dynamic_u8,
};
use super::gemm_u8::{self, GemmU8Fn};
use super::kernels_f32::{self, KernelsF32};
use super::kernels_u8::{self, KernelsU8};
use super::view::{View, ViewMut};
use crate::math::arch;
use core::ops::Range;

/// A depthwise convolution, or `false`, with nothing written, where it is left to the portable one.
pub type DepthwiseU8Fn =
    fn(&View<'_, u8>, &DepthwiseU8<'_>, &mut ViewMut<'_, u8>, Range<usize>, &mut [u8]) -> bool;

/// The kernels that one processor runs fastest. Sets give the same bits in integers.
#[derive(Clone, Copy, Debug)]
pub struct NetworkKernels {
    /// The instruction set, for reports.
    pub name: &'static str,
    /// See [`gemm_u8::gemm_u8`].
    pub gemm_u8: GemmU8Fn,
    /// See [`pack_gemm_dynamic_u8`].
    pub pack_dynamic_u8: PackDynamicU8Fn,
    /// See [`row_bias_dynamic_u8`].
    pub row_bias_u8: RowBiasU8Fn,
    /// See [`depthwise_u8::depthwise_u8`].
    pub depthwise_u8: DepthwiseU8Fn,
    /// Other integer layers.
    pub bytes: &'static KernelsU8,
    /// Float layers.
    pub floats: &'static KernelsF32,
}

/// The kernels for any processor.
pub const PORTABLE: NetworkKernels = NetworkKernels {
    name: "portable",
    gemm_u8: gemm_u8::gemm_u8,
    pack_dynamic_u8: pack_gemm_dynamic_u8,
    row_bias_u8: row_bias_dynamic_u8,
    depthwise_u8: |input, layer, output, rows, _| {
        depthwise_u8::depthwise_u8(input, layer, output, rows);
        true
    },
    bytes: &kernels_u8::PORTABLE,
    floats: kernels_f32::PORTABLE.if_built(),
};

impl NetworkKernels {
    /// The fastest kernels that this processor runs.
    pub fn detect() -> NetworkKernels {
        arch::network().next().unwrap_or(PORTABLE)
    }

    /// Every set that this processor runs, fastest first; the portable one is the last.
    pub fn all() -> impl Iterator<Item = NetworkKernels> {
        arch::network().chain([PORTABLE])
    }
}
