use super::*;
use crate::math::network::kernels_f32::{every_set, noise};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const OPS: [Binary; 8] = [
    Binary::Add,
    Binary::Sub,
    Binary::SubFrom,
    Binary::Mul,
    Binary::Div,
    Binary::DivInto,
    Binary::Min,
    Binary::Max,
];

/// Independently.
fn exact(op: Binary, left: f32, right: f32) -> f32 {
    match op {
        Binary::Add => left + right,
        Binary::Sub => left - right,
        Binary::SubFrom => right - left,
        Binary::Mul => left * right,
        Binary::Div => left / right,
        Binary::DivInto => right / left,
        Binary::Min => left.min(right),
        Binary::Max => left.max(right),
        Binary::Pow => left.powf(right),
        Binary::PowOf => right.powf(left),
    }
}

#[derive(Clone, Debug)]
struct Case {
    shape: [usize; 3],
    gaps: [usize; 3],
    kind: usize,
    in_place: bool,
    op: usize,
    rows: [usize; 2],
    seed: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = [1..6usize, 1..6usize, 1..40usize];
    let gaps = prop_oneof![Just([0; 3]), [0..4usize, 0..4usize, 0..4usize]];
    (shape, gaps, 0..4usize, any::<bool>(), 0..8usize, [0..6usize, 0..6usize], any::<u32>())
        .prop_map(|(shape, gaps, kind, in_place, op, rows, seed)| {
            let rows = rows.map(|row| row.min(shape[0]));
            let rows = [rows[0].min(rows[1]), rows[0].max(rows[1])];
            Case { shape, gaps, kind, in_place, op, rows, seed }
        })
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let [height, width, channels] = case.shape;
    let strides = case.gaps.map(|gap| channels + gap);
    let pixels = height * width;
    let left = noise(case.seed, pixels * strides[0]);
    let right = noise(case.seed ^ 1, pixels * strides[1]);
    let before = noise(case.seed ^ 2, pixels * strides[2]);
    let map = |data, channels, pixel_stride| View { data, height, width, channels, pixel_stride };
    let operand = match case.kind {
        0 => Right::Map(map(&right, channels, strides[1])),
        1 => Right::PerChannel(&right[..channels]),
        2 => Right::PerPixel(map(&right, 1, strides[1])),
        _ => Right::Scalar(right[0]),
    };
    let op = OPS[case.op];
    for set in every_set() {
        let mut out = before.clone();
        let data = &mut out;
        let mut view = ViewMut { data, height, width, channels, pixel_stride: strides[2] };
        let rows = case.rows[0]..case.rows[1];
        let done = if case.in_place {
            binary_in_place_f32(set, op, &operand, &mut view, rows)
        } else {
            let left = map(&left, channels, strides[0]);
            binary_f32(set, op, &left, &operand, &mut view, rows)
        };
        prop_assert!(done);
        for (index, (&got, &before)) in out.iter().zip(&before).enumerate() {
            let (pixel, c) = (index / strides[2], index % strides[2]);
            let made = (case.rows[0] * width..case.rows[1] * width).contains(&pixel);
            let left =
                if case.in_place || c >= channels { before } else { left[pixel * strides[0] + c] };
            let want = if c < channels && made {
                let right = match case.kind {
                    0 => right[pixel * strides[1] + c],
                    1 => right[c],
                    2 => right[pixel * strides[1]],
                    _ => right[0],
                };
                exact(op, left, right)
            } else {
                before
            };
            prop_assert_eq!(got, want, "{} {:?} at {}", set.name, op, index);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn two_operands_give_what_scalars_give(case in cases()) {
        check(&case)?;
    }
}

#[test]
fn activations_are_close_to_the_exact_ones() {
    let channels = 37;
    let data: Vec<f32> = noise(7, 5 * 3 * channels).iter().map(|value| value * 12.0).collect();
    let slopes = noise(8, channels);
    let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    type Exact<'a> = &'a dyn Fn(f64, usize) -> f64;
    let cases: [(Activation<'_>, Exact<'_>); 17] = [
        (Activation::None, &|x, _| x),
        (Activation::Clip { low: -1.0, high: 6.0 }, &|x, _| x.clamp(-1.0, 6.0)),
        (Activation::HardSwish, &|x, _| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
        (Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }, &|x, _| {
            (0.2 * x + 0.5).clamp(0.0, 1.0)
        }),
        (Activation::Sigmoid, &|x, _| sigmoid(x)),
        (Activation::Silu, &|x, _| x * sigmoid(x)),
        (Activation::Tanh, &|x, _| libm::tanh(x)),
        (Activation::Gelu, &|x, _| 0.5 * x * libm::erfc(-x / core::f64::consts::SQRT_2)),
        (Activation::GeluTanh, &|x, _| {
            x * sigmoid(2.0 * (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x))
        }),
        (Activation::LeakyRelu { slope: 0.1 }, &|x, _| if x > 0.0 { x } else { 0.1 * x }),
        (Activation::Prelu { slopes: &slopes }, &|x, c| {
            if x > 0.0 { x } else { x * f64::from(slopes[c]) }
        }),
        (Activation::Exp, &|x, _| libm::exp(x)),
        (Activation::Erf, &|x, _| libm::erf(x)),
        (Activation::Abs, &|x, _| x.abs()),
        (Activation::Affine { factor: 3.0, summand: -2.0 }, &|x, _| 3.0 * x - 2.0),
        (Activation::Clip { low: 0.0, high: f32::INFINITY }, &|x, _| x.max(0.0)),
        (Activation::Sqrt, &|x, _| x.abs().sqrt()),
    ];
    for (set, (activation, exact)) in
        every_set().flat_map(|set| cases.iter().map(move |c| (set, c)))
    {
        let positive: Vec<f32> = data.iter().map(|value| value.abs()).collect();
        let data = if *activation == Activation::Sqrt { &positive } else { &data };
        for (channels_out, pixel_stride) in [(channels, channels), (channels - 4, channels)] {
            let view = View { data, height: 5, width: 3, channels: channels_out, pixel_stride };
            let mut out = vec![7.0; data.len()];
            let places = &mut out;
            let mut to =
                ViewMut { data: places, height: 5, width: 3, channels: channels_out, pixel_stride };
            assert!(unary_f32(set, *activation, &view, &mut to, 1..5));
            for (index, (&got, &x)) in out.iter().zip(data).enumerate() {
                let (pixel, c) = (index / channels, index % channels);
                let made = pixel >= 3 && c < channels_out;
                let want = if made { exact(f64::from(x), c) } else { 7.0 };
                let error = (f64::from(got) - want).abs();
                let name = set.name;
                assert!(
                    error <= 2e-6 * want.abs().max(0.1),
                    "{name} {activation:?} {x}: {got}, {want}"
                );
            }
        }
    }
}

#[test]
fn shapes_that_differ_are_refused() {
    let data = [1.0; 24];
    let set = every_set().next().expect("a set");
    let view = View { data: &data, height: 2, width: 3, channels: 4, pixel_stride: 4 };
    let mut places = [7.0; 24];
    let mut out = ViewMut { data: &mut places, height: 3, width: 2, channels: 4, pixel_stride: 4 };
    assert!(!binary_f32(set, Binary::Add, &view, &Right::Scalar(1.0), &mut out, 0..3));
    assert!(!binary_in_place_f32(set, Binary::Add, &Right::Map(view), &mut out, 0..3));
    assert!(!binary_in_place_f32(set, Binary::Add, &Right::PerChannel(&data[..3]), &mut out, 0..3));
    assert!(!binary_in_place_f32(set, Binary::Add, &Right::Scalar(1.0), &mut out, 0..4));
    assert!(!unary_f32(set, Activation::Abs, &view, &mut out, 0..3));
    assert_eq!(places, [7.0; 24]);
}
