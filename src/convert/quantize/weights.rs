//! Weights in whole steps.

use crate::backbone::tract::{Layer, Quantization, QuantizedWeights};
use std::vec::Vec;

/// Most steps of a weight.
const STEPS: f32 = 127.0;
/// Most steps of a bias: leaves room in 32 bits for the products.
const BIAS_STEPS: f32 = (1 << 29) as f32;
/// Smallest scale: products with scales of activations stay normal floats.
const SMALLEST_SCALE: f32 = 1e-20;

/// Quantises the weights of a layer that reads tensors on the grid `input`: for each output
/// channel `scale = max |w| / 127` and `step = round(w / scale)`.
///
/// Where a channel's bias would not fit into 32 bits beside such weights, or all of its weights
/// are 0, its scale is larger: just so that the bias has 2^29 steps or fewer, or 1.
pub fn quantize_weights(layer: &Layer, input: Option<Quantization>) -> QuantizedWeights {
    let mut found =
        QuantizedWeights { steps: Vec::with_capacity(layer.weights.len()), scales: Vec::new() };
    for (filter, bias) in layer.weights.chunks(layer.per_channel().max(1)).zip(&layer.bias) {
        let scale = scale_of(filter, *bias, input);
        found.scales.push(scale);
        let step = |weight: &f32| (weight / scale).round_ties_even().clamp(-STEPS, STEPS) as i8;
        found.steps.extend(filter.iter().map(step));
    }
    found
}

fn scale_of(filter: &[f32], bias: f32, input: Option<Quantization>) -> f32 {
    let largest = filter.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
    if largest == 0.0 && input.is_none_or(|input| bias.abs() <= input.scale * BIAS_STEPS) {
        return 1.0;
    }
    let for_bias = input.map_or(0.0, |input| bias.abs() / input.scale / BIAS_STEPS);
    (largest / STEPS).max(for_bias).max(SMALLEST_SCALE)
}

/// What quantised weights stand for.
pub fn real_weights(weights: &QuantizedWeights, per_channel: usize) -> Vec<f32> {
    let filters = weights.steps.chunks(per_channel.max(1)).zip(&weights.scales);
    filters
        .flat_map(|(filter, scale)| filter.iter().map(move |step| f32::from(*step) * scale))
        .collect()
}
