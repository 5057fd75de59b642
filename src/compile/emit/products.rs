//! Convolutions and matrix products, with their weights packed for the kernels.

use super::super::graph::{self, Convolution, MatrixProduct, Node, Quantization, Strides};
use super::super::weights::integers_of;
use super::{Emitter, unsupported};
use crate::math::network::conv_f32::{pack_conv_f16, pack_conv_f32, packed_conv_len};
use crate::math::network::conv_shape::{
    ConvShape, pack_conv_i8, packed_conv_i8_len, tap_sums_i8, tap_sums_len,
};
use crate::math::network::depthwise_u8::{pack_depthwise_i8, packed_depthwise_len};
use crate::plan::{Activation, Constant, MatrixStrides, NO_TENSOR, Operation, TensorIndex, Window};
use crate::status::{Result, Status};
use half::f16;
use std::vec;
use std::vec::Vec;

/// Columns that kernels compute together.
const BLOCK_COLUMNS: usize = 16;
/// Depths of this many values and more are padded to whole tiles, which the fastest kernels need.
const LEAST_TILED_DEPTH: usize = 48;
/// Depth of a tile.
const TILE_DEPTH: u8 = 64;
/// Distance of a bias from a whole number of steps that its dequantisation may have caused.
const BIAS_ERROR: f64 = 1e-3;
/// The same, for large ones.
const RELATIVE_BIAS_ERROR: f64 = 1e-6;
/// Depth of a dot product of four.
const QUAD_DEPTH: u8 = 4;

/// A window in the plan's numbers.
pub(super) fn window(window: &graph::Window) -> Result<Window> {
    let short =
        |value: usize| u16::try_from(value).map_err(|_| Status::LimitExceeded.about("window"));
    Ok(Window {
        kernel_height: short(window.kernel[0])?,
        kernel_width: short(window.kernel[1])?,
        stride_y: short(window.stride[0])?,
        stride_x: short(window.stride[1])?,
        dilation_y: short(window.dilation[0])?,
        dilation_x: short(window.dilation[1])?,
        pad_top: short(window.pad_before[0])?,
        pad_left: short(window.pad_before[1])?,
    })
}

/// Weights, biases and scales of a layer in integers, channels in the order of the model.
struct IntegerLayer {
    steps: Vec<i8>,
    bias: Vec<i32>,
    scales: Vec<f32>,
    /// Bias of a result in floats.
    float_bias: Vec<f32>,
}

impl IntegerLayer {
    fn of(
        convolution: &Convolution,
        input: Quantization,
        output: Option<Quantization>,
    ) -> Result<IntegerLayer> {
        let per_output = convolution.weights_per_output();
        let found = integers_of(&convolution.weights, per_output);
        let found = found.ok_or(unsupported("weights that are not quantised"))?;
        let mut layer = IntegerLayer {
            steps: found.steps,
            bias: Vec::new(),
            scales: Vec::new(),
            float_bias: Vec::new(),
        };
        let channels = layer.steps.chunks(per_output).zip(&found.scales).zip(&convolution.bias);
        let mut finer = Vec::with_capacity(layer.steps.len());
        for ((steps, &scale), &bias) in channels {
            let sum_scale = f64::from(input.scale) * f64::from(scale);
            let largest = steps.iter().fold(1, |most, step| step.unsigned_abs().max(most));
            let factor = match output {
                Some(_) => refinement(f64::from(bias) / sum_scale, i8::MAX as u8 / largest),
                None => 1,
            };
            let scale = scale / f32::from(factor);
            finer.extend(steps.iter().map(|step| step * factor as i8));
            let steps = &finer[finer.len() - steps.len()..];
            let total: i64 = steps.iter().map(|&step| i64::from(step)).sum();
            let offset = -i64::from(input.zero_point) * total;
            let unit = f64::from(input.scale) * f64::from(scale);
            let whole = match output {
                Some(_) => (f64::from(bias) / unit).round_ties_even() as i64,
                None => 0,
            };
            let sum = (whole + offset).clamp(i32::MIN.into(), i32::MAX.into());
            layer.bias.push(sum as i32);
            let target = output.map_or(1.0, |output| output.scale);
            layer.scales.push(input.scale * scale / target);
            layer.float_bias.push(bias);
        }
        layer.steps = finer;
        Ok(layer)
    }
}

