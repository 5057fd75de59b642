use super::*;
use crate::math::network::kernels_f32::{every_set, noise};
use proptest::prelude::*;
use std::vec;

#[derive(Clone, Debug)]
struct Case {
    window: Window,
    input: [usize; 2],
    out: [usize; 2],
    channels: usize,
    gaps: [usize; 2],
    cut: usize,
    seed: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    (
        ([1..5usize, 1..5usize], [1..4usize, 1..4usize], [1..3usize, 1..3usize]),
        ([0..3usize, 0..3usize], [1..10usize, 1..10usize], [1..8usize, 1..8usize]),
        (1..50usize, [0..3usize, 0..3usize], 0..8usize, any::<u32>()),
    )
        .prop_map(|((kernel, stride, dilation), (padding, input, out), rest)| {
            let (channels, gaps, cut, seed) = rest;
            let window = Window { kernel, stride, dilation, padding };
            Case { window, input, out, channels, gaps, cut, seed }
        })
}

/// Independently: f64, one value at a time.
fn value(case: &Case, pool: Pool, input: &[f32], [y, x, c]: [usize; 3]) -> f64 {
    let Window { kernel, stride, dilation, padding } = case.window;
    let (mut greatest, mut sum, mut count) = (f64::NEG_INFINITY, 0.0, 0usize);
    for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
        let row = (y * stride[0] + ky * dilation[0]) as isize - padding[0] as isize;
        let column = (x * stride[1] + kx * dilation[1]) as isize - padding[1] as isize;
        let inside = (0..case.input[0] as isize).contains(&row)
            && (0..case.input[1] as isize).contains(&column);
        if inside {
            let pixel = row as usize * case.input[1] + column as usize;
            let value = f64::from(input[pixel * (case.channels + case.gaps[0]) + c]);
            greatest = greatest.max(value);
            sum += value;
            count += 1;
        }
    }
    match pool {
        Pool::Max => greatest,
        Pool::Mean => sum / count.max(1) as f64,
        Pool::MeanWithPadding => sum / (kernel[0] * kernel[1]) as f64,
    }
}

proptest! {
    #[test]
    fn windows_give_what_plain_loops_give(case in cases()) {
        let channels = case.channels;
        let strides = case.gaps.map(|gap| channels + gap);
        let [height, width] = case.out;
        let data = noise(case.seed, case.input[0] * case.input[1] * strides[0]);
        let input = View {
            data: &data,
            height: case.input[0],
            width: case.input[1],
            channels,
            pixel_stride: strides[0],
        };
        let cut = case.cut.min(height);
        for pool in [Pool::Max, Pool::Mean, Pool::MeanWithPadding] {
            for set in every_set() {
                let mut out = vec![7.0; height * width * strides[1]];
                let places = &mut out;
                let mut view =
                    ViewMut { data: places, height, width, channels, pixel_stride: strides[1] };
                for rows in [0..cut, cut..height] {
                    prop_assert!(pool_f32(set, pool, &case.window, &input, &mut view, rows));
                }
                for (index, &got) in out.iter().enumerate() {
                    let (pixel, c) = (index / strides[1], index % strides[1]);
                    let at = [pixel / width, pixel % width, c];
                    let want = if c < channels { value(&case, pool, &data, at) } else { 7.0 };
                    let close = f64::from(got) == want || (f64::from(got) - want).abs() <= 2e-6;
                    prop_assert!(close, "{} {:?} at {}: {}, not {}", set.name, pool, index, got, want);
                }
            }
        }
    }

    #[test]
    fn means_over_pixels_are_those_of_plain_sums(
        [height, width, channels, gap] in [1..12usize, 1..40usize, 1..70usize, 0..3usize],
        seed: u32,
    ) {
        let stride = channels + gap;
        let data = noise(seed, height * width * stride);
        let (mut out, mut scratch) = (vec![7.0; channels + 1], vec![f32::NAN; channels]);
        let input = View { data: &data, height, width, channels, pixel_stride: stride };
        for set in every_set() {
            prop_assert!(mean_over_pixels_f32(set, &input, &mut out, &mut scratch));
            prop_assert_eq!(out[channels], 7.0);
            for (c, &got) in out.iter().enumerate().take(channels) {
                let sum: f64 = data.iter().skip(c).step_by(stride).map(|&x| f64::from(x)).sum();
                let want = sum / (height * width) as f64;
                prop_assert!((f64::from(got) - want).abs() <= 1e-6, "{} channel {}", set.name, c);
            }
        }
    }
}

#[test]
fn short_slices_are_refused() {
    let data = [1.0; 18];
    let set = every_set().next().expect("a set");
    let input = View { data: &data, height: 3, width: 3, channels: 2, pixel_stride: 2 };
    let (mut places, mut sums) = ([7.0; 18], [7.0; 2]);
    let mut out = ViewMut { data: &mut places, height: 3, width: 3, channels: 2, pixel_stride: 2 };
    let short = View { data: &data[..17], ..input };
    assert!(!pool_f32(set, Pool::Max, &Window::ONE, &short, &mut out, 0..3));
    assert!(!pool_f32(set, Pool::Max, &Window::ONE, &input, &mut out, 0..4));
    assert!(!mean_over_pixels_f32(set, &short, &mut sums, &mut [0.0; 2]));
    assert!(!mean_over_pixels_f32(set, &input, &mut sums, &mut [0.0; 1]));
    assert!(!mean_over_pixels_f32(set, &input, &mut sums[..1], &mut [0.0; 2]));
    assert_eq!((places, sums), ([7.0; 18], [7.0; 2]));
}
