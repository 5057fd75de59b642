//! Convolutions of hand-made plans, with random weights.

use crate::layers::{bytes_of, product, scales};
use crate::reference::{Values, add, for_each_tap, quantize};
use crate::support::{Builder, Noise};
use zsseg::math::network::conv_f32::{pack_conv_f16, pack_conv_f32, packed_conv_len};
use zsseg::math::network::conv_shape::{
    ConvShape, pack_conv_i8, packed_conv_i8_len, tap_sums_i8, tap_sums_len,
};
use zsseg::plan::{Activation, Constant, Element, Operation, Tensor, TensorIndex, Window};

/// A convolution to be added.
#[derive(Clone, Copy)]
pub struct Conv {
    pub window: Window,
    pub groups: u32,
    pub depth_align: u8,
    pub skips_taps: bool,
    pub table: bool,
    pub residual: Option<TensorIndex>,
}

impl Conv {
    pub fn of(window: Window) -> Conv {
        let residual = None;
        Conv { window, groups: 1, depth_align: 4, skips_taps: false, table: false, residual }
    }

    fn shape(&self, from: &Tensor, to: &Tensor) -> ConvShape {
        let Window { kernel_height, kernel_width, stride_y, stride_x, .. } = self.window;
        let Window { dilation_y, dilation_x, pad_top, pad_left, .. } = self.window;
        ConvShape {
            kernel: [kernel_height.into(), kernel_width.into()],
            stride: [stride_y.into(), stride_x.into()],
            dilation: [dilation_y.into(), dilation_x.into()],
            padding: [pad_top.into(), pad_left.into()],
            groups: self.groups as usize,
            channels: (from.channels / self.groups) as usize,
            columns: (to.channels / self.groups) as usize,
        }
    }
}

/// Numbers per column as kernels want them: per group, padded to 16.
fn padded<T: Copy>(values: &[T], groups: usize, padding: T) -> Vec<T> {
    let columns = values.len() / groups;
    let mut all = Vec::new();
    for group in values.chunks(columns) {
        all.extend_from_slice(group);
        all.resize(all.len() + columns.next_multiple_of(16) - columns, padding);
    }
    all
}

/// The numbers of an integer convolution, and what becomes of its sums.
struct ConvU8 {
    conv: Conv,
    tensors: [Tensor; 2],
    residual: Option<Tensor>,
    weights: Vec<i8>,
    bias: Vec<i32>,
    scale: Vec<f32>,
    table: Option<Vec<u8>>,
    range: [u8; 2],
    inner: (f32, u8),
}

impl ConvU8 {
    fn random(noise: &mut Noise, conv: Conv, tensors: [Tensor; 2]) -> ConvU8 {
        let [from, to] = tensors;
        let channels = to.channels as usize;
        let depth = (from.channels / conv.groups) as usize * conv.window.taps();
        ConvU8 {
            conv,
            tensors,
            residual: None,
            weights: (0..channels * depth).map(|_| noise.next() as i8).collect(),
            bias: (0..channels).map(|_| noise.below(20_000) as i32 - 10_000).collect(),
            scale: scales(noise, channels, depth),
            table: conv.table.then(|| noise.bytes(256)),
            range: [noise.below(20) as u8, 255 - noise.below(20) as u8],
            inner: (to.scale * 1.25, noise.below(200) as u8),
        }
    }

    fn bias_f32(&self, channel: usize) -> f32 {
        self.bias[channel] as f32 * 1e-3
    }

    fn constants(&self, builder: &mut Builder) -> [Constant; 5] {
        let [from, to] = self.tensors;
        let (shape, step) = (self.conv.shape(&from, &to), usize::from(self.conv.depth_align));
        let mut packed = vec![0; packed_conv_i8_len(&shape, step)];
        assert!(pack_conv_i8(&shape, &self.weights, step, &mut packed));
        let rows = self.weights.chunks(self.weights.len() / self.bias.len());
        let sums = rows.map(|row| row.iter().map(|weight| i32::from(*weight)).sum::<i32>());
        let corrections: Vec<i32> = sums.map(|sum| -i32::from(from.zero_point) * sum).collect();
        let folded: Vec<i32> = self.bias.iter().zip(&corrections).map(|(b, c)| b + c).collect();
        let floats: Vec<f32> = (0..self.bias.len()).map(|c| self.bias_f32(c)).collect();
        let groups = shape.groups;
        let mut constants = [Constant::default(); 5];
        constants[0] = builder.constant(&bytes_of(&packed, i8::to_le_bytes));
        constants[2] = builder.floats(&padded(&self.scale, groups, 1.0));
        if self.conv.skips_taps {
            let mut sums = vec![0; tap_sums_len(&shape, step)];
            assert!(tap_sums_i8(&shape, &self.weights, step, &mut sums));
            constants[3] = builder.integers(&sums);
        }
        if to.element == Element::F32 {
            constants[1] = builder.floats(&padded(&floats, groups, 0.0));
            constants[4] = builder.integers(&padded(&corrections, groups, 0));
        } else {
            constants[1] = builder.integers(&padded(&folded, groups, 0));
            constants[4] =
                self.table.as_ref().map(|table| builder.constant(table)).unwrap_or_default();
        }
        constants
    }

    fn look_up(&self, value: f64) -> f64 {
        self.table.as_ref().map_or(value, |table| table[value as usize].into())
    }

