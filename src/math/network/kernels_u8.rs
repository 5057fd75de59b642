//! The kernels of integer layers, but convolutions and products, for a processor.

use super::elementwise_u8::{AddU8, MulU8, OperandU8, add_in_place_u8, mul_in_place_u8};
use super::pool_u8::{Counted, MeanU8, avg_pool_u8, global_avg_pool_u8, max_pool_u8};
use super::quantization::Quantization;
use super::quantize_u8::{dequantize_u8, quantize_u8};
use super::resample_axis::{ResampleAxis, Tap};
use super::resize_u8::{
    NearestRows, RescaleU8, resize_bilinear_u8, resize_bilinear_u8_f32, resize_nearest_u8,
    resize_nearest_u8_f32,
};
use super::table_u8::{Table, table_in_place_u8, table_u8};
use super::view::{View, ViewMut};
use super::window::Window;
use core::ops::Range;

type In<'a, 'b> = &'a View<'b, u8>;
type Out<'a, 'b> = &'a mut ViewMut<'b, u8>;
type OutF32<'a, 'b> = &'a mut ViewMut<'b, f32>;
type Rows = Range<usize>;

type Axes<'a> = (&'a ResampleAxis, &'a [Tap]);

/// A bilinear resize to bytes: rows and columns, what becomes of a value, and a row of scratch.
pub type ResizeU8Fn = fn(In<'_, '_>, Axes<'_>, &RescaleU8, Out<'_, '_>, Rows, &mut [f32]);
/// A bilinear resize to floats.
pub type ResizeF32Fn = fn(In<'_, '_>, Axes<'_>, Quantization, OutF32<'_, '_>, Rows, &mut [f32]);

/// A set of kernels compiled for the same instruction set. All sets give the same bits.
#[derive(Clone, Copy, Debug)]
pub struct KernelsU8 {
    /// See [`table_u8`].
    pub table: fn(In<'_, '_>, &Table, Out<'_, '_>, Rows),
    /// See [`table_in_place_u8`].
    pub table_in_place: fn(Out<'_, '_>, &Table, Rows),
    /// See [`add_in_place_u8`].
    pub add_in_place: fn(Out<'_, '_>, &OperandU8<'_>, &AddU8, Rows),
    /// See [`mul_in_place_u8`].
    pub mul_in_place: fn(Out<'_, '_>, &OperandU8<'_>, &MulU8, Rows),
    /// See [`max_pool_u8`].
    pub max_pool: fn(In<'_, '_>, &Window, Out<'_, '_>, Rows),
    /// See [`avg_pool_u8`].
    pub avg_pool: fn(In<'_, '_>, &Window, Counted, &MeanU8, Out<'_, '_>, Rows),
    /// See [`global_avg_pool_u8`].
    pub global_avg_pool: fn(In<'_, '_>, &MeanU8, &mut [u8]),
    /// See [`resize_bilinear_u8`].
    pub resize_bilinear: ResizeU8Fn,
    /// See [`resize_bilinear_u8_f32`].
    pub resize_bilinear_f32: ResizeF32Fn,
    /// See [`resize_nearest_u8`].
    pub resize_nearest: fn(In<'_, '_>, &NearestRows, &[u32], Option<&Table>, Out<'_, '_>, Rows),
    /// See [`resize_nearest_u8_f32`].
    pub resize_nearest_f32:
        fn(In<'_, '_>, &NearestRows, &[u32], Quantization, OutF32<'_, '_>, Rows),
    /// See [`quantize_u8`].
    pub quantize: fn(&View<'_, f32>, Quantization, Out<'_, '_>, Rows),
    /// See [`dequantize_u8`].
    pub dequantize: fn(In<'_, '_>, Quantization, OutF32<'_, '_>, Rows),
}

/// The portable set.
pub static PORTABLE: KernelsU8 = KernelsU8 {
    table: table_u8,
    table_in_place: table_in_place_u8,
    add_in_place: add_in_place_u8,
    mul_in_place: mul_in_place_u8,
    max_pool: max_pool_u8,
    avg_pool: avg_pool_u8,
    global_avg_pool: global_avg_pool_u8,
    resize_bilinear: |input, (axis, columns), rescale, output, rows, scratch| {
        resize_bilinear_u8(input, axis, columns, rescale, output, rows, scratch);
    },
    resize_bilinear_f32: |input, (axis, columns), quantization, output, rows, scratch| {
        resize_bilinear_u8_f32(input, axis, columns, quantization, output, rows, scratch);
    },
    resize_nearest: resize_nearest_u8,
    resize_nearest_f32: resize_nearest_u8_f32,
    quantize: quantize_u8,
    dequantize: dequantize_u8,
};

#[cfg(test)]
mod tests;
