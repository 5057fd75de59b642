//! The set of kernels for float layers.

use super::gemm_f32;
use crate::math::arch::aarch64::lanes::Neon;
use crate::math::arch::depthwise_f32;
use crate::math::network::kernels_f32::KernelsF32;
use crate::math::network::{activation_f32, elementwise_f32, norm_f32, pool_f32, resize_f32};

/// The set that every processor runs.
pub static NEON: KernelsF32 = KernelsF32 {
    name: "neon",
    tile: gemm_f32::NEON,
    depthwise: |run| {
        // SAFETY: NEON is what this module is compiled for.
        unsafe { depthwise_f32::run::<Neon>(run) }
    },
    finish: activation_f32::finish::<Neon>,
    binary: elementwise_f32::binary::<Neon>,
    pool: pool_f32::pool::<Neon>,
    sum: pool_f32::sum::<Neon>,
    softmax: norm_f32::softmax::<Neon>,
    layer_norm: norm_f32::layer_norm::<Neon>,
    blend: resize_f32::blend::<Neon>,
    blend_row: resize_f32::blend_row::<Neon>,
};

/// The sets that this processor runs, fastest first.
#[cfg(test)]
pub fn supported() -> impl Iterator<Item = &'static KernelsF32> {
    [&NEON].into_iter()
}
