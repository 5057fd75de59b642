//! Scales the channels between a normalisation and the linear layers that read it, so that a few
//! large channels do not take the grid from the others (SmoothQuant).
//!
//! Multiplying a channel of the result by `s` and dividing the weights that read it by `s` changes
//! nothing in floats; factors are powers of two, so not a bit does. How far channels are brought
//! together is tried on rows of the calibration pictures.

use super::engine::Engine;
use super::range::{Histogram, RangeMethod};
use super::samples::Samples;
use super::weights::{quantize_weights, real_weights};
use crate::backbone::tract::{Layer, Norm, QuantizableNetwork, Quantization};
use anyhow::Result;
use serde::Serialize;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Powers of a channel's size that it may be divided by; 0 leaves all as they are.
const STRENGTHS: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Largest factor, and the reciprocal of the smallest: 2^6.
const MOST_DOUBLINGS: f32 = 6.0;
/// Most rows that a strength is tried on.
const MOST_ROWS: usize = 96;

/// A normalisation whose channels were scaled, or were tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SmoothedNorm {
    /// Its result.
    pub tensor: String,
    /// The power of a channel's size that it was divided by.
    pub strength: f32,
    /// Squared error of what the layers behind it give, relative to its energy, before.
    pub error_before: f64,
    /// And with the factors.
    pub error_after: f64,
}

/// What a normalisation gives on the calibration pictures.
#[derive(Clone)]
struct Seen {
    /// Smallest value of each channel, or 0.
    low: Vec<f32>,
    /// Largest value of each channel, or 0.
    high: Vec<f32>,
    /// Some rows of channels.
    rows: Vec<f32>,
}

/// Scales each normalisation with the strength that costs least.
pub(super) fn smooth(
    network: &mut QuantizableNetwork,
    engine: &Engine<'_>,
    samples: &dyn Samples,
    method: RangeMethod,
) -> Result<Vec<SmoothedNorm>> {
    let norms = network.norms();
    let seen = seen(network, &norms, engine, samples)?;
    let mut smoothed = Vec::new();
    for (at, (norm, seen)) in norms.iter().zip(&seen).enumerate() {
        let layers: Vec<&Layer> = norm.layers.iter().map(|at| &network.layers()[*at]).collect();
        let error = |strength: f32| error(&layers, seen, &factors(seen, strength), method);
        let error_before = error(0.0);
        let mut best = (0.0, error_before);
        for &strength in STRENGTHS.iter().skip(1) {
            let found = error(strength);
            if found < best.1 {
                best = (strength, found);
            }
        }
        let (strength, error_after) = best;
        network.scale_norm(at, &factors(seen, strength))?;
        let tensor = norm.tensor.clone();
        smoothed.push(SmoothedNorm { tensor, strength, error_before, error_after });
    }
    Ok(smoothed)
}

/// Runs the float network over `samples`.
fn seen(
    network: &QuantizableNetwork,
    norms: &[Norm],
    engine: &Engine<'_>,
    samples: &dyn Samples,
) -> Result<Vec<Seen>> {
    let names: Vec<&str> = norms.iter().map(|norm| &*norm.tensor).collect();
    let mut found: Vec<Seen> = norms.iter().map(Seen::nothing).collect();
    if names.is_empty() {
        return Ok(found);
    }
    let per_picture = MOST_ROWS.div_ceil(samples.len().max(1));
    let onnx = network.write(&network.float_numbers())?;
    engine.each_tap(&[&onnx], &names, samples, &mut |_, norm, values| {
        for values in values {
            found[norm].add(values, per_picture);
        }
        Ok(())
    })?;
    Ok(found)
}

impl Seen {
    fn nothing(norm: &Norm) -> Seen {
        let zeros = vec![0.0; norm.channels];
        Seen { low: zeros.clone(), high: zeros, rows: Vec::new() }
    }

    fn add(&mut self, values: &[f32], most_rows: usize) {
        let channels = self.low.len();
        for row in values.chunks(channels) {
            let ends = self.low.iter_mut().zip(&mut self.high);
            for ((low, high), value) in ends.zip(row) {
                (*low, *high) = (low.min(*value), high.max(*value));
            }
        }
        let step = (values.len() / channels).div_ceil(most_rows.max(1)).max(1);
        for row in values.chunks(channels).step_by(step) {
            self.rows.extend(row);
        }
    }
}

/// A power of two for each channel: its size, relative to the largest, to the power `-strength`.
fn factors(seen: &Seen, strength: f32) -> Vec<f32> {
    let sizes: Vec<f32> =
        seen.low.iter().zip(&seen.high).map(|(low, high)| high.max(-low)).collect();
    let most = sizes.iter().fold(0.0f32, |most, one| most.max(*one));
    let factor = |size: &f32| match *size > 0.0 {
        true => (strength * (most / size).log2()).round().min(MOST_DOUBLINGS).exp2(),
        false => 1.0,
    };
    sizes.iter().map(factor).collect()
}

/// Squared error of what `layers` give, relative to its energy, with rows and weights quantised.
fn error(layers: &[&Layer], seen: &Seen, factors: &[f32], method: RangeMethod) -> f64 {
    let scaled = |values: &[f32]| -> Vec<f32> {
        values.iter().zip(factors.iter().cycle()).map(|(value, factor)| value * factor).collect()
    };
    let mut histogram = Histogram::default();
    let rows = scaled(&seen.rows);
    // The rows are a sample; the largest of all values lie elsewhere.
    let low = scaled(&seen.low).into_iter().fold(0.0, f32::min);
    let high = scaled(&seen.high).into_iter().fold(0.0, f32::max);
    if !(histogram.add(&rows) && histogram.add(&[low, high])) {
        return f64::INFINITY;
    }
    let grid = histogram.grid(method);
    let (mut energy, mut error) = (0.0, 0.0);
    for layer in layers {
        let [one, other] = layer_error(layer, &rows, factors, grid);
        energy += one;
        error += other;
    }
    error / f64::max(energy, f64::MIN_POSITIVE)
}

/// Energy of a layer's result, and of its error.
fn layer_error(layer: &Layer, rows: &[f32], factors: &[f32], grid: Quantization) -> [f64; 2] {
    let mut scaled = layer.clone();
    for row in scaled.weights.chunks_mut(factors.len()) {
        row.iter_mut().zip(factors).for_each(|(weight, factor)| *weight /= factor);
    }
    let rounded = real_weights(&quantize_weights(&scaled, Some(grid)), scaled.per_channel());
    let [mut energy, mut error] = [0.0; 2];
    let mut whole = vec![0.0; factors.len()];
    for row in rows.chunks_exact(factors.len()) {
        for (whole, value) in whole.iter_mut().zip(row) {
            *whole = grid.real(grid.quantized(*value));
        }
        let filters = scaled.weights.chunks(factors.len()).zip(rounded.chunks(factors.len()));
        for (filter, rounded) in filters {
            let (value, found) = (dot(row, filter), dot(&whole, rounded));
            energy += f64::from(value).powi(2);
            error += f64::from(value - found).powi(2);
        }
    }
    [energy, error]
}

/// In eight sums beside each other, which compilers make vectors of.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (left, right) in left.chunks(8).zip(right.chunks(8)) {
        for (sum, (left, right)) in sums.iter_mut().zip(left.iter().zip(right)) {
            *sum += left * right;
        }
    }
    sums.iter().sum()
}
