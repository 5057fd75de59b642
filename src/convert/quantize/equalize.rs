//! Scales the channels between two layers so that both are rounded less.
//!
//! Multiplying a channel of a layer by `s` and dividing the weights that read it by `s` changes
//! nothing in floats, as long as what lies between is linear or a ReLU. Factors are powers of two,
//! so not a bit of the float network changes.

use super::QuantizeSource;
use super::bias::each_channel;
use super::engine::Engine;
use super::range::{Histogram, RangeMethod};
use super::samples::{First, Samples};
use super::weights::quantize_weights;
use crate::backbone::tract::{Layer, QuantizableNetwork, Wanted};
use anyhow::Result;
use serde::Serialize;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Largest factor, and the reciprocal of the smallest: 2^6.
const MOST_DOUBLINGS: f32 = 6.0;
/// Pictures that a pair is tried on.
const TRIALS: usize = 4;

/// Two layers, of which the second alone reads the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EqualizedPair {
    /// Name of the first layer.
    pub first: String,
    /// Name of the second.
    pub second: String,
    /// Squared error of the second layer's result, relative to its energy, before.
    pub error_before: f64,
    /// And with the factors.
    pub error_after: f64,
    /// Whether the factors were kept.
    pub kept: bool,
}

/// Factors, powers of two, for channels whose largest magnitudes are `activations` and which are
/// read by weights of the largest magnitudes `weights`.
///
/// A depthwise layer has a scale of its own for each channel (`reads_alone`), so only the
/// activations count: all are brought to the largest. Otherwise both are brought to their
/// geometric mean. Channels that are 0, or that nothing reads, stay.
pub fn balanced_scales(activations: &[f32], weights: &[f32], reads_alone: bool) -> Vec<f32> {
    let largest = |values: &[f32]| values.iter().fold(0.0f32, |largest, one| largest.max(*one));
    let (most, heaviest) = (largest(activations), largest(weights));
    let scale = |(&activation, &weight): (&f32, &f32)| {
        if !(activation > 0.0 && weight > 0.0) {
            return 1.0;
        }
        let (activation, weight) = (activation / most, weight / heaviest);
        let doublings = match reads_alone {
            true => -activation.log2(),
            false => (weight / activation).log2() / 2.0,
        };
        doublings.round().clamp(-MOST_DOUBLINGS, MOST_DOUBLINGS).exp2()
    };
    activations.iter().zip(weights).map(scale).collect()
}

/// The float network with neighbouring layers scaled where that lowers the error of quantising
/// them, and the pairs that were tried.
///
/// # Errors
/// As for [`quantize()`](super::quantize).
pub fn equalized_network(
    source: &QuantizeSource<'_>,
    samples: &dyn Samples,
    method: RangeMethod,
) -> Result<(Vec<u8>, Vec<EqualizedPair>)> {
    let wanted = Wanted { output: source.output, ..Wanted::default() };
    let mut network = QuantizableNetwork::parse(source.onnx, &wanted)?;
    let engine = Engine::new(source, &network)?;
    let pairs = equalize(&mut network, &engine, samples, method)?;
    Ok((network.write(&network.float_numbers())?, pairs))
}

/// Tries every pair and keeps the factors that lower its error.
pub(super) fn equalize(
    network: &mut QuantizableNetwork,
    engine: &Engine<'_>,
    samples: &dyn Samples,
    method: RangeMethod,
) -> Result<Vec<EqualizedPair>> {
    let trials = First { samples, most: TRIALS };
    let mut pairs = Vec::new();
    for [first, second] in pairs_of(network) {
        let trial = Trial { engine, samples: &trials, method, first, second };
        pairs.push(trial.run(network)?);
    }
    Ok(pairs)
}

/// Layers of which the second alone reads the first's result, with nothing but a ReLU between.
fn pairs_of(network: &QuantizableNetwork) -> Vec<[usize; 2]> {
    let layers = network.layers();
    let mut pairs = Vec::new();
    for (first, one) in layers.iter().enumerate() {
        let is_homogeneous = one.limits.iter().all(|limit| *limit == 0.0 || limit.is_infinite());
        let alone = network.readers(&one.result) == 1 && network.readers(&one.sum) == 1;
        let reads = |layer: &Layer| layer.input == one.result && fits(one, layer);
        let second = layers.iter().position(reads);
        if let Some(second) = second.filter(|_| is_homogeneous && alone) {
            pairs.push([first, second]);
        }
    }
    pairs
}

/// Whether `second` has weights for each channel of `first`, in one group or one for each.
fn fits(first: &Layer, second: &Layer) -> bool {
    let channels = first.channels();
    let dense = second.groups == 1 && second.group_inputs == channels;
    dense || is_depthwise(second) && second.groups == channels
}

