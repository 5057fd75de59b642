//! Maps of f32 to 8-bit ones and back.

use super::quantization::Quantization;
use super::spans::{Spans, every_mut};
use super::view::{View, ViewMut};
use crate::math::pieces::{piece_mut, pieces};
use core::ops::Range;

/// Pixels that are spread over planes at a time.
const PIXELS: usize = 64;

/// `output = quantized(input)` on rows `rows` of two maps of the same size: the portable reference.
pub fn quantize_u8(
    input: &View<'_, f32>,
    quantization: Quantization,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    let strides = [input.pixel_stride, output.pixel_stride];
    let spans = Spans::new(output.width, output.channels, &strides, rows);
    for index in 0..spans.count {
        let from = spans.get(input.data, input.pixel_stride, index);
        let to = spans.get_mut(output.data, output.pixel_stride, index);
        let Some((from, to)) = from.zip(to) else { return };
        for (to, from) in to.iter_mut().zip(from) {
            *to = quantization.quantized(*from);
        }
    }
}

/// As [`quantize_u8`] from planes one after another, `[channel][row][column]`, of the output's
/// size.
pub fn quantize_planes_u8(
    planes: &[f32],
    quantization: Quantization,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    let len = output.height.saturating_mul(output.width);
    let first = rows.start.saturating_mul(output.width);
    let count = rows.len().saturating_mul(output.width);
    for (c, plane) in pieces(planes, len).take(output.channels).enumerate() {
        let from = plane.iter().skip(first).take(count);
        let start = first.saturating_mul(output.pixel_stride).saturating_add(c);
        let Some(places) = output.data.get_mut(start..) else { return };
        for (to, from) in every_mut(places, output.pixel_stride).zip(from) {
            *to = quantization.quantized(*from);
        }
    }
}

/// `output = real(input)` on rows `rows` of two maps of the same size: the portable reference.
#[inline(always)]
pub fn dequantize_u8(
    input: &View<'_, u8>,
    quantization: Quantization,
    output: &mut ViewMut<'_, f32>,
    rows: Range<usize>,
) {
    let strides = [input.pixel_stride, output.pixel_stride];
    let spans = Spans::new(output.width, output.channels, &strides, rows);
    for index in 0..spans.count {
        let from = spans.get(input.data, input.pixel_stride, index);
        let to = spans.get_mut(output.data, output.pixel_stride, index);
        let Some((from, to)) = from.zip(to) else { return };
        for (to, from) in to.iter_mut().zip(from) {
            *to = quantization.real(*from);
        }
    }
}

/// As [`dequantize_u8`] to planes one after another, `[channel][row][column]`, of the input's size.
#[inline(always)]
pub fn dequantize_planes_u8(
    input: &View<'_, u8>,
    quantization: Quantization,
    planes: &mut [f32],
    rows: Range<usize>,
) {
    let len = input.height.saturating_mul(input.width);
    let end = rows.end.saturating_mul(input.width).min(len);
    let mut start = rows.start.saturating_mul(input.width);
    // Few pixels at a time, so that all of their channels are read from the cache.
    while start < end {
        let count = (end - start).min(PIXELS);
        for c in 0..input.channels {
            let places = piece_mut(planes, c, len).and_then(|plane| plane.get_mut(start..));
            let first = start.saturating_mul(input.pixel_stride).saturating_add(c);
            let Some((places, values)) = places.zip(input.data.get(first..)) else { return };
            for (x, to) in places.iter_mut().take(count).enumerate() {
                let Some(value) = values.get(x * input.pixel_stride) else { return };
                *to = quantization.real(*value);
            }
        }
        start += count;
    }
}

#[cfg(test)]
pub(crate) mod tests;
