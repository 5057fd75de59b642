//! Layers that are faster with AVX-512 than with AVX2: equal to the portable kernels of the same
//! names.

use super::lanes_avx512::Bytes512;
use crate::math::network::elementwise_u8::{AddU8, MulU8, OperandU8};
use crate::math::network::quantization::Quantization;
use crate::math::network::resample_axis::{ResampleAxis, Tap};
use crate::math::network::resize_u8::RescaleU8;
use crate::math::network::table_u8::Table;
use crate::math::network::vector;
use crate::math::network::view::{View, ViewMut};
use core::ops::Range;

/// As the portable kernel.
///
/// # Safety
/// None but that the processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub fn table_u8(
    input: &View<'_, u8>,
    table: &Table,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    vector::elementwise_u8::table_u8::<Bytes512>(input, table, output, rows);
}

/// As the portable kernel.
///
/// # Safety
/// None but that the processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub fn table_in_place_u8(map: &mut ViewMut<'_, u8>, table: &Table, rows: Range<usize>) {
    vector::elementwise_u8::table_in_place_u8::<Bytes512>(map, table, rows);
}

/// As the portable kernel.
///
/// # Safety
/// None but that the processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub fn add_in_place_u8(
    a: &mut ViewMut<'_, u8>,
    b: &OperandU8<'_>,
    sum: &AddU8,
    rows: Range<usize>,
) {
    vector::elementwise_u8::add_in_place_u8::<Bytes512>(a, b, sum, rows);
}

/// As the portable kernel.
///
/// # Safety
/// None but that the processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub fn mul_in_place_u8(
    a: &mut ViewMut<'_, u8>,
    b: &OperandU8<'_>,
    product: &MulU8,
    rows: Range<usize>,
) {
    vector::elementwise_u8::mul_in_place_u8::<Bytes512>(a, b, product, rows);
}

/// As the portable kernel.
///
/// # Safety
/// None but that the processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub fn quantize_u8(
    input: &View<'_, f32>,
    quantization: Quantization,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    vector::quantize_u8::quantize_u8::<Bytes512>(input, quantization, output, rows);
}

/// As the portable kernel.
///
/// # Safety
/// None but that the processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub fn resize_bilinear_u8(
    input: &View<'_, u8>,
    vertical: &ResampleAxis,
    columns: &[Tap],
    rescale: &RescaleU8,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
    scratch: &mut [f32],
) {
    vector::resize_u8::resize_bilinear_u8::<Bytes512>(
        input, vertical, columns, rescale, output, rows, scratch,
    );
}
