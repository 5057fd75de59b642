//! Layers of hand-made plans, with random weights.

use crate::reference::{Values, add, for_each_tap, quantize};
use crate::support::{Builder, Noise, f32_tensor, u8_tensor};
use zsseg::math::network::depthwise_u8::{pack_depthwise_i8, packed_depthwise_len};
use zsseg::plan::{Activation, BinaryOp, Constant, Operation, Tensor, TensorIndex, Window};

/// What a depthwise convolution itself is quantised with where a table follows.
const INNER_ZERO: u8 = 87;

/// A window with the same numbers along both axes, padded as much as it reaches around its middle.
pub fn window(kernel: u16, stride: u16, dilation: u16) -> Window {
    let pad = (kernel - 1) * dilation / 2;
    Window {
        kernel_height: kernel,
        kernel_width: kernel,
        stride_y: stride,
        stride_x: stride,
        dilation_y: dilation,
        dilation_x: dilation,
        pad_top: pad,
        pad_left: pad,
    }
}

/// Rows and columns of the output of such a window.
pub fn sides(tensor: &Tensor, window: &Window) -> [u32; 2] {
    let side = |side: u32, stride: u16| (side - 1) / u32::from(stride) + 1;
    [side(tensor.height, window.stride_y), side(tensor.width, window.stride_x)]
}

pub fn bytes_of<T: Copy, const N: usize>(values: &[T], to_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|value| to_bytes(*value)).collect()
}

/// Sums of products, scaled per channel, that fill the range of u8.
pub fn scales(noise: &mut Noise, channels: usize, depth: usize) -> Vec<f32> {
    let unit = 1.0 / (60.0 * 70.0 * (depth as f32).sqrt());
    (0..channels).map(|_| unit * 60.0 * (1.5 + noise.unit())).collect()
}

/// The sum of an output value, without its bias.
pub fn product(
    input: &Values,
    weights: &[i8],
    window: &Window,
    groups: usize,
    zero_point: u8,
    [y, x, c]: [usize; 3],
    columns: usize,
) -> i32 {
    let channels = input.shape[2] / groups;
    let group = c / columns;
    let taps = window.taps();
    let mut sum = 0;
    for_each_tap(window, y, x, |[ky, kx], [py, px]| {
        let tap = ky * usize::from(window.kernel_width) + kx;
        for channel in 0..channels {
            let value = input.inside(py, px, group * channels + channel);
            let value = value.map_or(i32::from(zero_point), |value| value as i32);
            let weight = weights[(c * taps + tap) * channels + channel];
            sum += (value - i32::from(zero_point)) * i32::from(weight);
        }
    });
    sum
}

impl Builder {
    pub fn of(&self, index: TensorIndex) -> Tensor {
        self.tensors[usize::from(index)]
    }

    pub fn floats(&mut self, values: &[f32]) -> Constant {
        self.constant(&bytes_of(values, f32::to_le_bytes))
    }

    pub fn integers(&mut self, values: &[i32]) -> Constant {
        self.constant(&bytes_of(values, i32::to_le_bytes))
    }

