//! Resampling in all modes.

use crate::reference::{Values, quantize};
use crate::support::{Builder, Noise, check_exactly, check_nearly, f32_tensor, u8_tensor};
use zsseg::plan::{CoordinateMode, Element, Interpolation, Nearest, Operation, Plan, Tensor};
use zsseg::status::Status;

const MODES: [CoordinateMode; 4] = [
    CoordinateMode::HalfPixel,
    CoordinateMode::AlignCorners,
    CoordinateMode::Asymmetric,
    CoordinateMode::PytorchHalfPixel,
];
const NEAREST: [Nearest; 4] =
    [Nearest::Floor, Nearest::Ceil, Nearest::RoundPreferFloor, Nearest::RoundPreferCeil];

/// ONNX's coordinate of an output position, in f32 as kernels have it.
fn coordinate(mode: CoordinateMode, at: usize, scale: f32, input: u32, output: u32) -> f32 {
    let x = at as f32;
    match mode {
        CoordinateMode::HalfPixel => (x + 0.5) / scale - 0.5,
        CoordinateMode::PytorchHalfPixel if output > 1 => (x + 0.5) / scale - 0.5,
        CoordinateMode::AlignCorners if output > 1 => x * (input - 1) as f32 / (output - 1) as f32,
        CoordinateMode::Asymmetric => x / scale,
        _ => 0.0,
    }
}

/// Two positions and the weight of the second.
fn taps(position: f32, input: u32) -> (usize, usize, f32) {
    let position = position.clamp(0.0, (input - 1) as f32);
    let first = position.floor();
    (first as usize, (first as usize + 1).min(input as usize - 1), position - first)
}

fn nearest(position: f32, rule: Nearest, input: u32) -> usize {
    let rounded = match rule {
        Nearest::Floor => position.floor(),
        Nearest::Ceil => position.ceil(),
        Nearest::RoundPreferFloor => (position - 0.5).ceil(),
        Nearest::RoundPreferCeil => (position + 0.5).floor(),
    };
    rounded.clamp(0.0, (input - 1) as f32) as usize
}

fn resized(
    interpolation: Interpolation,
    coordinates: CoordinateMode,
    from: Tensor,
    to: Tensor,
) -> Builder {
    let mut builder = Builder::new(from);
    let output = builder.tensor(to);
    let to = builder.of(output);
    let scale_y = to.height as f32 / from.height as f32;
    let scale_x = to.width as f32 / from.width as f32;
    let expected = move |inputs: &[Values]| {
        let mut values = Values::zeros(&to);
        values.fill(|y, x, c| {
            let down = coordinate(coordinates, y, scale_y, from.height, to.height);
            let right = coordinate(coordinates, x, scale_x, from.width, to.width);
            let value = match interpolation {
                Interpolation::Bilinear => {
                    let (top, bottom, t) = taps(down, from.height);
                    let (left, right, u) = taps(right, from.width);
                    let at = |y: usize, x: usize| inputs[0].at(y, x, c) as f32;
                    let blend = |p: f32, q: f32, t: f32| p + (q - p) * t;
                    let left = blend(at(top, left), at(bottom, left), t);
                    let right = blend(at(top, right), at(bottom, right), t);
                    blend(left, right, u)
                }
                Interpolation::Nearest(rule) => {
                    let place =
                        (nearest(down, rule, from.height), nearest(right, rule, from.width));
                    inputs[0].at(place.0, place.1, c) as f32
                }
            };
            let steps = value - f32::from(from.zero_point);
            match (from.element, to.element) {
                (Element::U8, Element::U8) => {
                    quantize(steps * (from.scale / to.scale), to.zero_point, 0, 255)
                }
                (Element::U8, Element::F32) => f64::from(steps * from.scale),
                _ => f64::from(value),
            }
        });
        values
    };
    let operation = Operation::Resize { interpolation, coordinates, scale_y, scale_x };
    builder.step(operation, &[0], output, &[], Box::new(expected));
    builder.finish(output)
}

