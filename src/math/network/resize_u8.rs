//! Resizing of 8-bit maps.

use super::quantization::{Quantization, QuantizedRange};
use super::resample_axis::{Nearest, ResampleAxis, Tap};
use super::spans;
use super::table_u8::{Table, look_up};
use super::view::{View, ViewMut};
use crate::math::pieces::{copy, piece, pieces_mut};
use core::ops::Range;

/// From an interpolated value to a quantised one: `quantize((value - zero_point) * ratio)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RescaleU8 {
    /// Of the input.
    pub zero_point: u8,
    /// Scale of the input over the scale of the output; positive, finite.
    pub ratio: f32,
    /// What the output may be.
    pub range: QuantizedRange,
}

/// The axis of rows of a resize by copying.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearestRows {
    /// The axis.
    pub axis: ResampleAxis,
    /// Which rows are copied.
    pub nearest: Nearest,
}

/// Numbers of scratch that a bilinear resize needs: a row, and what vectors read after it.
pub const fn resize_scratch_len(input_width: usize, channels: usize) -> usize {
    input_width * channels + 64
}

/// Rows `rows` of a bilinear resize: the portable reference. `vertical` is the axis of rows,
/// `columns` the taps of the columns, `scratch` has [`resize_scratch_len`] places.
///
/// Rows are blended first, then columns, each as `p + (q - p) * fraction` in f32.
pub fn resize_bilinear_u8(
    input: &View<'_, u8>,
    vertical: &ResampleAxis,
    columns: &[Tap],
    rescale: &RescaleU8,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
    scratch: &mut [f32],
) {
    let zero_point = f32::from(rescale.zero_point);
    resize_bilinear(input, vertical, columns, output, rows, scratch, |value| {
        rescale.range.quantize((value - zero_point) * rescale.ratio)
    });
}

/// As [`resize_bilinear_u8`] to real numbers: `(value - zero_point) * scale`.
#[inline(always)]
pub fn resize_bilinear_u8_f32(
    input: &View<'_, u8>,
    vertical: &ResampleAxis,
    columns: &[Tap],
    quantization: Quantization,
    output: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
    scratch: &mut [f32],
) {
    let zero_point = f32::from(quantization.zero_point);
    resize_bilinear(input, vertical, columns, output, rows, scratch, |value| {
        (value - zero_point) * quantization.scale
    });
}

/// Rows `rows` of a resize by copying: `columns` are the positions copied. `table`
/// changes the quantisation.
#[inline(always)]
pub fn resize_nearest_u8(
    input: &View<'_, u8>,
    vertical: &NearestRows,
    columns: &[u32],
    table: Option<&Table>,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    resize_nearest(input, vertical, columns, output, rows, |to, from| match table {
        None => copy(to, from),
        Some(table) => {
            for (to, from) in to.iter_mut().zip(from) {
                *to = look_up(table, *from);
            }
        }
    });
}

/// As [`resize_nearest_u8`] to real numbers.
#[inline(always)]
pub fn resize_nearest_u8_f32(
    input: &View<'_, u8>,
    vertical: &NearestRows,
    columns: &[u32],
    quantization: Quantization,
    output: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) {
    resize_nearest(input, vertical, columns, output, rows, |to, from| {
        for (to, from) in to.iter_mut().zip(from) {
            *to = quantization.real(*from);
        }
    });
}

#[inline(always)]
fn resize_nearest<T>(
    input: &View<'_, u8>,
    vertical: &NearestRows,
    columns: &[u32],
    output: &mut ViewMut<'_, T>,
    rows: Range<usize>,
    convert: impl Fn(&mut [T], &[u8]),
) {
    for y in rows {
        let row = vertical.axis.nearest(y, vertical.nearest).saturating_mul(input.width);
        for (x, column) in columns.iter().take(output.width).enumerate() {
            let to = spans::pixel_mut(output, y * output.width + x);
            let from = spans::pixel(input, row.saturating_add(*column as usize));
            let Some((to, from)) = to.zip(from) else { return };
            convert(to, from);
        }
    }
}

#[inline(always)]
fn resize_bilinear<T: Copy>(
    input: &View<'_, u8>,
    vertical: &ResampleAxis,
    columns: &[Tap],
    output: &mut ViewMut<'_, T>,
    rows: Range<usize>,
    scratch: &mut [f32],
    finish: impl Fn(f32) -> T,
) {
    let channels = input.channels;
    let Some(blended) = scratch.get_mut(..resize_scratch_len(input.width, channels)) else {
        return;
    };
    let mut last = None;
    for y in rows {
        let tap = vertical.bilinear(y);
        if last != Some(tap) {
            blend_rows(input, tap, blended);
            last = Some(tap);
        }
        for (x, tap) in columns.iter().take(output.width).enumerate() {
            let Some(to) = spans::pixel_mut(output, y * output.width + x) else { return };
            let first = piece(blended, tap.index as usize, channels);
            let second = piece(blended, tap.next as usize, channels);
            let Some((first, second)) = first.zip(second) else { return };
            for ((to, p), q) in to.iter_mut().zip(first).zip(second) {
                *to = finish(p + (q - p) * tap.fraction);
            }
        }
    }
}

#[inline(always)]
fn blend_rows(input: &View<'_, u8>, tap: Tap, blended: &mut [f32]) {
    let [first, second] = [tap.index, tap.next].map(|row| row as usize * input.width);
    for (x, to) in pieces_mut(blended, input.channels).take(input.width).enumerate() {
        let first = spans::pixel(input, first + x);
        let second = spans::pixel(input, second + x);
        let Some((first, second)) = first.zip(second) else { return };
        for ((to, p), q) in to.iter_mut().zip(first).zip(second) {
            let [p, q] = [*p, *q].map(f32::from);
            *to = p + (q - p) * tap.fraction;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
