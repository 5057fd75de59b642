//! Sets of kernels for float layers.

use super::floats::{Avx2, Avx512};
use super::gemm_f32;
use crate::math::arch::depthwise_f32;
use crate::math::arch::x86_64::cpu::Cpu;
use crate::math::network::activation_f32::{self, Epilogue, Rows};
use crate::math::network::depthwise_f32::Run;
use crate::math::network::elementwise_f32::{self, Binary, RightRow};
use crate::math::network::kernels_f32::KernelsF32;
use crate::math::network::norm_f32::{self, Norm};
use crate::math::network::pool_f32::{self, PoolRun};
use crate::math::network::resize_f32::{self, BlendRow};

/// Entry points compiled for one instruction set. A macro, since a function's target feature is
/// an attribute and cannot be a parameter.
macro_rules! entry_points {
    ($module:ident, $lanes:ty, $tile:expr, $feature:literal) => {
        pub(super) mod $module {
            use super::*;

            pub static KERNELS: KernelsF32 = KernelsF32 {
                name: $feature,
                tile: $tile,
                depthwise: |run| {
                    // SAFETY: `supported` hands this table out only after checking that the
                    // processor has the feature.
                    unsafe { depthwise(run) }
                },
                finish: |epilogue, rows| {
                    // SAFETY: see above.
                    unsafe { finish(epilogue, rows) }
                },
                binary: |op, left, right, out| {
                    // SAFETY: see above.
                    unsafe { binary(op, left, right, out) }
                },
                pool: |run| {
                    // SAFETY: see above.
                    unsafe { pool(run) }
                },
                sum: |pixels, stride, sums| {
                    // SAFETY: see above.
                    unsafe { sum(pixels, stride, sums) }
                },
                softmax: |rows| {
                    // SAFETY: see above.
                    unsafe { softmax(rows) }
                },
                layer_norm: |norm, rows| {
                    // SAFETY: see above.
                    unsafe { layer_norm(norm, rows) }
                },
                blend: |p, q, t, out| {
                    // SAFETY: see above.
                    unsafe { blend(p, q, t, out) }
                },
                blend_row: |row| {
                    // SAFETY: see above.
                    unsafe { blend_row(row) }
                },
            };

            #[target_feature(enable = $feature)]
            fn depthwise(run: &mut Run<'_>) {
                // SAFETY: this function is compiled for the vectors.
                unsafe { depthwise_f32::run::<$lanes>(run) }
            }

            #[target_feature(enable = $feature)]
            pub fn finish(epilogue: &Epilogue<'_>, rows: Rows<'_>) {
                activation_f32::finish::<$lanes>(epilogue, rows);
            }

            #[target_feature(enable = $feature)]
            fn binary(op: Binary, left: Option<&[f32]>, right: RightRow<'_>, out: &mut [f32]) {
                elementwise_f32::binary::<$lanes>(op, left, right, out);
            }

            #[target_feature(enable = $feature)]
            fn pool(run: &mut PoolRun<'_>) {
                pool_f32::pool::<$lanes>(run);
            }

            #[target_feature(enable = $feature)]
            fn sum(pixels: &[f32], stride: usize, sums: &mut [f32]) {
                pool_f32::sum::<$lanes>(pixels, stride, sums);
            }

            #[target_feature(enable = $feature)]
            fn softmax(rows: Rows<'_>) {
                norm_f32::softmax::<$lanes>(rows);
            }

            #[target_feature(enable = $feature)]
            fn layer_norm(norm: &Norm<'_>, rows: Rows<'_>) {
                norm_f32::layer_norm::<$lanes>(norm, rows);
            }

            #[target_feature(enable = $feature)]
            fn blend(p: &[f32], q: &[f32], t: f32, out: &mut [f32]) {
                resize_f32::blend::<$lanes>(p, q, t, out);
            }

            #[target_feature(enable = $feature)]
            fn blend_row(row: BlendRow<'_>) {
                resize_f32::blend_row::<$lanes>(row);
            }
        }
    };
}

entry_points!(avx2, Avx2, gemm_f32::AVX2, "avx2,fma,f16c");
entry_points!(avx512, Avx512, gemm_f32::AVX512, "avx512f");

/// The sets that this processor runs, fastest first.
pub fn supported() -> impl Iterator<Item = &'static KernelsF32> {
    let cpu = Cpu::detect();
    let sets = [(cpu.avx512f, &avx512::KERNELS), (cpu.avx2 && cpu.fma_f16c, &avx2::KERNELS)];
    sets.into_iter().filter(|(runs, _)| *runs).map(|(_, kernels)| kernels)
}
