//! Weights of quantised layers: found again in the floats that they were dequantised to.

use super::graph::Quantization;
use std::vec::Vec;

/// Most steps of a weight.
const MAX_STEPS: i32 = 127;
/// Largest distance from a whole number of steps. Dequantising rounds to 24 bits, so a weight of
/// 127 steps lies within 2e-5 of a whole number.
const TOLERANCE: f32 = 1e-4;

/// Weights as whole numbers of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerWeights {
    /// As many as there were floats, -127 to 127.
    pub steps: Vec<i8>,
    /// What one step is worth, per output channel; positive.
    pub scales: Vec<f32>,
}

/// The weights of each output channel (`per_output` neighbours) as multiples of one number, the
/// largest such. `None` if some channel has none: then the weights were not quantised.
pub fn integers_of(weights: &[f32], per_output: usize) -> Option<IntegerWeights> {
    let mut found = IntegerWeights { steps: Vec::with_capacity(weights.len()), scales: Vec::new() };
    for channel in weights.chunks(per_output.max(1)) {
        let scale = scale_of(channel, MAX_STEPS)?;
        found.scales.push(scale);
        found.steps.extend(channel.iter().map(|weight| (weight / scale).round() as i8));
    }
    Some(found)
}

/// The 8-bit numbers that all values are, if there are such; 0 is one of them.
pub fn grid_of(values: &[f32]) -> Option<Quantization> {
    let scale = scale_of(values, 255)?;
    let steps = values.iter().map(|value| (value / scale).round() as i32);
    let low = steps.clone().fold(0, i32::min);
    let high = steps.fold(0, i32::max);
    let zero_point = u8::try_from(-low).ok().filter(|_| high - low <= 255)?;
    Some(Quantization { scale, zero_point })
}

fn scale_of(channel: &[f32], most_steps: i32) -> Option<f32> {
    let largest = channel.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
    if largest == 0.0 {
        return Some(1.0);
    }
    if !largest.is_finite() {
        return None;
    }
    (1..=most_steps).map(|steps| largest / steps as f32).find(|&scale| {
        channel.iter().all(|weight| {
            let steps = weight / scale;
            (steps - steps.round()).abs() <= TOLERANCE
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn dequantised_weights_are_found_again(
            steps in proptest::collection::vec(-127i8..=127, 4..60),
            scale in 1e-6f32..10.0,
        ) {
            let weights: Vec<f32> = steps.iter().map(|&steps| f32::from(steps) * scale).collect();
            let found = integers_of(&weights, weights.len()).unwrap();
            for (found_steps, weight) in found.steps.iter().zip(&weights) {
                let again = f32::from(*found_steps) * found.scales[0];
                prop_assert!((again - weight).abs() <= weight.abs() * 1e-6);
            }
        }
    }

    #[test]
    fn floats_are_not_mistaken_for_integers() {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        for _ in 0..1000 {
            let weights: Vec<f32> = (0..9).map(|_| noise()).collect();
            assert_eq!(integers_of(&weights, 9), None);
        }
    }

    #[test]
    fn operands_of_all_8_bit_numbers_have_a_grid() {
        let values: Vec<f32> = (-3..=252).map(|step| step as f32 * 0.03).collect();
        let grid = grid_of(&values).unwrap();
        assert_eq!(grid.zero_point, 3);
        for (step, value) in values.iter().enumerate() {
            assert_eq!(grid.quantized(*value), step as u8);
        }
        assert_eq!(grid_of(&[-200.0, 101.0, 1.0]), None);
    }

    #[test]
    fn channels_of_zeros_have_a_scale() {
        let found = integers_of(&[0.0; 6], 3).unwrap();
        assert_eq!((found.steps, found.scales), (std::vec![0; 6], std::vec![1.0; 2]));
    }
}
