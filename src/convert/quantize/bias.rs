//! Takes the mean error of quantised layers out of their biases.

use super::weights::real_weights;
use crate::backbone::tract::{Layer, Numbers, QuantizableNetwork};
use anyhow::Result;
use std::vec;
use std::vec::Vec;

/// Takes what a tensor holds: number of the picture, number of the tensor, its values in each of
/// the networks.
pub type TakeTap<'t> = dyn FnMut(usize, usize, &[&[f32]]) -> Result<()> + 't;

/// Runs an ONNX network over the calibration pictures and hands out the named tensors.
pub type RunTaps<'r> = dyn FnMut(&[u8], &[&str], &mut TakeTap<'_>) -> Result<()> + 'r;

/// The layers' biases less the mean, over all places and pictures, of what the rounding of their
/// weights adds to each channel: `b - E[(W_q - W) x]`, where `x` is the float network's. Every
/// layer is corrected for itself: to bring all layers' means to those of the float network at once,
/// upstream errors included, goes too far in each and does not settle.
///
/// # Errors
/// Those of `run`.
pub fn corrected_biases(
    network: &QuantizableNetwork,
    numbers: &Numbers,
    run: &mut RunTaps<'_>,
) -> Result<Vec<Vec<f32>>> {
    let (onnx, names) = network.write_probes(&weight_errors(network, numbers))?;
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let means = channel_means(network, &onnx, &names, run)?;
    let corrected = |(bias, means): (&Vec<f32>, &Vec<f64>)| {
        let pairs = bias.iter().zip(means);
        pairs.map(|(bias, mean)| (f64::from(*bias) - mean) as f32).collect()
    };
    Ok(numbers.biases.iter().zip(&means).map(corrected).collect())
}

/// What rounding adds to each weight.
fn weight_errors(network: &QuantizableNetwork, numbers: &Numbers) -> Vec<Vec<f32>> {
    let layers = network.layers().iter().zip(&numbers.weights);
    layers
        .map(|(layer, weights)| match weights {
            Some(weights) => {
                let real = real_weights(weights, layer.per_channel());
                real.iter().zip(&layer.weights).map(|(real, weight)| real - weight).collect()
            }
            None => vec![0.0; layer.weights.len()],
        })
        .collect()
}

/// Hands out the values that a layer gives, each with the
/// number of their channel.
pub(super) fn each_channel(layer: &Layer, values: &[f32], mut take: impl FnMut(usize, f32)) {
    let channels = layer.channels().max(1);
    let places = (values.len() / channels).max(1);
    for (at, value) in values.iter().enumerate() {
        // [..., channels] of a matrix product, [1, channels, ...] of a convolution.
        let channel = if layer.channels_last { at % channels } else { at / places };
        take(channel.min(channels - 1), *value);
    }
}

/// Mean of each channel of the tensors `names`, one for each layer.
fn channel_means(
    network: &QuantizableNetwork,
    onnx: &[u8],
    names: &[&str],
    run: &mut RunTaps<'_>,
) -> Result<Vec<Vec<f64>>> {
    let layers = network.layers().iter();
    let mut sums: Vec<Vec<f64>> = layers.map(|layer| vec![0.0; layer.channels()]).collect();
    let mut counts = vec![0u64; names.len()];
    run(onnx, names, &mut |_, tensor, values| {
        for values in values {
            let layer = &network.layers()[tensor];
            let mut of_picture = vec![0.0; layer.channels()];
            each_channel(layer, values, |channel, value| of_picture[channel] += f64::from(value));
            sums[tensor].iter_mut().zip(&of_picture).for_each(|(sum, part)| *sum += part);
            counts[tensor] += (values.len() / layer.channels()).max(1) as u64;
        }
        Ok(())
    })?;
    for (sums, &count) in sums.iter_mut().zip(&counts) {
        sums.iter_mut().for_each(|sum| *sum /= count.max(1) as f64);
    }
    Ok(sums)
}