/// By how much smaller steps must be for a bias of so many to be a whole number of them, up to
/// `most`; where none does, the smallest steps come nearest.
fn refinement(bias: f64, most: u8) -> u8 {
    let is_whole = |factor: &u8| {
        let steps = bias * f64::from(*factor);
        (steps - steps.round_ties_even()).abs() <= BIAS_ERROR.max(steps.abs() * RELATIVE_BIAS_ERROR)
    };
    (1..=most).find(is_whole).unwrap_or(most)
}

/// Values per channel with each group padded to whole blocks of columns.
fn padded<T: Copy>(values: &[T], groups: usize, fill: T) -> Vec<T> {
    let per_group = (values.len() / groups).max(1);
    let padded = per_group.next_multiple_of(BLOCK_COLUMNS);
    let group = |group: &[T]| {
        let mut group = group.to_vec();
        group.resize(padded, fill);
        group
    };
    values.chunks(per_group).flat_map(group).collect()
}

/// Limits of a quantised result that stand for those of a clip.
fn limits(activation: Activation, output: Quantization) -> Result<(u8, u8)> {
    match activation {
        Activation::None => Ok((0, 255)),
        Activation::Clip { low, high } => Ok((output.quantized(low), output.quantized(high))),
        _ => Err(unsupported("activation of a convolution in integers")),
    }
}

/// Filters of `taps * channels` weights with the channels before the taps.
fn taps_last(weights: &[f32], taps: usize, channels: usize) -> Vec<f32> {
    let filter = |filter: &[f32]| -> Vec<f32> {
        let places = (0..channels).flat_map(|c| (0..taps).map(move |tap| tap * channels + c));
        places.map(|place| filter[place]).collect()
    };
    weights.chunks(taps * channels).flat_map(filter).collect()
}

