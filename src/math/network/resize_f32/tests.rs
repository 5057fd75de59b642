use super::*;
use crate::math::network::kernels_f32::{every_set, noise};
use proptest::prelude::*;
use std::vec;

const COORDINATES: [Coordinates; 4] = [
    Coordinates::HalfPixel,
    Coordinates::PytorchHalfPixel,
    Coordinates::AlignCorners,
    Coordinates::Asymmetric,
];
const NEAREST: [Interpolation; 4] = [
    Interpolation::RoundPreferFloor,
    Interpolation::RoundPreferCeil,
    Interpolation::Floor,
    Interpolation::Ceil,
];

/// Independently: ONNX's formulas in f64.
fn position(coordinates: Coordinates, at: usize, input: usize, output: usize) -> f64 {
    let (x, scale) = (at as f64, output as f64 / input as f64);
    match coordinates {
        Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
        Coordinates::PytorchHalfPixel if output == 1 => 0.0,
        Coordinates::PytorchHalfPixel => (x + 0.5) / scale - 0.5,
        Coordinates::AlignCorners if output == 1 => 0.0,
        Coordinates::AlignCorners => x * (input - 1) as f64 / (output - 1) as f64,
        Coordinates::Asymmetric => x / scale,
    }
}

fn nearest(interpolation: Interpolation, x: f64, input: usize) -> usize {
    let x = match interpolation {
        Interpolation::RoundPreferFloor => (x - 0.5).ceil(),
        Interpolation::RoundPreferCeil => (x + 0.5).floor(),
        Interpolation::Ceil => x.ceil(),
        _ => x.floor(),
    };
    x.clamp(0.0, (input - 1) as f64) as usize
}

proptest! {
    #[test]
    fn maps_are_resized_by_the_formulas(
        (input, output) in ([1..9usize, 1..9usize], [1..20usize, 1..20usize]),
        (coordinates, interpolation) in (0..4usize, 0..5usize),
        [channels, gap, out_gap, cut] in [1..40usize, 0..3usize, 0..3usize, 0..20usize],
        seed: u32,
    ) {
        let coordinates = COORDINATES[coordinates];
        let interpolation = *NEAREST.get(interpolation).unwrap_or(&Interpolation::Linear);
        let (stride, out_stride) = (channels + gap, channels + out_gap);
        let data = noise(seed, input[0] * input[1] * stride);
        let scales = [0, 1].map(|axis| output[axis] as f32 / input[axis] as f32);
        let resize = Resize { interpolation, coordinates, scales };
        let [height, width] = output;
        let view = View { data: &data, height: input[0], width: input[1], channels, pixel_stride: stride };
        let at = |y: usize, x: usize, c: usize| f64::from(data[(y * input[1] + x) * stride + c]);
        let mut scratch = vec![f32::NAN; resize_f32_scratch_len(input[1], channels)];
        for set in every_set() {
            let mut out = vec![7.0; height * width * out_stride];
            let places = &mut out;
            let mut to = ViewMut { data: places, height, width, channels, pixel_stride: out_stride };
            let cut = cut.min(height);
            for rows in [0..cut, cut..height] {
                prop_assert!(resize_f32(set, &resize, &view, &mut to, rows, &mut scratch));
            }
            for (index, &got) in out.iter().enumerate() {
                let (pixel, c) = (index / out_stride, index % out_stride);
                if c >= channels {
                    prop_assert_eq!(got, 7.0);
                    continue;
                }
                let y = position(coordinates, pixel / width, input[0], height);
                let x = position(coordinates, pixel % width, input[1], width);
                if interpolation != Interpolation::Linear {
                    // Where f32 and f64 fall on different sides of a step, either is right.
                    let near = |x: f64| [x - 1e-5, x, x + 1e-5];
                    let right = near(y).iter().flat_map(|y| near(x).map(|x| (*y, x))).any(|(y, x)| {
                        let y = nearest(interpolation, y, input[0]);
                        at(y, nearest(interpolation, x, input[1]), c) == f64::from(got)
                    });
                    prop_assert!(right, "{} at {}", set.name, index);
                    continue;
                }
                let y = y.clamp(0.0, (input[0] - 1) as f64);
                let x = x.clamp(0.0, (input[1] - 1) as f64);
                let (y0, x0) = (y as usize, x as usize);
                let (y1, x1) = ((y0 + 1).min(input[0] - 1), (x0 + 1).min(input[1] - 1));
                let (ty, tx) = (y - y0 as f64, x - x0 as f64);
                let upper = at(y0, x0, c) * (1.0 - tx) + at(y0, x1, c) * tx;
                let lower = at(y1, x0, c) * (1.0 - tx) + at(y1, x1, c) * tx;
                let want = upper * (1.0 - ty) + lower * ty;
                prop_assert!((f64::from(got) - want).abs() <= 5e-6, "{}: {} {}", set.name, got, want);
            }
        }
    }
}

#[test]
fn ties_go_where_the_rule_says() {
    let data = [0.0, 1.0, 2.0, 3.0];
    let view = View { data: &data, height: 1, width: 4, channels: 1, pixel_stride: 1 };
    let set = every_set().next().expect("a set");
    // Positions 0.5 and 2.5.
    let wants = [[0.0, 2.0], [1.0, 3.0], [0.0, 2.0], [1.0, 3.0]];
    for (interpolation, want) in NEAREST.into_iter().zip(wants) {
        let resize =
            Resize { interpolation, coordinates: Coordinates::HalfPixel, scales: [1.0, 0.5] };
        let mut out = [7.0; 2];
        let places = &mut out;
        let mut to = ViewMut { data: places, height: 1, width: 2, channels: 1, pixel_stride: 1 };
        assert!(resize_f32(set, &resize, &view, &mut to, 0..1, &mut [0.0; 4]));
        assert_eq!(out, want, "{interpolation:?}");
    }
}

#[test]
fn short_slices_are_refused() {
    let (data, mut places) = ([1.0; 4], [7.0; 16]);
    let set = every_set().next().expect("a set");
    let resize = Resize {
        interpolation: Interpolation::Linear,
        coordinates: Coordinates::HalfPixel,
        scales: [2.0; 2],
    };
    let view = View { data: &data, height: 2, width: 2, channels: 1, pixel_stride: 1 };
    let mut out = ViewMut { data: &mut places, height: 4, width: 4, channels: 1, pixel_stride: 1 };
    let short = View { data: &data[..3], ..view };
    let empty = View { width: 0, ..view };
    assert!(!resize_f32(set, &resize, &short, &mut out, 0..4, &mut [0.0; 2]));
    assert!(!resize_f32(set, &resize, &empty, &mut out, 0..4, &mut [0.0; 2]));
    assert!(!resize_f32(set, &resize, &view, &mut out, 0..4, &mut [0.0; 1]));
    assert!(!resize_f32(set, &resize, &view, &mut out, 0..5, &mut [0.0; 2]));
    assert_eq!(places, [7.0; 16]);
}
