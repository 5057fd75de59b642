//! Sets of kernels for float layers.

use crate::math::network::kernels_f32::KernelsF32;

/// The sets that this processor runs, fastest first.
pub fn supported() -> impl Iterator<Item = &'static KernelsF32> {
    core::iter::empty()
}
