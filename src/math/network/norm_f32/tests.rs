use super::*;
use crate::math::network::kernels_f32::{every_set, noise};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

proptest! {
    #[test]
    fn rows_become_their_softmax(
        [height, width, channels, gap] in [1..5usize, 1..5usize, 1..90usize, 0..3usize],
        spread in prop_oneof![Just(1.0f32), Just(100.0)],
        seed: u32,
    ) {
        let stride = channels + gap;
        let mut data = noise(seed, height * width * stride);
        data.iter_mut().for_each(|value| *value *= spread);
        data[0] = f32::NEG_INFINITY;
        let input = View { data: &data, height, width, channels, pixel_stride: channels + gap };
        for set in every_set() {
            let mut out = vec![7.0; data.len()];
            let places = &mut out;
            let mut view = ViewMut { data: places, height, width, channels, pixel_stride: stride };
            prop_assert!(softmax_f32(set, &input, &mut view, 0..height));
            for (got, row) in out.chunks(stride).zip(data.chunks(stride)) {
                let row = &row[..channels];
                if row == [f32::NEG_INFINITY] {
                    continue;
                }
                let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let powers: Vec<f64> = row.iter().map(|x| libm::exp(f64::from(x - most))).collect();
                let sum: f64 = powers.iter().sum();
                for (got, power) in got.iter().zip(&powers) {
                    let want = power / sum;
                    let allowed = 1e-6 * want.max(1e-30);
                    prop_assert!((f64::from(*got) - want).abs() <= allowed, "{}", set.name);
                }
                prop_assert!(got[channels..].iter().all(|&value| value == 7.0));
            }
        }
    }

    #[test]
    fn rows_are_normalised(
        [height, width, channels, gap] in [1..5usize, 1..5usize, 1..90usize, 0..3usize],
        centred: bool,
        seed: u32,
    ) {
        let stride = channels + gap;
        let mut data = noise(seed, height * width * stride);
        data.iter_mut().for_each(|value| *value = *value * 3.0 + 10.0);
        let (scale, bias) = (noise(seed ^ 1, channels), noise(seed ^ 2, channels));
        let norm = Norm { epsilon: 1e-2, scale: &scale, bias: &bias, centred };
        let input = View { data: &data, height, width, channels, pixel_stride: stride };
        for set in every_set() {
            let mut out = vec![7.0; data.len()];
            let places = &mut out;
            let mut view = ViewMut { data: places, height, width, channels, pixel_stride: stride };
            prop_assert!(layer_norm_f32(set, &norm, &input, &mut view, 0..height));
            for (got, row) in out.chunks(stride).zip(data.chunks(stride)) {
                let row: Vec<f64> = row[..channels].iter().map(|&x| f64::from(x)).collect();
                let count = channels as f64;
                let mean = if centred { row.iter().sum::<f64>() / count } else { 0.0 };
                let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
                let deviation = (variance + 1e-2).sqrt();
                for (c, (&got, x)) in got.iter().zip(&row).enumerate() {
                    let want = (x - mean) / deviation * f64::from(scale[c]) + f64::from(bias[c]);
                    prop_assert!((f64::from(got) - want).abs() <= 3e-5, "{}: {} {}", set.name, got, want);
                }
                prop_assert!(got[channels..].iter().all(|&value| value == 7.0));
            }
        }
    }
}

#[test]
fn equal_values_and_nothing_but_minus_infinity_give_no_nan() {
    for set in every_set() {
        for value in [f32::NEG_INFINITY, f32::MIN, f32::MAX, 0.0] {
            let mut data = [value; 20];
            let places = &mut data;
            let mut map =
                ViewMut { data: places, height: 1, width: 1, channels: 20, pixel_stride: 20 };
            assert!(softmax_in_place_f32(set, &mut map, 0..1));
            let want = if value == f32::NEG_INFINITY { 0.0 } else { 0.05 };
            assert!(
                data.iter().all(|got| (got - want).abs() < 1e-7),
                "{} {value}: {data:?}",
                set.name
            );
        }
    }
}

#[test]
fn short_slices_are_refused() {
    let set = every_set().next().expect("a set");
    let norm = Norm { epsilon: 0.0, scale: &[], bias: &[], centred: true };
    let (data, mut places) = ([1.0; 12], [7.0; 12]);
    let input = View { data: &data, height: 2, width: 2, channels: 3, pixel_stride: 3 };
    let mut out = ViewMut { data: &mut places, height: 2, width: 2, channels: 3, pixel_stride: 3 };
    let short = View { data: &data[..11], ..input };
    assert!(!softmax_f32(set, &short, &mut out, 0..2));
    assert!(!softmax_f32(set, &input, &mut out, 2..3));
    assert!(!layer_norm_f32(set, &norm, &short, &mut out, 0..2));
    assert!(!layer_norm_in_place_f32(set, &norm, &mut out, 0..3));
    assert_eq!(places, [7.0; 12]);
}