/// The resize of [`resized`] with its results looked up in a table.
fn looked_up(interpolation: Interpolation, from: [u32; 3], to: [u32; 3]) -> Builder {
    let (from, same) = (u8_tensor(from, 0.02, 90), u8_tensor(to, 0.02, 90));
    let mut builder = resized(interpolation, CoordinateMode::HalfPixel, from, same);
    let table = Noise(to[0].into()).bytes(256);
    builder.steps[0].constants[0] = builder.constant(&table);
    builder.tensors[1].scale = 0.05;
    builder.tensors[1].zero_point = 7;
    let plain = builder.expected.remove(0);
    let expected = move |inputs: &[Values]| {
        let mut values = plain(inputs);
        values.data.iter_mut().for_each(|value| *value = f64::from(table[*value as usize]));
        values
    };
    builder.expected.push(Box::new(expected));
    builder
}

#[test]
fn looked_up_in_a_table() {
    for (from, to) in SIZES {
        check_exactly(&looked_up(Interpolation::Bilinear, from, to));
        check_exactly(&looked_up(Interpolation::Nearest(Nearest::Floor), from, to));
    }
    let mut builder = looked_up(Interpolation::Bilinear, [2, 2, 3], [4, 4, 3]);
    builder.steps[0].constants[0].len_bytes = 255;
    let error = Plan::new(&builder.encode()).unwrap_err();
    assert_eq!(error.what(), "length of a constant");
}

const SIZES: [([u32; 3], [u32; 3]); 4] = [
    ([4, 3, 5], [9, 7, 5]),
    ([9, 7, 66], [4, 3, 66]),
    ([1, 1, 20], [3, 5, 20]),
    ([5, 5, 3], [1, 10, 3]),
];

#[test]
fn in_integers() {
    for (from, to) in SIZES {
        for coordinates in MODES {
            let from = u8_tensor(from, 0.02, 90);
            let bilinear = Interpolation::Bilinear;
            let same = u8_tensor(to, 0.02, 90);
            let other = u8_tensor(to, 0.03, 120);
            check_exactly(&resized(bilinear, coordinates, from, same));
            check_exactly(&resized(bilinear, coordinates, from, other));
            check_nearly(&resized(bilinear, coordinates, from, f32_tensor(to)));
            for rule in NEAREST.map(Interpolation::Nearest) {
                check_exactly(&resized(rule, coordinates, from, same));
                check_exactly(&resized(rule, coordinates, from, other));
                check_nearly(&resized(rule, coordinates, from, f32_tensor(to)));
            }
        }
    }
}

#[test]
fn in_floats() {
    for (from, to) in SIZES {
        for coordinates in MODES {
            let (from, to) = (f32_tensor(from), f32_tensor(to));
            check_nearly(&resized(Interpolation::Bilinear, coordinates, from, to));
            for rule in NEAREST.map(Interpolation::Nearest) {
                check_nearly(&resized(rule, coordinates, from, to));
            }
        }
    }
}

#[test]
fn resizes_that_are_refused() {
    let refused = |from: Tensor, to: Tensor, scale: f32| {
        let mut builder = resized(Interpolation::Bilinear, CoordinateMode::HalfPixel, from, to);
        let Operation::Resize { scale_x, .. } = &mut builder.steps[0].operation else {
            unreachable!()
        };
        *scale_x = scale;
        let error = Plan::new(&builder.encode()).unwrap_err();
        (error.status(), error.what())
    };
    let (from, to) = (u8_tensor([2, 2, 3], 1.0, 0), u8_tensor([4, 4, 3], 1.0, 0));
    for scale in [0.0, -1.0, 1e-45] {
        assert_eq!(refused(from, to, scale), (Status::BundleContent, "scale of a resize"));
    }
    assert_eq!(refused(from, to, f32::NAN).1, "number of an operation");
    assert_eq!(refused(from, u8_tensor([4, 4, 2], 1.0, 0), 2.0).1, "shape of a tensor");
    let floats = f32_tensor([2, 2, 3]);
    assert_eq!(refused(floats, to, 2.0), (Status::Unsupported, "element type for this operation"));
}