    fn value(&self, inputs: &[Values], [y, x, c]: [usize; 3]) -> f64 {
        let [from, to] = self.tensors;
        let groups = self.conv.groups as usize;
        let columns = to.channels as usize / groups;
        let (window, zero) = (&self.conv.window, from.zero_point);
        let sum = product(&inputs[0], &self.weights, window, groups, zero, [y, x, c], columns);
        if to.element == Element::F32 {
            return f64::from(sum as f32 * self.scale[c] + self.bias_f32(c));
        }
        let steps = (sum + self.bias[c]) as f32 * self.scale[c];
        let [low, high] = self.range;
        let Some(residual) = self.residual else {
            let zero = if self.table.is_some() { self.inner.1 } else { to.zero_point };
            return self.look_up(quantize(steps, zero, low, high));
        };
        let (inner_scale, inner_zero) = self.inner;
        let inner = self.look_up(quantize(steps, inner_zero, 0, 255));
        let first = (inner, inner_zero, inner_scale / to.scale);
        let second = (inputs[1].at(y, x, c), residual.zero_point, residual.scale / to.scale);
        add([first, second], to.zero_point, low, high)
    }
}

impl Builder {
    /// A U8 convolution into `output`.
    pub fn conv_u8(
        &mut self,
        noise: &mut Noise,
        input: TensorIndex,
        output: TensorIndex,
        conv: Conv,
    ) -> TensorIndex {
        let to = self.of(output);
        let mut numbers = ConvU8::random(noise, conv, [self.of(input), to]);
        numbers.residual = conv.residual.map(|index| self.of(index));
        let constants = numbers.constants(self);
        let operation = Operation::Convolution {
            window: conv.window,
            groups: conv.groups,
            weights_f16: false,
            activation: Activation::None,
            low: numbers.range[0],
            high: numbers.range[1],
            inner_scale: numbers.inner.0,
            inner_zero_point: numbers.inner.1,
            residual_after_activation: false,
            depth_align: conv.depth_align,
        };
        let inputs: Vec<TensorIndex> = [input].into_iter().chain(conv.residual).collect();
        let expected = move |inputs: &[Values]| {
            let mut values = Values::zeros(&to);
            values.fill(|y, x, c| numbers.value(inputs, [y, x, c]));
            values
        };
        self.step(operation, &inputs, output, &constants, Box::new(expected))
    }

    fn packed_f32(
        &mut self,
        weights: &[f32],
        [columns, channels, taps, groups]: [usize; 4],
        to_f16: bool,
    ) -> Constant {
        let len = packed_conv_len(columns, channels, taps, groups);
        if to_f16 {
            let mut packed = vec![0u16; len];
            assert!(pack_conv_f16(weights, columns, channels, taps, groups, &mut packed));
            return self.constant(&bytes_of(&packed, u16::to_le_bytes));
        }
        let mut packed = vec![0.0; len];
        assert!(pack_conv_f32(weights, columns, channels, taps, groups, &mut packed));
        self.floats(&packed)
    }

    /// A convolution in floats into `output`.
    pub fn conv_f32(
        &mut self,
        noise: &mut Noise,
        input: TensorIndex,
        output: TensorIndex,
        (window, groups, weights_f16): (Window, u32, bool),
        residual: Option<TensorIndex>,
    ) -> TensorIndex {
        let (from, to) = (self.of(input), self.of(output));
        let channels = (from.channels / groups) as usize;
        let columns = (to.channels / groups) as usize;
        let taps = window.taps();
        let weights: Vec<f32> = (0..to.channels as usize * channels * taps)
            // Numbers that f16 holds exactly.
            .map(|_| (noise.unit() * 32.0).round() / 64.0)
            .collect();
        let bias: Vec<f32> = (0..to.channels).map(|_| noise.unit()).collect();
        let sizes = [to.channels as usize, channels, taps, groups as usize];
        let constants = [self.packed_f32(&weights, sizes, weights_f16), self.floats(&bias)];
        let after = noise.below(2) == 1;
        let operation = Operation::Convolution {
            window,
            groups,
            weights_f16,
            activation: Activation::Clip { low: 0.0, high: f32::INFINITY },
            low: 0,
            high: 255,
            inner_scale: 1.0,
            inner_zero_point: 0,
            residual_after_activation: after,
            depth_align: 4,
        };
        let inputs: Vec<TensorIndex> = [input].into_iter().chain(residual).collect();
        self.step(
            operation,
            &inputs,
            output,
            &constants,
            Box::new(move |inputs| {
                let mut values = Values::zeros(&to);
                values.fill(|y, x, c| {
                    let mut sum = f64::from(bias[c]);
                    for_each_tap(&window, y, x, |[ky, kx], [py, px]| {
                        let tap = ky * usize::from(window.kernel_width) + kx;
                        for channel in 0..channels {
                            let value = inputs[0].inside(py, px, c / columns * channels + channel);
                            let weight = weights[(c * channels + channel) * taps + tap];
                            sum += value.unwrap_or(0.0) * f64::from(weight);
                        }
                    });
                    let added = inputs.get(1).map_or(0.0, |residual| residual.at(y, x, c));
                    if after { sum.max(0.0) + added } else { (sum + added).max(0.0) }
                });
                values
            }),
        )
    }
}
