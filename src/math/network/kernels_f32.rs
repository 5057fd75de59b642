//! The kernels of float layers for a processor.

use super::activation_f32::{self, FinishKernel};
use super::depthwise_f32::{self, RunKernel};
use super::elementwise_f32::{self, BinaryKernel};
use super::floats::Portable;
use super::gemm_f32::{self, TileKernel};
use super::norm_f32::{self, NormKernel, SoftmaxKernel};
use super::pool_f32::{self, PoolKernel, SumKernel};
use super::resize_f32::{self, BlendKernel, BlendRowKernel};

/// Whether this build has float layers. Where not, nothing asks for these kernels, and the linker
/// leaves them out.
pub const ARE_BUILT: bool = cfg!(feature = "float-layers");

/// A set of kernels compiled for the same instruction set.
#[derive(Clone, Copy, Debug)]
pub struct KernelsF32 {
    /// The instruction set.
    pub name: &'static str,
    /// Products.
    pub tile: TileKernel,
    /// Depthwise convolutions.
    pub depthwise: RunKernel,
    /// Epilogues and activations.
    pub finish: FinishKernel,
    /// Operations of two operands.
    pub binary: BinaryKernel,
    /// Pooling under windows.
    pub pool: PoolKernel,
    /// Sums over pixels.
    pub sum: SumKernel,
    /// Softmax of rows.
    pub softmax: SoftmaxKernel,
    /// Normalisation of rows.
    pub layer_norm: NormKernel,
    /// Blends of two rows.
    pub blend: BlendKernel,
    /// Blends along a row.
    pub blend_row: BlendRowKernel,
}

/// The portable set.
pub static PORTABLE: KernelsF32 = KernelsF32 {
    name: "portable",
    tile: gemm_f32::PORTABLE,
    depthwise: depthwise_f32::run_portable,
    finish: activation_f32::finish_portable,
    binary: elementwise_f32::binary::<Portable>,
    pool: pool_f32::pool::<Portable>,
    sum: pool_f32::sum::<Portable>,
    softmax: norm_f32::softmax::<Portable>,
    layer_norm: norm_f32::layer_norm::<Portable>,
    blend: resize_f32::blend::<Portable>,
    blend_row: resize_f32::blend_row::<Portable>,
};

/// In place of all sets in a build without float layers.
static NONE: KernelsF32 = KernelsF32 {
    name: "none",
    tile: gemm_f32::TileKernel { run: |_| {}, rows: &[1] },
    depthwise: |_| {},
    finish: |_, _| {},
    binary: |_, _, _, _| {},
    pool: |_| {},
    sum: |_, _, _| {},
    softmax: |_| {},
    layer_norm: |_, _| {},
    blend: |_, _, _, _| {},
    blend_row: |_| {},
};

impl KernelsF32 {
    /// This set, if the build has float layers.
    pub const fn if_built(&'static self) -> &'static KernelsF32 {
        if ARE_BUILT { self } else { &NONE }
    }
}

/// Every set that this processor runs, and the portable one.
#[cfg(test)]
pub(crate) fn every_set() -> impl Iterator<Item = &'static KernelsF32> {
    crate::math::arch::floats().chain([&PORTABLE])
}

/// Values from -1 to 1 that look random.
#[cfg(test)]
pub(crate) fn noise(seed: u32, len: usize) -> std::vec::Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
