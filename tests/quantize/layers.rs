//! Weights, biases and neighbouring layers.

use super::support::{Waves, model, options, run, source, tap};
use proptest::prelude::*;
use zsseg::backbone::tract::{Layer, QuantizableNetwork, Quantization, Wanted};
use zsseg::convert::{
    RangeMethod, Samples, TakeTap, balanced_scales, corrected_biases, equalized_network,
    quantize_weights,
};

fn network() -> QuantizableNetwork {
    QuantizableNetwork::parse(&model("chain_float.onnx"), &Wanted::default()).unwrap()
}

/// A layer of the network with other numbers.
fn layer(weights: Vec<f32>, bias: Vec<f32>) -> Layer {
    let mut layer = network().layers()[0].clone();
    (layer.weights, layer.bias) = (weights, bias);
    layer
}

const GRID: Quantization = Quantization { scale: 0.02, zero_point: 7 };

proptest! {
    #[test]
    fn each_channel_has_its_own_scale(
        weights in proptest::collection::vec(-1.0f32..1.0, 18),
        sizes in [-12i32..6, -12i32..6],
    ) {
        let sizes = sizes.map(|size| 2f32.powi(size));
        let weights: Vec<f32> =
            weights.iter().enumerate().map(|(at, weight)| weight * sizes[at / 9]).collect();
        let found = quantize_weights(&layer(weights.clone(), vec![0.0; 2]), Some(GRID));
        for channel in 0..2 {
            let places = 9 * channel..9 * (channel + 1);
            let scale = found.scales[channel];
            let steps = &found.steps[places.clone()];
            prop_assert_eq!(steps.iter().map(|step| step.unsigned_abs()).max(), Some(127));
            for (step, weight) in steps.iter().zip(&weights[places]) {
                prop_assert!((f32::from(*step) * scale - weight).abs() <= scale * 0.5001);
            }
        }
    }

    #[test]
    fn biases_fit_beside_any_weights(
        weights in proptest::collection::vec(prop_oneof![Just(0.0f32), -1e-12f32..1e-12, -1.0f32..1.0], 8),
        bias in [-1e9f32..1e9, -1.0f32..1.0],
    ) {
        let found = quantize_weights(&layer(weights, bias.to_vec()), Some(GRID));
        for (scale, bias) in found.scales.iter().zip(bias) {
            prop_assert!(scale.is_normal() && *scale > 0.0);
            let steps = f64::from(bias) / f64::from(GRID.scale * scale);
            prop_assert!(steps.abs() <= f64::from(1 << 30), "{} steps", steps);
        }
    }

    #[test]
    fn scales_bring_channels_closer_and_are_powers_of_two(
        channels in proptest::collection::vec((0.01f32..100.0, 0.01f32..100.0), 2..20),
        reads_alone: bool,
    ) {
        let (activations, weights): (Vec<f32>, Vec<f32>) = channels.into_iter().unzip();
        let scales = balanced_scales(&activations, &weights, reads_alone);
        let spread = |values: &[f32]| {
            let of = |pick: fn(f32, f32) -> f32| values.iter().copied().reduce(pick).unwrap();
            of(f32::max) / of(f32::min)
        };
        let scaled: Vec<f32> = activations.iter().zip(&scales).map(|(a, s)| a * s).collect();
        for scale in &scales {
            prop_assert_eq!(scale.log2().fract(), 0.0);
        }
        if reads_alone && spread(&activations) < 64.0 {
            prop_assert!(spread(&scaled) <= 2.0001, "{}", spread(&scaled));
        }
    }
}

#[test]
fn channels_without_a_size_are_left_alone() {
    let scales = balanced_scales(&[0.0, 4.0, 1.0, 2.0], &[1.0, 1.0, 0.0, 1.0], true);
    assert_eq!(scales, [1.0, 1.0, 1.0, 2.0]);
}

/// Mean over pictures and places of each channel of a tensor.
fn means(onnx: &[u8], name: &str, pictures: &Waves, channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for picture in 0..pictures.len() {
        let values = tap(onnx, name, pictures.values(picture));
        let places = values.len() / channels;
        for (sum, plane) in sums.iter_mut().zip(values.chunks(places)) {
            *sum += plane.iter().map(|value| f64::from(*value)).sum::<f64>() / places as f64;
        }
    }
    sums
}

#[test]
fn corrected_biases_take_the_mean_error_out() {
    let network = network();
    let pictures = Waves::new(0, 8);
    let mut run = |onnx: &[u8], names: &[&str], take: &mut TakeTap<'_>| {
        for picture in 0..pictures.len() {
            for (at, name) in names.iter().enumerate() {
                take(picture, at, &[&tap(onnx, name, pictures.values(picture))])?;
            }
        }
        Ok(())
    };
    // Coarse weights, so that there is something to correct.
    let mut numbers = network.float_numbers();
    for (weights, layer) in numbers.weights.iter_mut().zip(network.layers()) {
        let mut coarse = quantize_weights(layer, None);
        coarse.steps.iter_mut().for_each(|step| *step = *step / 16 * 16);
        *weights = Some(coarse);
    }
    let corrected = corrected_biases(&network, &numbers, &mut run).unwrap();
    let float = network.write(&network.float_numbers()).unwrap();
    for (at, layer) in network.layers().iter().enumerate() {
        // The layer alone: what lies before it would add its own error.
        let mut alone = network.float_numbers();
        alone.weights[at].clone_from(&numbers.weights[at]);
        let wanted = means(&float, &layer.sum, &pictures, layer.channels());
        let mut error = |bias: &[f32]| {
            alone.biases[at] = bias.to_vec();
            let onnx = network.write(&alone).unwrap();
            let found = means(&onnx, &layer.sum, &pictures, layer.channels());
            found.iter().zip(&wanted).map(|(found, wanted)| (found - wanted).abs()).sum::<f64>()
        };
        let (before, after) = (error(&layer.bias), error(&corrected[at]));
        println!("{}: {before:e} to {after:e}", layer.name);
        assert!(after < 0.01 * before, "{}: {before:e} to {after:e}", layer.name);
    }
}

#[test]
fn equalising_changes_no_bit_of_the_float_network() {
    let onnx = model("chain_float.onnx");
    let pictures = Waves::new(0, 4);
    let (equalized, pairs) =
        equalized_network(&source(&onnx, None), &pictures, RangeMethod::MinMax).unwrap();
    let names: Vec<[&str; 2]> = pairs.iter().map(|pair| [&*pair.first, &*pair.second]).collect();
    // ReLU6 is in the way of the depthwise one and the projection.
    assert_eq!(names, [["stem", "depthwise"]]);
    assert!(pairs[0].kept && pairs[0].error_after < 0.7 * pairs[0].error_before, "{pairs:?}");
    let float = network();
    let float = float.write(&float.float_numbers()).unwrap();
    assert_ne!(float, equalized);
    let stem = |onnx: &[u8]| tap(onnx, "stem_relu", pictures.values(0));
    assert_ne!(stem(&float), stem(&equalized));
    let logits = |onnx: &[u8]| run(onnx, &options("logits", [5, 16, 16]), pictures.values(0));
    assert_eq!(logits(&float), logits(&equalized));
}