fn is_depthwise(layer: &Layer) -> bool {
    layer.groups > 1 && layer.group_inputs == 1 && layer.groups == layer.channels()
}

struct Trial<'a> {
    engine: &'a Engine<'a>,
    samples: &'a First<'a>,
    method: RangeMethod,
    first: usize,
    second: usize,
}

impl Trial<'_> {
    fn run(&self, network: &mut QuantizableNetwork) -> Result<EqualizedPair> {
        let largest = self.channel_maxima(network)?;
        let second = &network.layers()[self.second];
        let scales = balanced_scales(&largest, &column_maxima(second), is_depthwise(second));
        let names = [self.first, self.second].map(|at| network.layers()[at].name.clone());
        let error_before = self.error(network)?;
        let [first, second] = names;
        let mut pair =
            EqualizedPair { first, second, error_before, error_after: error_before, kept: false };
        if scales.iter().any(|scale| *scale != 1.0) {
            let before = network.layers().to_vec();
            self.apply(network, &scales);
            pair.error_after = self.error(network)?;
            pair.kept = pair.error_after < error_before;
            if !pair.kept {
                network.layers_mut().clone_from_slice(&before);
            }
        }
        Ok(pair)
    }

    fn apply(&self, network: &mut QuantizableNetwork, scales: &[f32]) {
        let layers = network.layers_mut();
        let first = &mut layers[self.first];
        let per_channel = first.per_channel().max(1);
        for ((filter, bias), scale) in
            first.weights.chunks_mut(per_channel).zip(&mut first.bias).zip(scales)
        {
            filter.iter_mut().for_each(|weight| *weight *= scale);
            *bias *= scale;
        }
        let second = &mut layers[self.second];
        let (inputs, taps) = (scales.len(), taps(second));
        for (at, column) in second.weights.chunks_mut(taps).enumerate() {
            column.iter_mut().for_each(|weight| *weight /= scales[at % inputs]);
        }
    }

    /// Largest magnitude of each channel between the layers.
    fn channel_maxima(&self, network: &QuantizableNetwork) -> Result<Vec<f32>> {
        let layer = &network.layers()[self.first];
        let mut largest = vec![0.0f32; layer.channels()];
        let onnx = network.write(&network.float_numbers())?;
        let take = &mut |_: usize, _: usize, values: &[&[f32]]| {
            for values in values {
                each_channel(layer, values, |channel, value| {
                    largest[channel] = largest[channel].max(value.abs());
                });
            }
            Ok(())
        };
        self.engine.each_tap(&[&onnx], &[&layer.result], self.samples, take)?;
        Ok(largest)
    }

    /// Squared error of the second layer's result, relative to its energy, where both layers'
    /// weights and what lies between are quantised, and nothing else.
    fn error(&self, network: &QuantizableNetwork) -> Result<f64> {
        let [first, second] = [self.first, self.second].map(|at| &network.layers()[at]);
        let mut histogram = Histogram::default();
        let float = network.write(&network.float_numbers())?;
        let count = &mut |_: usize, _: usize, values: &[&[f32]]| {
            values.iter().for_each(|values| {
                histogram.add(values);
            });
            Ok(())
        };
        self.engine.each_tap(&[&float], &[&first.result], self.samples, count)?;
        let grid = histogram.grid(self.method);
        let mut numbers = network.float_numbers();
        numbers.weights[self.first] = Some(quantize_weights(first, None));
        numbers.weights[self.second] = Some(quantize_weights(second, Some(grid)));
        for (number, tensor) in numbers.tensors.iter_mut().zip(network.tensors()) {
            *number = (tensor.name == first.result).then_some(grid);
        }
        let quantized = network.write(&numbers)?;
        let (mut energy, mut error) = (0.0, 0.0);
        let compare = &mut |_: usize, _: usize, values: &[&[f32]]| {
            if let [float, quantized] = values {
                for (value, other) in float.iter().zip(*quantized) {
                    energy += f64::from(*value).powi(2);
                    error += (f64::from(*value) - f64::from(*other)).powi(2);
                }
            }
            Ok(())
        };
        self.engine.each_tap(&[&float, &quantized], &[&second.sum], self.samples, compare)?;
        Ok(error / energy.max(f64::MIN_POSITIVE))
    }
}

/// Weights of one input channel in one filter.
fn taps(layer: &Layer) -> usize {
    (layer.per_channel() / layer.group_inputs.max(1)).max(1)
}

/// Largest magnitude of the weights that read each input channel.
fn column_maxima(layer: &Layer) -> Vec<f32> {
    let inputs = layer.group_inputs * layer.groups;
    let mut largest = vec![0.0f32; inputs];
    for (at, column) in layer.weights.chunks(taps(layer)).enumerate() {
        let largest = &mut largest[at % inputs];
        *largest = column.iter().fold(*largest, |most, weight| most.max(weight.abs()));
    }
    largest
}
