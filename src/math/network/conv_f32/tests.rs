use super::*;
use crate::math::network::activation_f32::{Activation, Residual};
use crate::math::network::kernels_f32::{every_set, noise};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

#[derive(Clone, Debug)]
struct Case {
    window: Window,
    input: [usize; 2],
    out: [usize; 2],
    groups: usize,
    channels: [usize; 2],
    gaps: [usize; 2],
    cuts: usize,
    seed: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![4 => 1..20usize, 1 => 60..70usize, 1 => 128..131usize];
    let window = ([1..5usize, 1..5usize], [1..3usize, 1..4usize], [1..4usize, 1..4usize]);
    (
        window,
        ([0..5usize, 0..5usize], [1..14usize, 1..14usize], [1..12usize, 1..12usize]),
        (1..3usize, channels, 1..40usize, [0..3usize, 0..3usize]),
        (0..12usize, any::<u32>()),
    )
        .prop_map(|((kernel, stride, dilation), (padding, input, out), rest, (cuts, seed))| {
            let (groups, channels_in, channels_out, gaps) = rest;
            Case {
                window: Window { kernel, stride, dilation, padding },
                input,
                out,
                groups,
                channels: [channels_in, channels_out],
                gaps,
                cuts,
                seed,
            }
        })
}

/// Independently: f64, one value at a time.
fn value(case: &Case, input: &[f32], weights: &[f32], [y, x, c]: [usize; 3]) -> f64 {
    let Window { kernel, stride, dilation, padding } = case.window;
    let [channels, columns] = case.channels;
    let pixel_stride = channels * case.groups + case.gaps[0];
    let mut sum = 0.0;
    for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
        let row = (y * stride[0] + ky * dilation[0]) as isize - padding[0] as isize;
        let column = (x * stride[1] + kx * dilation[1]) as isize - padding[1] as isize;
        let rows = 0..case.input[0] as isize;
        if !rows.contains(&row) || !(0..case.input[1] as isize).contains(&column) {
            continue;
        }
        let pixel = (row as usize * case.input[1] + column as usize) * pixel_stride;
        for channel in 0..channels {
            let from = f64::from(input[pixel + c / columns * channels + channel]);
            let tap = (channel * kernel[0] + ky) * kernel[1] + kx;
            sum += from * f64::from(weights[c * channels * kernel[0] * kernel[1] + tap]);
        }
    }
    sum
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let (channels_in, channels_out) =
        (case.channels[0] * case.groups, case.channels[1] * case.groups);
    let (in_stride, out_stride) = (channels_in + case.gaps[0], channels_out + case.gaps[1]);
    let [height, width] = case.out;
    let taps = case.window.kernel[0] * case.window.kernel[1];
    let data = noise(case.seed, case.input[0] * case.input[1] * in_stride);
    let raw = noise(case.seed ^ 1, channels_out * case.channels[0] * taps);
    let bias = noise(case.seed ^ 2, channels_out);
    let extra = noise(case.seed ^ 3, height * width * out_stride);
    let mut packed = vec![9.0; packed_conv_len(channels_out, case.channels[0], taps, case.groups)];
    prop_assert!(pack_conv_f32(
        &raw,
        channels_out,
        case.channels[0],
        taps,
        case.groups,
        &mut packed
    ));
    let residual = Residual { data: &extra, stride: out_stride, after_activation: true };
    let conv = Conv {
        window: case.window,
        groups: case.groups,
        weights: Weights::F32(&packed),
        epilogue: Epilogue {
            scale: 1.0,
            bias: &bias,
            residual: Some(residual),
            activation: Activation::Clip { low: 0.0, high: 6.0 },
        },
    };
    let input = View {
        data: &data,
        height: case.input[0],
        width: case.input[1],
        channels: channels_in,
        pixel_stride: in_stride,
    };
    let want: Vec<f64> = (0..height * width * out_stride)
        .map(|index| {
            let (pixel, c) = (index / out_stride, index % out_stride);
            if c >= channels_out {
                return 7.0;
            }
            let sum = value(case, &data, &raw, [pixel / width, pixel % width, c]);
            (sum + f64::from(bias[c])).clamp(0.0, 6.0) + f64::from(extra[index])
        })
        .collect();
    let len = conv_f32_scratch_len(&case.window, case.channels[0], width);
    let mut scratch = vec![f32::NAN; len];
    let cut = case.cuts.min(height);
    for set in every_set() {
        let mut out = vec![7.0; want.len()];
        let mut view = ViewMut {
            data: &mut out,
            height,
            width,
            channels: channels_out,
            pixel_stride: out_stride,
        };
        for rows in [0..cut, cut..height] {
            prop_assert!(conv_f32(&set.tile, &conv, &input, &mut view, rows, &mut scratch));
        }
        for (index, (&got, &want)) in out.iter().zip(&want).enumerate() {
            prop_assert!(
                (f64::from(got) - want).abs() <= 5e-5,
                "{} at {index}: {got}, not {want}",
                set.name
            );
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
    let (data, weights) = ([1.0; 32], [1.0; 9 * 2 * 16]);
    let conv =
        Conv { window, groups: 1, weights: Weights::F32(&weights), epilogue: Epilogue::NONE };
    let input = View { data: &data, height: 4, width: 4, channels: 2, pixel_stride: 2 };
    let mut scratch = vec![0.0; conv_f32_scratch_len(&window, 2, 4)];
    let less = scratch.len() - 1;
    let mut out = [7.0; 48];
    let run = |conv: &Conv<'_>, input: &View<'_, f32>, out: &mut [f32], scratch: &mut [f32]| {
        let mut out = ViewMut { data: out, height: 4, width: 4, channels: 3, pixel_stride: 3 };
        conv_f32(&every_set().next().expect("a set").tile, conv, input, &mut out, 0..4, scratch)
    };
    let short = View { data: &data[..31], ..input };
    let less_weights = Conv { weights: Weights::F32(&weights[..287]), ..conv };
    let two_groups = Conv { groups: 2, ..conv };
    assert!(!run(&conv, &short, &mut out, &mut scratch));
    assert!(!run(&less_weights, &input, &mut out, &mut scratch));
    assert!(!run(&two_groups, &input, &mut out, &mut scratch));
    assert!(!run(&conv, &input, &mut out[..47], &mut scratch));
    assert!(!run(&conv, &input, &mut out, &mut scratch[..less]));
    assert_eq!(out, [7.0; 48]);
    assert!(run(&conv, &input, &mut out, &mut scratch));
    assert_eq!(out[..3], [8.0; 3]);
}
