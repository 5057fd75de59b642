use super::*;
use crate::math::network::activation_f32::{Activation, Residual};
use crate::math::network::kernels_f32::{every_set, noise};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

#[derive(Clone, Debug)]
struct Case {
    rows: usize,
    depth: usize,
    columns: usize,
    /// More than the packed length of rows.
    gaps: [usize; 2],
    half: bool,
    transposed: bool,
    activation: usize,
    residual: Option<bool>,
    scale: f32,
    seed: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    let depth = prop_oneof![8 => 0..70usize, 1 => 1000..2100usize];
    let columns = prop_oneof![8 => 1..150usize, 1 => 250..330usize];
    (
        (1..40usize, depth, columns, [0..5usize, 0..5usize]),
        (any::<bool>(), any::<bool>(), 0..4usize, any::<Option<bool>>()),
        (0.5f32..2.0, any::<u32>()),
    )
        .prop_map(
            |((rows, depth, columns, gaps), (half, transposed, activation, residual), rest)| {
                let (scale, seed) = rest;
                Case {
                    rows,
                    depth,
                    columns,
                    gaps,
                    half,
                    transposed,
                    activation,
                    residual,
                    scale,
                    seed,
                }
            },
        )
}

fn activation(number: usize, slopes: &[f32]) -> Activation<'_> {
    let all = [
        Activation::None,
        Activation::Clip { low: 0.0, high: 2.0 },
        Activation::HardSwish,
        Activation::Prelu { slopes },
    ];
    all[number]
}

/// Independently: f64, one value at a time.
fn activated(number: usize, x: f64, slope: f32) -> f64 {
    match number {
        0 => x,
        1 => x.clamp(0.0, 2.0),
        2 => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        _ if x > 0.0 => x,
        _ => x * f64::from(slope),
    }
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let Case { rows, depth, columns, .. } = *case;
    let (left_stride, out_stride) = (depth + case.gaps[0], columns + case.gaps[1]);
    let left = noise(case.seed, rows * left_stride);
    let raw: Vec<f32> = noise(case.seed ^ 1, columns * depth)
        .into_iter()
        .map(|value| half::f16::from_f32(value).to_f32())
        .collect();
    let bias = noise(case.seed ^ 2, columns);
    let slopes = noise(case.seed ^ 3, columns);
    let extra = noise(case.seed ^ 4, rows * out_stride);
    let (mut packed, mut bits) =
        (vec![9.0; packed_len(columns, depth)], vec![9; packed_len(columns, depth)]);
    let packs = if case.transposed {
        pack_gemm_transposed_f32(&raw, columns, depth, &mut packed)
            && pack_gemm_transposed_f16(&raw, columns, depth, &mut bits)
    } else {
        pack_gemm_f32(&raw, columns, depth, &mut packed)
            && pack_gemm_f16(&raw, columns, depth, &mut bits)
    };
    prop_assert!(packs);
    let residual = case.residual.map(|after_activation| Residual {
        data: &extra,
        stride: out_stride,
        after_activation,
    });
    let product = Product {
        left: &left,
        zeros: &[],
        rows,
        depth,
        columns,
        weights: if case.half { Weights::F16(&bits) } else { Weights::F32(&packed) },
        epilogue: Epilogue {
            scale: case.scale,
            bias: &bias,
            residual,
            activation: activation(case.activation, &slopes),
        },
    };
    // The value, and the error that rounding every sum on the way may make.
    let value = |row: usize, column: usize| {
        let (mut sum, mut most) = (0.0f64, 1.0f64);
        for at in 0..depth {
            let place = if case.transposed { at * columns + column } else { column * depth + at };
            sum += f64::from(left[row * left_stride + at]) * f64::from(raw[place]);
            most = most.max(sum.abs());
        }
        let sum = sum * f64::from(case.scale) + f64::from(bias[column]);
        let extra = f64::from(extra[row * out_stride + column]);
        let value = match case.residual {
            None => activated(case.activation, sum, slopes[column]),
            Some(false) => activated(case.activation, sum + extra, slopes[column]),
            Some(true) => activated(case.activation, sum, slopes[column]) + extra,
        };
        (value, 2e-6 + 4e-7 * most * (depth as f64).sqrt())
    };
    for set in every_set() {
        let mut out = vec![7.0; rows * out_stride];
        prop_assert!(gemm_f32(&set.tile, &product, left_stride, &mut out, out_stride));
        for (index, &got) in out.iter().enumerate() {
            let (row, column) = (index / out_stride, index % out_stride);
            let (want, allowed) = if column < columns { value(row, column) } else { (7.0, 0.0) };
            prop_assert!(
                (f64::from(got) - want).abs() <= allowed,
                "{} ({row}, {column}): {got}, not {want}",
                set.name
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn products_are_those_of_plain_sums(case in cases()) {
        check(&case)?;
    }
}

#[test]
fn short_slices_are_refused_and_nothing_is_written() {
    let (left, weights, mut out) = ([1.0; 12], [1.0; 64], [7.0; 9]);
    let product = Product {
        left: &left,
        zeros: &[],
        rows: 3,
        depth: 4,
        columns: 3,
        weights: Weights::F32(&weights),
        epilogue: Epilogue::NONE,
    };
    for set in every_set() {
        let less_left = Product { left: &left[..11], ..product };
        let less_weights = Product { weights: Weights::F32(&weights[..63]), ..product };
        assert!(!gemm_f32(&set.tile, &less_left, 4, &mut out, 3));
        assert!(!gemm_f32(&set.tile, &less_weights, 4, &mut out, 3));
        assert!(!gemm_f32(&set.tile, &product, 4, &mut out[..8], 3));
        assert_eq!(out, [7.0; 9]);
    }
    for set in every_set() {
        assert!(gemm_f32(&set.tile, &product, 4, &mut out, 3));
        assert_eq!(out, [4.0; 9]);
    }
}

#[test]
fn kernels_refuse_tiles_that_do_not_fit() {
    let (left, weights) = ([1.0; 8], [1.0; 32]);
    for set in every_set() {
        for (offset, depth, start) in [(7, 2, 0), (ZEROS, 2, 0), (0, 2, 1), (0, 3, 0)] {
            let mut out = [7.0; 4];
            let segments = [Segment { start, len: 2 }];
            (set.tile.run)(&mut Tile {
                left: &left,
                zeros: &[0.0],
                panel: &Panel::of(&segments, |_, places| places.fill(offset)),
                first_row: 0,
                rows: 1,
                weights: Weights::F32(&weights),
                depth,
                columns: 4,
                out: &mut out,
                out_stride: 4,
                accumulate: false,
                epilogue: None,
            });
            assert_eq!(out, [7.0; 4], "{}: {offset} {depth} {start}", set.name);
        }
    }
}