impl Emitter<'_> {
    pub(super) fn convolution(&mut self, node: &Node, convolution: &Convolution) -> Result<()> {
        let [_, _, channels] = convolution.output;
        let mut input = self.read(node.inputs[0])?;
        let mut shape = convolution.output;
        let have = self.shape(input);
        let pixels = |shape: [usize; 3]| shape[0] * shape[1];
        if have != convolution.input {
            let same = have[2] == convolution.input[2] && pixels(have) == pixels(convolution.input);
            if convolution.window.is_point() && same {
                shape = [have[0], have[1], channels];
            } else {
                input = self.shaped(node.inputs[0], convolution.input)?;
            }
        }
        let mut inputs = vec![input];
        if let Some(&residual) = node.inputs.get(1) {
            inputs.push(self.shaped(residual, shape)?);
        }
        let output = self.activation(node.output, shape)?;
        let macs = (convolution.weights.len() * pixels(shape)) as u64;
        match self.quantization(node.inputs[0]) {
            Some(grid) => self.integer_convolution(node, convolution, grid, &inputs, output, macs),
            None => self.float_convolution(convolution, &inputs, output, macs),
        }
    }

    fn integer_convolution(
        &mut self,
        node: &Node,
        convolution: &Convolution,
        input: Quantization,
        inputs: &[TensorIndex],
        output: TensorIndex,
        macs: u64,
    ) -> Result<()> {
        let target = self.quantization(node.output);
        let inner = convolution.inner.or(target);
        let layer = IntegerLayer::of(convolution, input, inner)?;
        let (low, high) = match inner {
            Some(inner) => limits(convolution.activation, inner)?,
            None => (0, 255),
        };
        let table = match &convolution.table {
            Some(table) => self.constants.add(&table[..]),
            None => Constant::default(),
        };
        let window = window(&convolution.window)?;
        if convolution.is_depthwise() && target.is_some() {
            let kernel = convolution.window.kernel;
            let mut packed = vec![0; packed_depthwise_len(convolution.input[2], kernel)];
            pack_depthwise_i8(&layer.steps, convolution.input[2], kernel, &mut packed);
            let constants = [
                self.constants.add_i8(&packed),
                self.constants.add_i32(&layer.bias),
                self.constants.add_f32(&layer.scales),
                Constant::default(),
                table,
            ];
            let operation = Operation::Depthwise {
                window,
                activation: Activation::None,
                low,
                high,
                inner_zero_point: inner.map_or(0, |inner| inner.zero_point),
            };
            return self.step(operation, inputs, output, &constants, macs);
        }
        let groups = convolution.groups;
        let shape = ConvShape {
            kernel: convolution.window.kernel,
            stride: convolution.window.stride,
            dilation: convolution.window.dilation,
            padding: convolution.window.pad_before,
            groups,
            channels: convolution.input[2] / groups,
            columns: convolution.output[2] / groups,
        };
        let depth_align = match convolution.weights_per_output() {
            depth if depth >= LEAST_TILED_DEPTH => TILE_DEPTH,
            _ => QUAD_DEPTH,
        };
        let step = usize::from(depth_align);
        let mut packed = vec![0; packed_conv_i8_len(&shape, step)];
        let mut sums = vec![0; tap_sums_len(&shape, step)];
        if !pack_conv_i8(&shape, &layer.steps, step, &mut packed) {
            return Err(unsupported("sides of a convolution"));
        }
        let pads =
            convolution.window.pad_before != [0, 0] || convolution.window.pad_after != [0, 0];
        if pads && !tap_sums_i8(&shape, &layer.steps, step, &mut sums) {
            return Err(unsupported("sides of a convolution"));
        }
        let whole_bias = self.constants.add_i32(&padded(&layer.bias, groups, 0));
        let (bias, last) = match target {
            Some(_) => (whole_bias, table),
            None => (self.constants.add_f32(&padded(&layer.float_bias, groups, 0.0)), whole_bias),
        };
        let constants = [
            self.constants.add_i8(&packed),
            bias,
            self.constants.add_f32(&padded(&layer.scales, groups, 1.0)),
            if pads { self.constants.add_i32(&sums) } else { Constant::default() },
            last,
        ];
        let inner = inner.unwrap_or(Quantization { scale: 1.0, zero_point: 0 });
        let operation = Operation::Convolution {
            window,
            groups: groups as u32,
            weights_f16: false,
            activation: Activation::None,
            low,
            high,
            inner_scale: inner.scale,
            inner_zero_point: inner.zero_point,
            residual_after_activation: false,
            depth_align,
        };
        self.step(operation, inputs, output, &constants, macs)
    }

    fn float_convolution(
        &mut self,
        convolution: &Convolution,
        inputs: &[TensorIndex],
        output: TensorIndex,
        macs: u64,
    ) -> Result<()> {
        let window = window(&convolution.window)?;
        let kernel = convolution.window.kernel;
        let bias = self.constants.add_f32(&convolution.bias);
        let slopes = self.constants.add_f32(&convolution.slopes);
        let activation = convolution.activation;
        if convolution.is_depthwise() {
            let weights = self.float_depthwise(convolution, kernel);
            let constants = [weights, bias, Constant::default(), Constant::default(), slopes];
            let operation =
                Operation::Depthwise { window, activation, low: 0, high: 255, inner_zero_point: 0 };
            return self.step(operation, inputs, output, &constants, macs);
        }
        let groups = convolution.groups;
        let taps = kernel[0] * kernel[1];
        let channels = convolution.input[2] / groups;
        let weights = taps_last(&convolution.weights, taps, channels);
        let weights = self.float_weights(&weights, [convolution.output[2], channels, taps, groups]);
        let weights = weights?;
        let constants = [weights, bias, Constant::default(), Constant::default(), slopes];
        let operation = Operation::Convolution {
            window,
            groups: groups as u32,
            weights_f16: self.settings.weights_f16,
            activation,
            low: 0,
            high: 255,
            inner_scale: 1.0,
            inner_zero_point: 0,
            residual_after_activation: convolution.residual_after_activation,
            depth_align: QUAD_DEPTH,
        };
        self.step(operation, inputs, output, &constants, macs)
    }

    /// Packs weights of a dense layer: output channels, channels and taps of each, groups.
    fn float_weights(&mut self, weights: &[f32], sides: [usize; 4]) -> Result<Constant> {
        let [channels_out, channels, taps, groups] = sides;
        let len = packed_conv_len(channels_out, channels, taps, groups);
        let misfit = unsupported("sides of a convolution");
        if !self.settings.weights_f16 {
            let mut packed = vec![0.0; len];
            let fits = pack_conv_f32(weights, channels_out, channels, taps, groups, &mut packed);
            return fits.then(|| self.constants.add_f32(&packed)).ok_or(misfit);
        }
        if weights.iter().any(|weight| weight.abs() > f16::MAX.to_f32()) {
            return Err(unsupported("weights beyond f16"));
        }
        let mut packed = vec![0; len];
        let fits = pack_conv_f16(weights, channels_out, channels, taps, groups, &mut packed);
        fits.then(|| self.constants.add_u16(&packed)).ok_or(misfit)
    }

    fn float_depthwise(&mut self, convolution: &Convolution, kernel: [usize; 2]) -> Constant {
        let (channels, taps) = (convolution.input[2], kernel[0] * kernel[1]);
        let padded = channels.next_multiple_of(BLOCK_COLUMNS);
        let mut packed = vec![0.0; padded * taps];
        for (channel, weights) in convolution.weights.chunks(taps).enumerate() {
            for (tap, &weight) in weights.iter().enumerate() {
                packed[tap * padded + channel] = weight;
            }
        }
        self.constants.add_f32(&packed)
    }

    pub(super) fn matrix_product(&mut self, node: &Node, product: &MatrixProduct) -> Result<()> {
        let number =
            |value: usize| u32::try_from(value).map_err(|_| Status::LimitExceeded.about("matrix"));
        let strides = |strides: Strides| -> Result<MatrixStrides> {
            Ok(MatrixStrides {
                batch: number(strides.batch)?,
                row: number(strides.row)?,
                column: number(strides.column)?,
            })
        };
        let operation = Operation::MatrixProduct {
            batch: number(product.batch)?,
            rows: number(product.rows)?,
            depth: number(product.depth)?,
            columns: number(product.columns)?,
            left: strides(product.left)?,
            right: strides(product.right)?,
            output: strides(product.output)?,
            factor: product.factor,
        };
        let inputs = [self.dense(node, 0)?, self.dense(node, 1)?];
        let dims = &self.graph.value(node.output).dims;
        let output = self.activation(node.output, super::canonical(dims))?;
        let macs = (product.batch * product.rows * product.depth * product.columns) as u64;
        self.step(operation, &inputs, output, &[], macs)
    }

    /// An operand without gaps between its pixels.
    fn dense(&mut self, node: &Node, slot: usize) -> Result<TensorIndex> {
        let id = node.inputs[slot];
        let index = self.read(id)?;
        if self.at(index).is_dense() && self.at(index).parent == NO_TENSOR {
            return Ok(index);
        }
        let shape = self.shape(index);
        let copy = self.tensor(self.quantization(id), shape)?;
        self.step(Operation::Copy, &[index], copy, &[], 0)?;
        Ok(copy)
    }

    pub(super) fn attention(
        &mut self,
        node: &Node,
        heads: usize,
        head_channels: usize,
        factor: f32,
    ) -> Result<()> {
        let channels = heads * head_channels;
        let tokens = |id| self.graph.value(id).element_count() / channels;
        let shapes = [0, 1, 2].map(|slot| [1, tokens(node.inputs[slot]), channels]);
        let mut inputs = [NO_TENSOR; 3];
        for (slot, place) in inputs.iter_mut().enumerate() {
            let index = self.read(node.inputs[slot])?;
            let have = self.shape(index);
            let fits = have[2] == channels && have[0] * have[1] == shapes[slot][1];
            *place = if fits { index } else { self.shaped(node.inputs[slot], shapes[slot])? };
        }
        let output = self.activation(node.output, shapes[0])?;
        let macs = 2 * shapes[0][1] * shapes[1][1] * channels;
        let operation = Operation::Attention {
            heads: heads as u32,
            head_channels: head_channels as u32,
            factor,
        };
        self.step(operation, &inputs, output, &[], macs as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_made_finer_until_a_bias_is_a_whole_number_of_them() {
        assert_eq!([12.0, -0.5, 2.0 / 3.0].map(|bias| refinement(bias, 127)), [1, 2, 3]);
        assert_eq!(refinement(0.123_456, 3), 3);
        assert_eq!(refinement(123_456.000_1, 127), 1);
    }
}
