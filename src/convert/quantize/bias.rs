//! Takes the mean error of rounded weights out of biases.

use super::weights::real_weights;
use crate::backbone::tract::{Numbers, QuantizableNetwork};
use anyhow::Result;
use std::vec;
use std::vec::Vec;

/// Takes what a tensor holds: number of the picture, number of the tensor, its values in each of
/// the networks.
pub type TakeTap<'t> = dyn FnMut(usize, usize, &[&[f32]]) -> Result<()> + 't;

/// The layers' biases less the mean, over all places and pictures, of what the rounding of their
/// weights adds to each channel: `b - E[(W_q - W) x]`. `run` runs an ONNX network over the
/// calibration pictures and hands out the named tensors.
///
/// # Errors
/// Those of `run`.
pub fn corrected_biases(
    network: &QuantizableNetwork,
    numbers: &Numbers,
    run: impl FnOnce(&[u8], &[&str], &mut TakeTap<'_>) -> Result<()>,
) -> Result<Vec<Vec<f32>>> {
    let layers = network.layers();
    let errors: Vec<Vec<f32>> = layers
        .iter()
        .zip(&numbers.weights)
        .map(|(layer, weights)| match weights {
            Some(weights) => {
                let real = real_weights(weights, layer.per_channel());
                real.iter().zip(&layer.weights).map(|(real, weight)| real - weight).collect()
            }
            None => vec![0.0; layer.weights.len()],
        })
        .collect();
    let (onnx, names) = network.write_probes(&errors)?;
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let mut sums: Vec<Vec<f64>> = layers.iter().map(|layer| vec![0.0; layer.channels()]).collect();
    let mut counts = vec![0u64; layers.len()];
    run(&onnx, &names, &mut |_, layer, values| {
        let values = values.first().copied().unwrap_or_default();
        // [1, channels, ...] of a convolution, [1, channels] of a matrix product.
        let places = (values.len() / sums[layer].len()).max(1);
        for (sum, plane) in sums[layer].iter_mut().zip(values.chunks(places)) {
            *sum += plane.iter().map(|value| f64::from(*value)).sum::<f64>();
        }
        counts[layer] += places as u64;
        Ok(())
    })?;
    let corrected = numbers.biases.iter().zip(&sums).zip(&counts);
    Ok(corrected
        .map(|((bias, sums), &count)| {
            let mean = |sum: &f64| sum / count.max(1) as f64;
            bias.iter().zip(sums).map(|(bias, sum)| (f64::from(*bias) - mean(sum)) as f32).collect()
        })
        .collect())
}
