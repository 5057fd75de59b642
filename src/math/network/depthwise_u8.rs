//! Depthwise convolution of 8-bit activations.

use super::quantization::QuantizedRange;
use super::view::{View, ViewMut};
use super::window::Window;
use super::{spans, table_u8};
use core::ops::Range;

/// Channels whose sums are kept at a time.
const BLOCK: usize = 64;

/// A depthwise convolution with one filter per channel:
/// `output = quantize((bias[c] + sum over taps of input * weight) * scale[c])`, looked up in
/// `table` if there is one. Taps outside the map read `padding_value`.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseU8<'a> {
    /// Where the taps are.
    pub window: Window,
    /// From [`pack_depthwise_i8`]: `[kernel row][kernel column][channel]`.
    pub weights: &'a [i8],
    /// Per channel; contains `-input zero point * sum of the channel's weights`.
    pub bias: &'a [i32],
    /// Per channel, from sums to steps of the output; positive, finite.
    pub scale: &'a [f32],
    /// What stands outside the map: the input's zero point.
    pub padding_value: u8,
    /// What the output may be.
    pub range: QuantizedRange,
    /// Applied to every output.
    pub table: Option<&'a [u8; 256]>,
}

/// Length of the packed weights.
pub const fn packed_depthwise_len(channels: usize, kernel: [usize; 2]) -> usize {
    channels * kernel[0] * kernel[1]
}

/// Packs weights `[channel][kernel row][kernel column]`; `packed` has [`packed_depthwise_len`]
/// places.
pub fn pack_depthwise_i8(weights: &[i8], channels: usize, kernel: [usize; 2], packed: &mut [i8]) {
    let taps = kernel[0].saturating_mul(kernel[1]);
    for (tap, row) in crate::math::pieces::pieces_mut(packed, channels).take(taps).enumerate() {
        let weights = weights.get(tap..).unwrap_or_default();
        for (place, weight) in row.iter_mut().zip(spans::every(weights, taps)) {
            *place = *weight;
        }
    }
}

/// Makes rows `rows` of the output: the portable reference. Cost: `kernel[0] * kernel[1]`
/// multiplications per value. Channels beyond those of the weights, the biases or the scales are
/// not written.
pub fn depthwise_u8(
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    output: &mut ViewMut<'_, u8>,
    rows: Range<usize>,
) {
    for y in rows {
        for x in 0..output.width {
            let index = y * output.width + x;
            let Some(to) = spans::pixel_mut(output, index) else { return };
            for (block, to) in spans::cuts_mut(to, BLOCK).enumerate() {
                channel_block(input, layer, [y, x, block * BLOCK], to);
            }
        }
    }
}

/// Up to [`BLOCK`] channels from `c` on of the output pixel (y, x).
fn channel_block(
    input: &View<'_, u8>,
    layer: &DepthwiseU8<'_>,
    [y, x, c]: [usize; 3],
    to: &mut [u8],
) {
    let mut sums = [0i32; BLOCK];
    let Some(biases) = layer.bias.get(c..) else { return };
    let Some(scales) = layer.scale.get(c..) else { return };
    crate::math::pieces::copy(&mut sums, biases);
    let Some(sums) = sums.get_mut(..to.len()) else { return };
    let window = layer.window;
    let mut rows = crate::math::pieces::pieces(layer.weights, input.channels);
    for ky in 0..window.kernel[0] {
        let row = window.input_row(y, ky, input.height);
        for kx in 0..window.kernel[1] {
            let Some(weights) = rows.next().and_then(|row| row.get(c..)) else { return };
            let column = window.input_column(x, kx, input.width);
            let pixel = row.zip(column).and_then(|(row, column)| {
                spans::pixel(input, row * input.width + column)?.get(c..)
            });
            match pixel {
                Some(pixel) => accumulate(sums, pixel, weights),
                None => accumulate_constant(sums, layer.padding_value, weights),
            }
        }
    }
    for ((to, sum), scale) in to.iter_mut().zip(sums).zip(scales) {
        *to = layer.range.quantize(*sum as f32 * *scale);
    }
    let Some(table) = layer.table else { return };
    for to in to {
        *to = table_u8::look_up(table, *to);
    }
}

#[inline(always)]
fn accumulate(sums: &mut [i32], pixel: &[u8], weights: &[i8]) {
    for ((sum, value), weight) in sums.iter_mut().zip(pixel).zip(weights) {
        *sum = sum.wrapping_add(i32::from(*value) * i32::from(*weight));
    }
}

fn accumulate_constant(sums: &mut [i32], value: u8, weights: &[i8]) {
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum = sum.wrapping_add(i32::from(value) * i32::from(*weight));
    }
}

#[cfg(test)]
pub(crate) mod tests;
