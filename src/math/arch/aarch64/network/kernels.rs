//! Sets of kernels for all layers.

use super::depthwise_u8::depthwise_u8;
use super::lanes::Bytes128;
use super::{gemm_u8, kernels_f32};
use crate::math::network::gemm_u8::GemmU8Fn;
use crate::math::network::kernels::{NetworkKernels, PORTABLE};
use crate::math::network::kernels_u8::{self, KernelsU8};
use crate::math::network::vector::{elementwise_u8, pool_u8, quantize_u8, resize_u8};

/// Layers without vectors of their own are the portable ones, which the compiler makes NEON of.
static BYTES: KernelsU8 = KernelsU8 {
    table: elementwise_u8::table_u8::<Bytes128>,
    table_in_place: elementwise_u8::table_in_place_u8::<Bytes128>,
    add_in_place: elementwise_u8::add_in_place_u8::<Bytes128>,
    mul_in_place: elementwise_u8::mul_in_place_u8::<Bytes128>,
    max_pool: pool_u8::max_pool_u8::<Bytes128>,
    avg_pool: pool_u8::avg_pool_u8::<Bytes128>,
    global_avg_pool: pool_u8::global_avg_pool_u8::<Bytes128>,
    resize_bilinear: |input, (axis, columns), rescale, output, rows, scratch| {
        resize_u8::resize_bilinear_u8::<Bytes128>(
            input, axis, columns, rescale, output, rows, scratch,
        );
    },
    quantize: quantize_u8::quantize_u8::<Bytes128>,
    ..kernels_u8::PORTABLE
};

/// The sets that this processor runs, fastest first: one for each kernel of products.
pub fn supported() -> impl Iterator<Item = NetworkKernels> {
    gemm_u8::supported().map(|(name, product)| of(name, product))
}

fn of(name: &'static str, gemm_u8: GemmU8Fn) -> NetworkKernels {
    NetworkKernels {
        name,
        gemm_u8,
        depthwise_u8,
        bytes: &BYTES,
        floats: kernels_f32::NEON.if_built(),
        ..PORTABLE
    }
}
