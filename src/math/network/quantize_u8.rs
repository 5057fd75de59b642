//! Maps of f32 to 8-bit ones and back.

use super::quantization::Quantization;
use super::spans::Spans;
use super::view::{View, ViewMut};
use core::ops::Range;

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

#[cfg(test)]
pub(crate) mod tests;