    /// A U8 depthwise convolution.
    pub fn depthwise_u8(
        &mut self,
        noise: &mut Noise,
        input: TensorIndex,
        window: Window,
        with_table: bool,
    ) -> TensorIndex {
        let from = self.of(input);
        let [height, width] = sides(&from, &window);
        let output = self.tensor(u8_tensor([height, width, from.channels], 0.03, 119));
        let to = self.of(output);
        let channels = from.channels as usize;
        let kernel = [window.kernel_height.into(), window.kernel_width.into()];
        let taps = window.taps();
        let weights: Vec<i8> = (0..channels * taps).map(|_| noise.next() as i8).collect();
        let mut packed = vec![0; packed_depthwise_len(channels, kernel)];
        pack_depthwise_i8(&weights, channels, kernel, &mut packed);
        let bias: Vec<i32> = (0..channels).map(|_| noise.below(2_000) as i32 - 1_000).collect();
        let scale = scales(noise, channels, taps);
        let zero = i32::from(from.zero_point);
        let sums = weights.chunks(taps).map(|row| row.iter().map(|w| i32::from(*w)).sum::<i32>());
        let folded: Vec<i32> = bias.iter().zip(sums).map(|(b, sum)| b - zero * sum).collect();
        let table = with_table.then(|| noise.bytes(256));
        let constants = [
            self.constant(&bytes_of(&packed, i8::to_le_bytes)),
            self.integers(&folded),
            self.floats(&scale),
            Constant::default(),
            table.as_ref().map(|table| self.constant(table)).unwrap_or_default(),
        ];
        let operation = Operation::Depthwise {
            window,
            activation: Activation::None,
            low: 3,
            high: 250,
            inner_zero_point: INNER_ZERO,
        };
        self.step(
            operation,
            &[input],
            output,
            &constants,
            Box::new(move |inputs| {
                let mut values = Values::zeros(&to);
                values.fill(|y, x, c| {
                    let sum = product(
                        &inputs[0],
                        &weights,
                        &window,
                        channels,
                        from.zero_point,
                        [y, x, c],
                        1,
                    );
                    let zero = if table.is_some() { INNER_ZERO } else { to.zero_point };
                    let value = quantize((sum + bias[c]) as f32 * scale[c], zero, 3, 250);
                    table.as_ref().map_or(value, |table| table[value as usize].into())
                });
                values
            }),
        )
    }

    /// inputs[0] op inputs[1] in U8, into `output`.
    pub fn binary_u8(
        &mut self,
        op: BinaryOp,
        swapped: bool,
        inputs: [TensorIndex; 2],
        output: TensorIndex,
    ) -> TensorIndex {
        let [first, second] = inputs.map(|index| self.of(index));
        let to = self.of(output);
        let operation =
            Operation::Binary { op, swapped, activation: Activation::None, low: 2, high: 251 };
        self.step(
            operation,
            &inputs,
            output,
            &[],
            Box::new(move |inputs| {
                let mut values = Values::zeros(&to);
                values.fill(|y, x, c| {
                    let [height, width, channels] = inputs[1].shape;
                    let a = inputs[0].at(y, x, c);
                    let b = inputs[1].at(y.min(height - 1), x.min(width - 1), c.min(channels - 1));
                    let (ra, rb) = (first.scale / to.scale, second.scale / to.scale);
                    let (ra, rb) = match (op, swapped) {
                        (BinaryOp::Subtract, false) => (ra, -rb),
                        (BinaryOp::Subtract, true) => (-ra, rb),
                        _ => (ra, rb),
                    };
                    if op == BinaryOp::Multiply {
                        let product =
                            (a - f64::from(first.zero_point)) * (b - f64::from(second.zero_point));
                        let ratio = first.scale * second.scale / to.scale;
                        return quantize(product as f32 * ratio, to.zero_point, 2, 251);
                    }
                    add(
                        [(a, first.zero_point, ra), (b, second.zero_point, rb)],
                        to.zero_point,
                        2,
                        251,
                    )
                });
                values
            }),
        )
    }

    /// A look-up, into `output`.
    pub fn table_u8(
        &mut self,
        noise: &mut Noise,
        input: TensorIndex,
        output: TensorIndex,
    ) -> TensorIndex {
        let table = noise.bytes(256);
        let constant = self.constant(&table);
        let operation = Operation::Unary { activation: Activation::None };
        self.step(
            operation,
            &[input],
            output,
            &[constant],
            Box::new(move |inputs| {
                let mut values = inputs[0].clone();
                values.data.iter_mut().for_each(|value| *value = table[*value as usize].into());
                values
            }),
        )
    }

