use super::*;
use crate::math::network::kernels_f32::{every_set, noise};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

#[derive(Clone, Debug)]
struct Case {
    window: Window,
    input: [usize; 2],
    out: [usize; 2],
    channels: usize,
    gaps: [usize; 2],
    hard_swish: bool,
    cut: usize,
    seed: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![1..100usize, Just(16), Just(24), Just(40), Just(8)];
    let gaps = prop_oneof![Just([0, 0]), [0..3usize, 0..3usize]];
    (
        ([1..6usize, 1..6usize], [1..3usize, 1..3usize], [1..4usize, 1..4usize]),
        ([0..6usize, 0..6usize], [1..14usize, 1..30usize], [1..12usize, 1..30usize]),
        (channels, gaps, any::<bool>(), 0..12usize, any::<u32>()),
    )
        .prop_map(|((kernel, stride, dilation), (padding, input, out), rest)| {
            let (channels, gaps, hard_swish, cut, seed) = rest;
            let window = Window { kernel, stride, dilation, padding };
            Case { window, input, out, channels, gaps, hard_swish, cut, seed }
        })
}

/// Independently: f64, one value at a time.
fn value(case: &Case, input: &[f32], weights: &[f32], bias: &[f32], at: [usize; 3]) -> f64 {
    let Window { kernel, stride, dilation, padding } = case.window;
    let [y, x, c] = at;
    let mut sum = f64::from(bias[c]);
    for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
        let row = (y * stride[0] + ky * dilation[0]) as isize - padding[0] as isize;
        let column = (x * stride[1] + kx * dilation[1]) as isize - padding[1] as isize;
        let inside = (0..case.input[0] as isize).contains(&row)
            && (0..case.input[1] as isize).contains(&column);
        if inside {
            let pixel = row as usize * case.input[1] + column as usize;
            let from = f64::from(input[pixel * (case.channels + case.gaps[0]) + c]);
            sum += from * f64::from(weights[(c * kernel[0] + ky) * kernel[1] + kx]);
        }
    }
    if case.hard_swish { sum * (sum + 3.0).clamp(0.0, 6.0) / 6.0 } else { sum.clamp(0.0, 6.0) }
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let channels = case.channels;
    let (in_stride, out_stride) = (channels + case.gaps[0], channels + case.gaps[1]);
    let [height, width] = case.out;
    let taps = case.window.kernel[0] * case.window.kernel[1];
    let data = noise(case.seed, case.input[0] * case.input[1] * in_stride);
    let raw = noise(case.seed ^ 1, channels * taps);
    let bias = noise(case.seed ^ 2, channels);
    let mut packed = vec![9.0; packed_depthwise_len(channels, taps)];
    prop_assert!(pack_depthwise_f32(&raw, channels, taps, &mut packed));
    let activation = if case.hard_swish {
        Activation::HardSwish
    } else {
        Activation::Clip { low: 0.0, high: 6.0 }
    };
    let depthwise = Depthwise { window: case.window, weights: &packed, bias: &bias, activation };
    let input = View {
        data: &data,
        height: case.input[0],
        width: case.input[1],
        channels,
        pixel_stride: in_stride,
    };
    let want: Vec<f64> = (0..height * width * out_stride)
        .map(|index| {
            let (pixel, c) = (index / out_stride, index % out_stride);
            let at = [pixel / width, pixel % width, c];
            if c < channels { value(case, &data, &raw, &bias, at) } else { 7.0 }
        })
        .collect();
    let mut scratch = vec![f32::NAN; depthwise_f32_scratch_len(&case.window, channels)];
    let cut = case.cut.min(height);
    for set in every_set() {
        let mut out = vec![7.0; want.len()];
        let data = &mut out;
        let mut view = ViewMut { data, height, width, channels, pixel_stride: out_stride };
        for rows in [0..cut, cut..height] {
            prop_assert!(depthwise_f32(set, &depthwise, &input, &mut view, rows, &mut scratch));
        }
        for (index, (&got, &want)) in out.iter().zip(&want).enumerate() {
            let close = (f64::from(got) - want).abs() <= 1e-5;
            prop_assert!(close, "{} at {index}: {got}, not {want}", set.name);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn convolutions_are_those_of_plain_sums(case in cases()) {
        check(&case)?;
    }
}

#[test]
fn short_slices_are_refused_and_nothing_is_written() {
    let window = Window { kernel: [3, 3], padding: [1, 1], ..Window::ONE };
    let (data, packed) = ([1.0; 5 * 5 * 24], vec![1.0; packed_depthwise_len(24, 9)]);
    let depthwise = Depthwise { window, weights: &packed, bias: &[], activation: Activation::None };
    let input = View { data: &data, height: 5, width: 5, channels: 24, pixel_stride: 24 };
    let mut scratch = vec![0.0; depthwise_f32_scratch_len(&window, 24)];
    let less = scratch.len() - 1;
    for set in every_set() {
        let mut out = [7.0; 600];
        let run = |depthwise: &Depthwise<'_>,
                   input: &View<'_, f32>,
                   out: &mut [f32],
                   scratch: &mut [f32]| {
            let mut out =
                ViewMut { data: out, height: 5, width: 5, channels: 24, pixel_stride: 24 };
            depthwise_f32(set, depthwise, input, &mut out, 0..5, scratch)
        };
        let short = View { data: &data[..599], ..input };
        let less_weights = Depthwise { weights: &packed[..packed.len() - 1], ..depthwise };
        assert!(!run(&depthwise, &short, &mut out, &mut scratch));
        assert!(!run(&less_weights, &input, &mut out, &mut scratch));
        assert!(!run(&depthwise, &input, &mut out[..599], &mut scratch));
        assert!(!run(&depthwise, &input, &mut out, &mut scratch[..less]));
        assert_eq!(out, [7.0; 600]);
        assert!(run(&depthwise, &input, &mut out, &mut scratch));
        assert_eq!((out[0], out[24 * 6]), (4.0, 9.0));
    }
}
