//! The eigenvectors.

use super::support::{
    Random, affinity, angle, clusters, degrees, dot, exactly, map, search, search_with,
};
use proptest::prelude::*;
use zsseg::arena::Arena;
use zsseg::map::{Layout, Map};
use zsseg::math::kernels::{Kernels, PORTABLE};
use zsseg::spectral::{Inputs, Settings, Shape, Spectral, Storage};
use zsseg::status::Status;

fn plain(features: Map<'_, f32>) -> Inputs<'_> {
    Inputs { features, color: None }
}

/// Golden vector G5 of methods.md. W has rank 2: beyond the first, any basis is right.
#[test]
fn golden_vector() {
    let features = [1.0, 0.1, 1.0, 0.2, 0.9, 0.0, 0.1, 1.0, 0.2, 1.0, 0.0, 0.9];
    let shape = Shape { height: 2, width: 3, channels: 2 };
    for (segments, storage) in [(1, Storage::Dense), (5, Storage::Dense), (5, Storage::MatrixFree)]
    {
        let settings = Settings { segments, storage, ..Settings::DEFAULT };
        let inputs = plain(map(&features, &shape, Layout::Hwc));
        let found = search(&shape, &settings, &inputs).unwrap();
        assert_eq!((found.outcome.found, found.outcome.converged), (segments, segments));
        assert!((found.values[0] - 0.310449).abs() < 2e-6, "{:?}", found.values);
        let sign = -found.vectors[0][0].signum();
        let want = [-0.2130, -0.1735, -0.2603, 0.2130, 0.1735, 0.2603];
        for (found, want) in found.vectors[0].iter().zip(want) {
            assert!((sign * found - want).abs() < 6e-5, "{found} for {want}");
        }
        for value in &found.values[1..] {
            assert!((value - 1.0).abs() < 1e-5, "{value}");
        }
    }
}

#[test]
fn degrees_of_the_golden_vector() {
    let features = [1.0, 0.1, 1.0, 0.2, 0.9, 0.0, 0.1, 1.0, 0.2, 1.0, 0.0, 0.9];
    let want = [3.580504, 3.849255, 3.271238, 3.580504, 3.849255, 3.271238];
    for (found, want) in degrees(&affinity(&features, 2)).iter().zip(want) {
        assert!((found - want).abs() < 1e-6);
    }
}

/// The greatest of the true residuals `|M u - theta u|` and of the products that should be 0.
fn check(features: &[f32], shape: &Shape, vectors: &[Vec<f32>], values: &[f32]) -> (f64, f64) {
    let affinity = affinity(features, shape.channels);
    let roots: Vec<f64> = degrees(&affinity).iter().map(|degree| degree.sqrt()).collect();
    let length = dot(&roots, &roots).sqrt();
    let mut units = vec![roots.iter().map(|root| root / length).collect::<Vec<_>>()];
    let mut worst: f64 = 0.0;
    for (vector, value) in vectors.iter().zip(values) {
        let u: Vec<f64> = vector.iter().zip(&roots).map(|(&y, root)| f64::from(y) * root).collect();
        let scaled: Vec<f64> = u.iter().zip(&roots).map(|(u, root)| u / root).collect();
        let mut square = 0.0;
        for ((row, root), u) in affinity.iter().zip(&roots).zip(&u) {
            square += (dot(row, &scaled) / root - (1.0 - f64::from(*value)) * u).powi(2);
        }
        worst = worst.max(square.sqrt());
        units.push(u);
    }
    let mut skew: f64 = 0.0;
    for (i, left) in units.iter().enumerate() {
        for (j, right) in units.iter().enumerate() {
            let want = if i == j { 1.0 } else { 0.0 };
            skew = skew.max((dot(left, right) - want).abs());
        }
    }
    (worst, skew)
}

prop_compose! {
    fn shapes()(height in 2usize..13, width in 1usize..13, channels in 1usize..40) -> Shape {
        Shape { height, width, channels }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn eigenvectors_are_orthogonal_in_d_and_residuals_small(
        shape in shapes(), segments in 1usize..6, seed: u64,
    ) {
        let features = clusters(&shape, seed);
        let settings = Settings { segments, iterations: 200, ..Settings::DEFAULT };
        let inputs = plain(map(&features, &shape, Layout::Hwc));
        let found = search(&shape, &settings, &inputs).unwrap();
        prop_assert_eq!(found.outcome.found, segments.min(shape.height * shape.width - 1));
        prop_assert_eq!(found.outcome.converged, found.outcome.found);
        let (residual, skew) = check(&features, &shape, &found.vectors, &found.values);
        prop_assert!(residual < 1.5e-5, "residual {residual}");
        prop_assert!(skew < 3e-6, "skew {skew}");
        prop_assert!(found.values.is_sorted());
        for vector in &found.vectors {
            let positive = vector.iter().filter(|value| **value > 0.0).count();
            prop_assert!(positive * 2 <= vector.len() || positive == vector.len());
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_processor_or_the_run(shape in shapes(), seed: u64) {
        let features = clusters(&shape, seed);
        let inputs = plain(map(&features, &shape, Layout::Hwc));
        for storage in [Storage::Dense, Storage::MatrixFree] {
            let settings = Settings { storage, ..Settings::DEFAULT };
            let first = search_with(&shape, &settings, &inputs, &PORTABLE).unwrap();
            let second = search_with(&shape, &settings, &inputs, Kernels::detect()).unwrap();
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn layout_and_storage_change_nothing_but_rounding(shape in shapes(), seed: u64) {
        let features = clusters(&shape, seed);
        let cells = shape.height * shape.width;
        let planar: Vec<f32> = (0..features.len())
            .map(|at| features[at % cells * shape.channels + at / cells])
            .collect();
        let settings = Settings { iterations: 200, ..Settings::DEFAULT };
        let free = Settings { storage: Storage::MatrixFree, ..settings };
        let interleaved = plain(map(&features, &shape, Layout::Hwc));
        let planar = plain(map(&planar, &shape, Layout::Chw));
        let want = search(&shape, &settings, &interleaved).unwrap();
        for (settings, inputs) in [(settings, planar), (free, planar), (free, interleaved)] {
            let found = search(&shape, &settings, &inputs).unwrap();
            for (found, want) in found.values.iter().zip(&want.values) {
                prop_assert!((found - want).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn permuted_cells_have_permuted_eigenvectors(seed: u64) {
        let shape = Shape { height: 8, width: 9, channels: 24 };
        let features = clusters(&shape, seed);
        let mut order: Vec<usize> = (0..72).collect();
        let mut random = Random(seed ^ 1);
        (1..72).for_each(|at| order.swap(at, ((random.next() + 1.0) * 35.0) as usize % (at + 1)));
        let permuted: Vec<f32> =
            order.iter().flat_map(|&cell| &features[cell * 24..(cell + 1) * 24]).copied().collect();
        let settings = Settings { segments: 3, tolerance: 1e-6, ..Settings::DEFAULT };
        let one = search(&shape, &settings, &plain(map(&features, &shape, Layout::Hwc))).unwrap();
        let two = search(&shape, &settings, &plain(map(&permuted, &shape, Layout::Hwc))).unwrap();
        for (one, two) in one.values.iter().zip(&two.values) {
            prop_assert!((one - two).abs() < 1e-5);
        }
        let wider = Settings { segments: 4, ..settings };
        let wider = search(&shape, &wider, &plain(map(&features, &shape, Layout::Hwc))).unwrap();
        let gap = f64::from(wider.values[3] - wider.values[2]);
        let moved: Vec<Vec<f32>> =
            one.vectors.iter().map(|y| order.iter().map(|&cell| y[cell]).collect()).collect();
        let apart = angle(&moved, &two.vectors);
        prop_assert!(apart * gap < 1e-5, "angle {apart}, gap {gap}");
    }
}

/// Three groups that share nothing: 0 is a threefold eigenvalue, once deflated twofold.
#[test]
fn separate_parts_are_told_apart() {
    let shape = Shape { height: 6, width: 6, channels: 3 };
    let mut features = vec![0.0; 36 * 3];
    (0..36).for_each(|cell| features[cell * 3 + cell / 12] = 2.0);
    let settings = Settings { segments: 2, ..Settings::DEFAULT };
    let found = search(&shape, &settings, &plain(map(&features, &shape, Layout::Hwc))).unwrap();
    assert_eq!(found.outcome.converged, 2);
    assert!(found.values.iter().all(|value| value.abs() < 1e-6), "{:?}", found.values);
    for vector in &found.vectors {
        for part in vector.chunks(12) {
            assert!(part.iter().all(|value| (value - part[0]).abs() < 1e-5), "{vector:?}");
        }
    }
}

#[test]
fn empty_cells_stand_alone() {
    let shape = Shape { height: 3, width: 4, channels: 5 };
    let mut features = clusters(&shape, 3);
    features[..10].fill(0.0);
    for storage in [Storage::Dense, Storage::MatrixFree] {
        let settings = Settings { segments: 3, storage, ..Settings::DEFAULT };
        let found = search(&shape, &settings, &plain(map(&features, &shape, Layout::Hwc))).unwrap();
        let (residual, skew) = check(&features, &shape, &found.vectors, &found.values);
        assert!(residual < 2e-5 && skew < 1e-5, "{residual} {skew}");
    }
    features.fill(0.0);
    let settings = Settings { segments: 3, ..Settings::DEFAULT };
    let found = search(&shape, &settings, &plain(map(&features, &shape, Layout::Hwc))).unwrap();
    assert_eq!(found.values, [1.0; 3]);
}

#[test]
fn small_grids_have_fewer_segments() {
    for (cells, wanted) in [(1, 0), (2, 1), (4, 3)] {
        let shape = Shape { height: 1, width: cells, channels: 2 };
        let features = clusters(&shape, 9);
        let inputs = plain(map(&features, &shape, Layout::Chw));
        let found = search(&shape, &Settings::DEFAULT, &inputs).unwrap();
        assert_eq!(found.outcome.found, wanted);
    }
    let shape = Shape { height: 3, width: 3, channels: 2 };
    let features = clusters(&shape, 9);
    let none = Settings { segments: 0, ..Settings::DEFAULT };
    let found = search(&shape, &none, &plain(map(&features, &shape, Layout::Chw))).unwrap();
    assert_eq!(found.outcome.found, 0);
}

#[test]
fn too_few_iterations_give_what_there_is() {
    let shape = Shape { height: 12, width: 12, channels: 30 };
    let features = clusters(&shape, 5);
    let settings = Settings { iterations: 5, ..Settings::DEFAULT };
    let found = search(&shape, &settings, &plain(map(&features, &shape, Layout::Hwc))).unwrap();
    assert_eq!((found.outcome.found, found.outcome.steps), (5, 5));
    assert!(found.outcome.converged < 5 && found.residuals.iter().any(|r| *r > 1e-5));
}

/// The colour graph against its definition: entries of W from unit vectors.
#[test]
fn color_joins_neighbors() {
    let (height, width) = (5, 7);
    let shape = Shape { height, width, channels: 2 };
    // Two levels, so that there are many ties: the lower cell is then the nearer.
    let level = |value: &f32| if *value > 0.3 { 1.0 } else { 0.25 };
    let color: Vec<f32> = Random(8).take(height * width * 3).iter().map(level).collect();
    let apart = |i: usize, j: usize| {
        let x = (i % width).abs_diff(j % width) as f64 * (1.0 / 6.0);
        let y = (i / width).abs_diff(j / width) as f64 * (1.0 / 4.0);
        x * x + y * y
    };
    let cells = height * width;
    let mut want = vec![vec![0.0; cells]; cells];
    for i in 0..cells {
        for (count, weight) in [(20, 2.0), (10, 0.1)] {
            let distance = |j: usize| {
                let hue: f64 = (0..3)
                    .map(|c| f64::from(color[c * cells + i] - color[c * cells + j]).powi(2))
                    .sum();
                hue + weight * weight * apart(i, j)
            };
            let mut nearest: Vec<usize> = (0..cells).collect();
            nearest.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            for &j in nearest.iter().take(count) {
                want[i][j] += 3.0;
                want[j][i] += 3.0;
            }
        }
    }
    assert!((0..cells).all(|cell| want[cell][cell] == 12.0));
    // Features at right angles or at none: W's own part is 1 within and 0 between two halves.
    let features: Vec<f32> =
        (0..cells).flat_map(|cell| if cell % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
    for (i, row) in want.iter_mut().enumerate() {
        row.iter_mut().skip(i % 2).step_by(2).for_each(|entry| *entry += 1.0);
    }
    let roots: Vec<f64> = degrees(&want).iter().map(|degree| degree.sqrt()).collect();
    for storage in [Storage::Dense, Storage::MatrixFree] {
        let settings = Settings { color_weight: 3.0, iterations: 34, storage, ..Settings::DEFAULT };
        let features = map(&features, &shape, Layout::Hwc);
        let color = Map::new(&color, height, width, 3, Layout::Chw).unwrap();
        let inputs = Inputs { features, color: Some(color) };
        let found = search(&shape, &settings, &inputs).unwrap();
        assert_eq!(found.outcome.converged, 5);
        for (vector, value) in found.vectors.iter().zip(&found.values) {
            let y: Vec<f64> = vector.iter().map(|&y| y.into()).collect();
            for ((row, root), y_i) in want.iter().zip(&roots).zip(&y) {
                let rest = dot(row, &y) / root - (1.0 - f64::from(*value)) * y_i * root;
                assert!(rest.abs() < 2e-5, "{rest}");
            }
        }
        let missing = search(&shape, &settings, &plain(features)).unwrap_err();
        assert_eq!(missing.status(), Status::InvalidArgument);
    }
}

#[test]
fn steps_give_what_a_run_gives() {
    let shape = Shape { height: 9, width: 11, channels: 12 };
    let features = clusters(&shape, 77);
    let inputs = plain(map(&features, &shape, Layout::Hwc));
    let settings = Settings::DEFAULT;
    let want = search(&shape, &settings, &inputs).unwrap();
    let kernels = Kernels::detect();
    let carve =
        |arena: &mut Arena<'_>| Spectral::carve(arena, &shape, &settings, kernels).map(drop);
    exactly(carve, |arena| {
        let mut spectral = Spectral::carve(arena, &shape, &settings, kernels).unwrap();
        let early = spectral.step(&inputs).unwrap_err();
        assert_eq!(early.status(), Status::InvalidState);
        for _ in 0..2 {
            spectral.begin(&inputs).unwrap();
            assert_eq!(spectral.segments().count(), 0);
            let mut calls = 1;
            while spectral.step(&inputs).unwrap().is_none() {
                calls += 1;
            }
            assert!(calls <= 99 / 16 + settings.iterations + 5, "{calls} calls");
            assert_eq!(spectral.step(&inputs).unwrap(), Some(want.outcome));
            assert_eq!(spectral.segments().vector(2), want.vectors[2]);
        }
    });
}

#[test]
fn bad_input_is_refused() {
    let shape = Shape { height: 4, width: 4, channels: 3 };
    let mut features = clusters(&shape, 1);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        let kept = std::mem::replace(&mut features[17], bad);
        let inputs = plain(map(&features, &shape, Layout::Hwc));
        let error = search(&shape, &Settings::DEFAULT, &inputs).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument, "{bad}");
        features[17] = kept;
    }
    let other = Map::new(&features, 2, 8, 3, Layout::Hwc).unwrap();
    let error = search(&shape, &Settings::DEFAULT, &plain(other)).unwrap_err();
    assert_eq!(error.status(), Status::ModelShape);

    let refused = |shape: Shape, settings: Settings| {
        let result = Spectral::carve(&mut Arena::counting(), &shape, &settings, &PORTABLE);
        result.map(drop).unwrap_err().status()
    };
    let good = Settings::DEFAULT;
    let invalid = [
        Settings { iterations: 4, ..good },
        Settings { iterations: 0, segments: 0, ..good },
        Settings { tolerance: 0.0, ..good },
        Settings { tolerance: f32::NAN, ..good },
        Settings { color_weight: -1.0, ..good },
        Settings { color_weight: f32::NAN, ..good },
    ];
    for settings in invalid {
        assert_eq!(refused(shape, settings), Status::InvalidArgument, "{settings:?}");
    }
    let exceeding = [Settings { segments: 9, ..good }, Settings { iterations: 257, ..good }];
    for settings in exceeding {
        assert_eq!(refused(shape, settings), Status::LimitExceeded, "{settings:?}");
    }
    assert_eq!(refused(Shape { height: 0, ..shape }, good), Status::InvalidArgument);
    assert_eq!(refused(Shape { channels: 0, ..shape }, good), Status::InvalidArgument);
    assert_eq!(refused(Shape { channels: 4097, ..shape }, good), Status::LimitExceeded);
    assert_eq!(refused(Shape { height: 128, width: 129, ..shape }, good), Status::LimitExceeded);
    assert_eq!(refused(Shape { height: usize::MAX, ..shape }, good), Status::LimitExceeded);
}

/// The formula of the module's documentation.
#[test]
fn memory_is_as_documented() {
    let bytes = |storage, color_weight| {
        let shape = Shape { height: 32, width: 32, channels: 384 };
        let settings = Settings { storage, color_weight, ..Settings::DEFAULT };
        let mut arena = Arena::counting();
        Spectral::carve(&mut arena, &shape, &settings, &PORTABLE).map(drop).unwrap();
        arena.used_bytes()
    };
    let (n, d, m, k) = (1024, 384, 60, 5);
    let free = 144 * d + 4 * n * m + 8 * m * (m + 4) + 4 * n * k + 20 * n;
    for (found, want) in [
        (bytes(Storage::MatrixFree, 0.0), free),
        (bytes(Storage::Dense, 0.0), free + 4 * n * n),
        (bytes(Storage::Dense, 1.0), free + 4 * n * n + 2 * n * 30),
    ] {
        println!("{found} bytes");
        assert!((want..want + 1024).contains(&found), "{found} for {want}");
    }
}
