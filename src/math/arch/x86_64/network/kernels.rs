//! Sets of kernels for all layers.

use super::depthwise_u8::{depthwise_u8_avx_vnni, depthwise_u8_avx2, depthwise_u8_avx512};
use super::{gemm_dynamic_u8, gemm_u8, kernels_f32, layers_avx2, layers_avx512};
use crate::math::network::gemm_u8::GemmU8Fn;
use crate::math::network::kernels::{DepthwiseU8Fn, NetworkKernels, PORTABLE};
use crate::math::network::kernels_f32::{ARE_BUILT, KernelsF32};
use crate::math::network::kernels_u8::{self, KernelsU8};

/// The table of a module of layers, but for those of `$others`. A macro, since functions with a
/// target feature are values only inside closures of their own.
macro_rules! layers {
    ($module:ident, $others:expr) => {
        KernelsU8 {
            table: |input, table, output, rows| {
                // SAFETY: `supported` hands this table out only after checking that the processor
                // has the features.
                unsafe { $module::table_u8(input, table, output, rows) }
            },
            table_in_place: |map, table, rows| {
                // SAFETY: see above.
                unsafe { $module::table_in_place_u8(map, table, rows) }
            },
            add_in_place: |a, b, sum, rows| {
                // SAFETY: see above.
                unsafe { $module::add_in_place_u8(a, b, sum, rows) }
            },
            mul_in_place: |a, b, product, rows| {
                // SAFETY: see above.
                unsafe { $module::mul_in_place_u8(a, b, product, rows) }
            },
            resize_bilinear: |input, (axis, columns), rescale, output, rows, scratch| {
                // SAFETY: see above.
                unsafe {
                    $module::resize_bilinear_u8(
                        input, axis, columns, rescale, output, rows, scratch,
                    )
                }
            },
            quantize: |input, quantization, output, rows| {
                // SAFETY: see above.
                unsafe { $module::quantize_u8(input, quantization, output, rows) }
            },
            ..$others
        }
    };
}

/// Layers that AVX-512 makes no faster.
const OTHERS: KernelsU8 = KernelsU8 {
    max_pool: |input, window, output, rows| {
        // SAFETY: `supported` hands this out only after checking that the processor has AVX2.
        unsafe { layers_avx2::max_pool_u8(input, window, output, rows) }
    },
    avg_pool: |input, window, counted, mean, output, rows| {
        // SAFETY: see above.
        unsafe { layers_avx2::avg_pool_u8(input, window, counted, mean, output, rows) }
    },
    global_avg_pool: |input, mean, output| {
        // SAFETY: see above.
        unsafe { layers_avx2::global_avg_pool_u8(input, mean, output) }
    },
    resize_bilinear_f32: |input, (axis, columns), quantization, output, rows, scratch| {
        // SAFETY: see above.
        unsafe {
            layers_avx2::resize_bilinear_u8_f32(
                input,
                axis,
                columns,
                quantization,
                output,
                rows,
                scratch,
            )
        }
    },
    resize_nearest: |input, vertical, columns, table, output, rows| {
        // SAFETY: see above.
        unsafe { layers_avx2::resize_nearest_u8(input, vertical, columns, table, output, rows) }
    },
    resize_nearest_f32: |input, vertical, columns, quantization, output, rows| {
        // SAFETY: see above.
        unsafe {
            layers_avx2::resize_nearest_u8_f32(input, vertical, columns, quantization, output, rows)
        }
    },
    dequantize: |input, quantization, output, rows| {
        // SAFETY: see above.
        unsafe { layers_avx2::dequantize_u8(input, quantization, output, rows) }
    },
    ..kernels_u8::PORTABLE
};

static BYTES_AVX2: KernelsU8 = layers!(layers_avx2, OTHERS);
static BYTES_AVX512: KernelsU8 = layers!(layers_avx512, OTHERS);

/// The sets that this processor runs, fastest first: one for each kernel of products, and with it
/// the fastest of all others that need no more.
pub fn supported() -> impl Iterator<Item = NetworkKernels> {
    gemm_u8::supported().map(|(name, product)| of(name, product))
}

/// With products in AVX-512 VNNI or AMX, which are offered only where the processor has all of
/// AVX-512 that others need (BW, VL, VNNI and VBMI), or in AVX-VNNI or AVX2.
fn of(name: &'static str, gemm_u8: GemmU8Fn) -> NetworkKernels {
    let has_avx512 = matches!(name, "amxint8" | "avx512vnni");
    let fits = |set: &&KernelsF32| has_avx512 || !set.name.contains("avx512");
    let floats = if ARE_BUILT { kernels_f32::supported().find(fits) } else { None };
    let bytes = if has_avx512 { &BYTES_AVX512 } else { &BYTES_AVX2 };
    let depthwise_u8: DepthwiseU8Fn = match name {
        "amxint8" | "avx512vnni" => |input, layer, output, rows, scratch| {
            // SAFETY: this set is handed out only where the processor has the features (above).
            unsafe { depthwise_u8_avx512(input, layer, output, rows, scratch) }
        },
        "avxvnni" => |input, layer, output, rows, scratch| {
            // SAFETY: see above.
            unsafe { depthwise_u8_avx_vnni(input, layer, output, rows, scratch) }
        },
        _ => |input, layer, output, rows, scratch| {
            // SAFETY: see above.
            unsafe { depthwise_u8_avx2(input, layer, output, rows, scratch) }
        },
    };
    let packing = gemm_dynamic_u8::supported().filter(|_| has_avx512);
    let (pack_dynamic_u8, row_bias_u8) =
        packing.unwrap_or((PORTABLE.pack_dynamic_u8, PORTABLE.row_bias_u8));
    NetworkKernels {
        name,
        gemm_u8,
        pack_dynamic_u8,
        row_bias_u8,
        depthwise_u8,
        bytes,
        floats: floats.unwrap_or(PORTABLE.floats),
    }
}
