//! Ranges of activations.

use proptest::prelude::*;
use zsseg::convert::{Histogram, RangeMethod, grid_of_range, squared_error};

fn histogram(values: &[f32]) -> Histogram {
    let mut histogram = Histogram::default();
    assert!(histogram.add(values));
    histogram
}

fn error(values: &[f32], method: RangeMethod) -> f64 {
    let pairs: Vec<(f32, u64)> = values.iter().map(|value| (*value, 1)).collect();
    squared_error(&pairs, histogram(values).grid(method))
}

proptest! {
    #[test]
    fn zero_is_exact_and_what_lies_within_is_half_a_step_away(
        ends in [-1e4f32..1e4, -1e4f32..1e4],
        size in prop_oneof![Just(1e-30f32), Just(1e-4), Just(1.0), Just(1e30)],
        places in proptest::collection::vec(0.0f32..=1.0, 1..50),
    ) {
        let (low, high) = (ends[0].min(ends[1]) * size, ends[0].max(ends[1]) * size);
        let grid = grid_of_range(low, high);
        prop_assert!(grid.scale > 0.0 && grid.scale.is_finite());
        prop_assert_eq!(grid.real(grid.quantized(0.0)), 0.0);
        for place in places {
            let value = low + (high - low) * place;
            let away = (grid.real(grid.quantized(value)) - value).abs();
            prop_assert!(away <= grid.scale * 0.5001, "{} of {}", away, grid.scale);
        }
    }

    #[test]
    fn the_search_is_never_worse_than_the_extremes(
        values in proptest::collection::vec(-3.0f32..9.0, 20..400),
        outlier in -50.0f32..50.0,
    ) {
        let values = [&values[..], &[outlier]].concat();
        let of = |method| error(&values, method).sqrt();
        // A histogram moves each value by half a bin at most, and its distance from the grid by no
        // more than that; a bin is at most 1 / 4096 of the largest value wide.
        let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let moved = (values.len() as f64).sqrt() * f64::from(largest) / 8192.0;
        let (search, extremes) = (of(RangeMethod::Mse), of(RangeMethod::MinMax));
        prop_assert!(search <= extremes + 2.0 * moved + 1e-9, "{} and {}", search, extremes);
    }

    #[test]
    fn merging_counts_everything_once(
        one in proptest::collection::vec(-3.0f32..3.0, 1..50),
        other in proptest::collection::vec(-300.0f32..300.0, 1..50),
    ) {
        let mut merged = histogram(&one);
        merged.merge(&histogram(&other));
        prop_assert_eq!(merged, histogram(&[one, other].concat()));
    }
}

#[test]
fn a_few_outliers_do_not_coarsen_the_rest() {
    let mut values: Vec<f32> = (0..20_000).map(|at| (at % 997) as f32 / 997.0).collect();
    values.push(20.0);
    let of = |method| error(&values, method);
    assert!(of(RangeMethod::Mse) < of(RangeMethod::MinMax), "the search");
    let grid = histogram(&values).grid(RangeMethod::Percentile(99.9));
    assert!((grid.scale * 255.0 - 1.0).abs() < 0.01, "{grid:?}");
    let whole = histogram(&values).grid(RangeMethod::Percentile(100.0));
    assert_eq!(whole, histogram(&values).grid(RangeMethod::MinMax));
}

#[test]
fn percentiles_cut_both_ends() {
    let values: Vec<f32> = (-10_000..=10_000).map(|at| at as f32 / 10_000.0).collect();
    let grid = histogram(&values).grid(RangeMethod::Percentile(90.0));
    let (low, high) = (grid.real(0), grid.real(255));
    assert!((low + 0.9).abs() < 0.01 && (high - 0.9).abs() < 0.01, "{low} {high}");
}

#[test]
fn constants_and_nothing_at_all_have_grids() {
    let zeros = histogram(&[0.0; 9]);
    for method in [RangeMethod::MinMax, RangeMethod::Percentile(99.0), RangeMethod::Mse] {
        assert_eq!((zeros.grid(method).scale, zeros.grid(method).zero_point), (1.0, 0));
        assert_eq!(Histogram::default().grid(method), zeros.grid(method));
        for constant in [5.0f32, -0.25, 1e-12, 3e30] {
            let grid = histogram(&[constant; 7]).grid(method);
            let found = grid.real(grid.quantized(constant));
            assert!((found - constant).abs() <= 2e-3 * constant.abs(), "{constant}: {found}");
        }
    }
}

#[test]
fn what_is_not_finite_is_not_counted() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut histogram = histogram(&[1.0, -2.0]);
        assert!(!histogram.add(&[0.5, bad]));
        assert_eq!(histogram.ends(), [-2.0, 1.0]);
    }
}
