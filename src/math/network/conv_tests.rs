//! Convolutions with every product kernel against plain loops, bit for bit.

use super::conv_shape::{ConvShape, pack_conv_i8, packed_conv_i8_len, tap_sums_i8, tap_sums_len};
use super::conv_u8::{ConvOut, ConvU8, conv_u8, conv_u8_scratch_len};
use super::gemm_out::{Places, Requantize, Residual};
use super::gemm_tests::{Bytes, added, kernels, requantized};
use super::view::{View, ViewMut};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// Bytes whose first is at a multiple of 64.
fn aligned(bytes: &mut Vec<u8>, len: usize) -> &mut [u8] {
    bytes.resize(len + 64, 0);
    let start = bytes.as_ptr().align_offset(64);
    &mut bytes[start..start + len]
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    let pair = |range: core::ops::Range<usize>| [range.clone(), range];
    (
        (pair(1..4), pair(1..4), pair(1..7), pair(0..8)),
        prop_oneof![3 => Just(1usize), 1 => 2usize..4],
        prop_oneof![1usize..8, 8usize..40, 64usize..70],
        1usize..40,
    )
        .prop_map(|((kernel, stride, dilation, padding), groups, channels, columns)| {
            ConvShape { kernel, stride, dilation, padding, groups, channels, columns }
        })
}

/// The layer's sum before requantisation: activations less their zero point times weights.
fn sum(
    shape: &ConvShape,
    input: &View<'_, u8>,
    zero_point: u8,
    weights: &[i8],
    at: [usize; 3],
) -> i32 {
    let [y, x, channel] = at;
    let group = channel / shape.columns;
    let mut sum = 0;
    for row in 0..shape.kernel[0] {
        for column in 0..shape.kernel[1] {
            let y = (y * shape.stride[0] + row * shape.dilation[0]).checked_sub(shape.padding[0]);
            let x =
                (x * shape.stride[1] + column * shape.dilation[1]).checked_sub(shape.padding[1]);
            let (Some(y), Some(x)) = (y, x) else { continue };
            if y >= input.height || x >= input.width {
                continue;
            }
            for depth in 0..shape.channels {
                let place =
                    (y * input.width + x) * input.pixel_stride + group * shape.channels + depth;
                let weight = ((channel * shape.kernel[0] + row) * shape.kernel[1] + column)
                    * shape.channels
                    + depth;
                let value = i32::from(input.data[place]) - i32::from(zero_point);
                sum += value * i32::from(weights[weight]);
            }
        }
    }
    sum
}

struct Numbers {
    weights: Vec<i8>,
    packed: Vec<i8>,
    tap_sums: Vec<i32>,
    layer_bias: Vec<i32>,
    bias: Vec<i32>,
    scale: Vec<f32>,
}

impl Numbers {
    fn new(bytes: &mut Bytes, shape: &ConvShape, step: usize, zero_point: u8) -> Self {
        let row = shape.kernel[0] * shape.kernel[1] * shape.channels;
        let weights = bytes.i8s(shape.groups * shape.columns * row);
        let mut packed = vec![99; packed_conv_i8_len(shape, step)];
        assert!(pack_conv_i8(shape, &weights, step, &mut packed));
        let mut tap_sums = vec![99; tap_sums_len(shape, step)];
        assert!(tap_sums_i8(shape, &weights, step, &mut tap_sums));
        let padded = shape.columns.next_multiple_of(16);
        let layer_bias: Vec<i32> =
            (0..shape.groups * shape.columns).map(|_| bytes.next() as i32 % 10_000).collect();
        let mut bias = vec![0; shape.groups * padded];
        for (channel, (layer, weights)) in layer_bias.iter().zip(weights.chunks(row)).enumerate() {
            let sum: i32 = weights.iter().map(|weight| i32::from(*weight)).sum();
            let place = channel / shape.columns * padded + channel % shape.columns;
            bias[place] = layer - i32::from(zero_point) * sum;
        }
        let scale = bytes.scales(bias.len());
        Numbers { weights, packed, tap_sums, layer_bias, bias, scale }
    }

    fn scale(&self, shape: &ConvShape, channel: usize) -> f32 {
        let padded = shape.columns.next_multiple_of(16);
        self.scale[channel / shape.columns * padded + channel % shape.columns]
    }
}

/// Output side for an input side, at least 1.
fn side(shape: &ConvShape, axis: usize, size: usize) -> usize {
    let reach = (shape.kernel[axis] - 1) * shape.dilation[axis] + 1;
    let room = size + 2 * shape.padding[axis];
    room.saturating_sub(reach) / shape.stride[axis] + 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn equals_plain_loops(
        shape in shapes(),
        sides in [1usize..24, 1usize..24],
        seed: u64,
        tiles: bool,
        skips: bool,
        extra in 0usize..3,
        pixels in 1usize..150,
    ) {
        let bytes = &mut Bytes(seed);
        let step = if tiles { 64 } else { 4 };
        let zero_point = bytes.next() as u8;
        let numbers = Numbers::new(bytes, &shape, step, zero_point);
        let [height, width] = sides;
        let channels = shape.channels * shape.groups;
        let pixel_stride = channels + 5 * extra;
        let data = bytes.u8s(height * width * pixel_stride + 64);
        let input = View { data: &data, height, width, channels, pixel_stride };
        let (out_height, out_width) = (side(&shape, 0, height), side(&shape, 1, width));
        let columns = shape.columns * shape.groups;
        let out_stride = columns + 3 * extra;
        let other = bytes.u8s(out_height * out_width * out_stride);
        let requantize = Requantize {
            scale: &numbers.scale, zero_point: 9, low: 3, high: 250, table: None,
        };
        let residual = Residual {
            data: &other, places: Places::uniform(out_stride), zero_point_q: 9, ratio_q: 0.7,
            zero_point_r: 100, ratio_r: 0.4, zero_point: 80, low: 0, high: 255,
        };
        let residual = bytes.next().is_multiple_of(2).then_some(residual);
        let cut = bytes.next() as usize % (out_height + 1);
        let mut expected = vec![1; out_height * out_width * out_stride];
        for pixel in 0..out_height * out_width {
            for channel in 0..columns {
                let at = [pixel / out_width, pixel % out_width, channel];
                let sum = sum(&shape, &input, zero_point, &numbers.weights, at);
                let sum = sum + numbers.layer_bias[channel];
                let q = requantized(sum, numbers.scale(&shape, channel), &requantize);
                let place = pixel * out_stride + channel;
                expected[place] = residual.map_or(q, |residual| added(q, other[place], &residual));
            }
        }
        let conv = ConvU8 {
            shape, weights: &numbers.packed, depth_step: step, bias: &numbers.bias,
            tap_sums: if skips { &numbers.tap_sums } else { &[] }, input_zero_point: zero_point,
        };
        for (name, kernel) in kernels() {
            let mut data = vec![1; expected.len()];
            let map = ViewMut {
                data: &mut data,
                height: out_height,
                width: out_width,
                channels: columns,
                pixel_stride: out_stride,
            };
            let mut out = ConvOut::U8 { map, requantize, residual };
            let mut scratch = Vec::new();
            let scratch = aligned(&mut scratch, conv_u8_scratch_len(&shape, step, pixels));
            for rows in [0..cut, cut..out_height] {
                scratch.fill(0xa5);
                prop_assert!(conv_u8(&conv, kernel, input, &mut out, rows, scratch), "{name}");
            }
            prop_assert!(data == expected, "{name}");
        }
    }
}