    /// A pool in U8.
    pub fn pool_u8(
        &mut self,
        input: TensorIndex,
        window: Window,
        mean: Option<bool>,
    ) -> TensorIndex {
        let from = self.of(input);
        let [height, width] = sides(&from, &window);
        let shape = [height, width, from.channels];
        let output = match mean {
            None => self.tensor(u8_tensor(shape, from.scale, from.zero_point)),
            Some(_) => self.tensor(u8_tensor(shape, from.scale * 0.7, 90)),
        };
        let to = self.of(output);
        let operation = match mean {
            None => Operation::MaxPool { window },
            Some(count_include_pad) => Operation::AveragePool { window, count_include_pad },
        };
        self.step(
            operation,
            &[input],
            output,
            &[],
            Box::new(move |inputs| {
                let mut values = Values::zeros(&to);
                values.fill(|y, x, c| {
                    let (mut sum, mut inside, mut most) = (0.0, 0, 0.0f64);
                    for_each_tap(&window, y, x, |_, [py, px]| {
                        if let Some(value) = inputs[0].inside(py, px, c) {
                            (sum, inside, most) = (sum + value, inside + 1, most.max(value));
                        }
                    });
                    let Some(with_padding) = mean else { return most };
                    let count = if with_padding { window.taps() } else { inside };
                    let sum = sum - f64::from(inside as u32) * f64::from(from.zero_point);
                    let factor = from.scale / to.scale / count as f32;
                    quantize(sum as f32 * factor, to.zero_point, 0, 255)
                });
                values
            }),
        )
    }

    /// The mean over all pixels.
    pub fn global_average_u8(&mut self, input: TensorIndex) -> TensorIndex {
        let from = self.of(input);
        let output = self.tensor(u8_tensor([1, 1, from.channels], from.scale * 0.5, 100));
        let to = self.of(output);
        self.step(
            Operation::GlobalAverage,
            &[input],
            output,
            &[],
            Box::new(move |inputs| {
                let mut values = Values::zeros(&to);
                let count = from.pixels();
                values.fill(|_, _, c| {
                    let pixels = inputs[0].data.iter().skip(c).step_by(from.channels as usize);
                    let sum = pixels.sum::<f64>() - count as f64 * f64::from(from.zero_point);
                    let factor = from.scale / to.scale / count as f32;
                    quantize(sum as f32 * factor, to.zero_point, 0, 255)
                });
                values
            }),
        )
    }

    /// To floats, and back to another quantisation.
    pub fn there_and_back(&mut self, input: TensorIndex) -> TensorIndex {
        let from = self.of(input);
        let middle = self.tensor(f32_tensor(from.shape()));
        self.step(
            Operation::Dequantize,
            &[input],
            middle,
            &[],
            Box::new(move |inputs| {
                let mut values = inputs[0].clone();
                for value in &mut values.data {
                    *value = f64::from((*value as f32 - f32::from(from.zero_point)) * from.scale);
                }
                values
            }),
        );
        let output = self.tensor(u8_tensor(from.shape(), from.scale * 1.3, 140));
        let to = self.of(output);
        self.step(
            Operation::Quantize,
            &[middle],
            output,
            &[],
            Box::new(move |inputs| {
                let mut values = inputs[0].clone();
                for value in &mut values.data {
                    *value = quantize(*value as f32 / to.scale, to.zero_point, 0, 255);
                }
                values
            }),
        )
    }

    /// A step that only moves values, and where each comes from: `None` for `value`.
    pub fn moved(
        &mut self,
        operation: Operation,
        input: TensorIndex,
        shape: [u32; 3],
        value: f64,
        from: impl Fn([usize; 3]) -> Option<[usize; 3]> + 'static,
    ) -> TensorIndex {
        let output = self.tensor(Tensor { ..dense(self.of(input), shape) });
        let to = self.of(output);
        self.step(
            operation,
            &[input],
            output,
            &[],
            Box::new(move |inputs| {
                let mut values = Values::zeros(&to);
                values.fill(|y, x, c| {
                    from([y, x, c]).map_or(value, |[y, x, c]| inputs[0].at(y, x, c))
                });
                values
            }),
        )
    }
}

/// A tensor of another shape, without a parent.
pub fn dense(tensor: Tensor, shape: [u32; 3]) -> Tensor {
    let [height, width, channels] = shape;
    let parent = zsseg::plan::NO_TENSOR;
    Tensor { height, width, channels, pixel_stride: channels, parent, offset_bytes: 0, ..tensor }
}
