//! Losses of logits, and the hardest rows.

use crate::support::{
    GRADIENT, LOSS, close, cpu, exact, figure, labels, near, of, random, tested, values, weights,
};
use zsseg::train::engine::{Engine, Matrix, Targets};

const SHAPES: [[usize; 2]; 7] =
    [[1, 1], [1, 7], [63, 2], [64, 21], [65, 33], [131, 65], [2_000, 5]];

#[test]
fn cross_entropies() {
    let engine = tested();
    let mut most = [0.0f64; 2];
    for shape in SHAPES {
        for is_weighted in [false, true] {
            let logits = random(&engine, shape, 1);
            let labels = labels(shape[0], shape[1] as i32, 2);
            let (by_class, by_row) = (weights(shape[1], 3), weights(shape[0], 4));
            let targets = Targets {
                labels: &labels,
                class_weights: is_weighted.then_some(&*by_class),
                row_weights: is_weighted.then_some(&*by_row),
            };
            let found = engine.cross_entropy(&logits.device, &targets).unwrap();
            let (by_class, by_row) = (exact(&by_class), exact(&by_row));
            let targets = Targets {
                labels: &labels,
                class_weights: is_weighted.then_some(&*by_class),
                row_weights: is_weighted.then_some(&*by_row),
            };
            let wanted = cpu().cross_entropy(&logits.exact, &targets).unwrap();
            close(found.weight, wanted.weight, LOSS);
            most[0] = most[0].max(close(found.value, wanted.value, LOSS));
            near(&engine, &found.rows, &wanted.rows, LOSS);
            most[1] = most[1].max(near(&engine, &found.gradient, &wanted.gradient, GRADIENT));
        }
    }
    figure("cross-entropy, value", most[0]);
    figure("cross-entropy, gradient", most[1]);
}

#[test]
fn cross_entropies_of_nothing_and_of_extremes() {
    let engine = tested();
    let logits = of(&engine, [3, 2], vec![1e30, -1e30, 60.0, -60.0, f32::INFINITY, 0.0]);
    let run = |labels: &[i32], row_weights: Option<&[f32]>| {
        let targets = Targets { labels, class_weights: None, row_weights };
        let found = engine.cross_entropy(&logits.device, &targets).unwrap();
        let wanted = cpu().cross_entropy(&logits.plain, &targets).unwrap();
        assert_eq!(found.weight, wanted.weight);
        (found.value, wanted.value, values(&engine, &found.gradient), wanted.gradient)
    };
    // All ignored.
    let (found, wanted, gradient, _) = run(&[-1; 3], None);
    assert_eq!((found, wanted), (0.0, 0.0));
    assert_eq!(gradient, [0.0; 6]);
    // Without weight.
    let (found, wanted, ..) = run(&[0, 1, 1], Some(&[0.0; 3]));
    assert_eq!((found, wanted), (0.0, 0.0));
    let (found, wanted, gradient, exact) = run(&[1, 1, -1], None);
    assert_eq!(found, wanted);
    assert_eq!(gradient, exact.values());
    // Not a number stays so.
    let (found, wanted, ..) = run(&[0, 1, 0], None);
    assert!(found.is_nan() && wanted.is_nan());
}

#[test]
fn balanced_cross_entropies() {
    let engine = tested();
    let mut most = [0.0f64; 2];
    for shape in SHAPES {
        let logits = random(&engine, shape, 1);
        // -1: no weight.
        let targets = labels(shape[0] * shape[1], 2, 2);
        let found = engine.balanced_cross_entropy(&logits.device, &targets).unwrap();
        let wanted = cpu().balanced_cross_entropy(&logits.exact, &targets).unwrap();
        most[0] = most[0].max(close(found.value, wanted.value, LOSS));
        most[1] = most[1].max(near(&engine, &found.gradient, &wanted.gradient, GRADIENT));
    }
    figure("balanced cross-entropy, value", most[0]);
    figure("balanced cross-entropy, gradient", most[1]);
    let logits = random(&engine, [5, 1], 1);
    let found = engine.balanced_cross_entropy(&logits.device, &[7; 5]).unwrap();
    assert_eq!((found.value, values(&engine, &found.gradient)), (0.0, vec![0.0; 5]));
}

#[test]
fn divergences() {
    let engine = tested();
    let mut most = [0.0f64; 2];
    for shape in SHAPES {
        for is_weighted in [false, true] {
            let (teacher, student) = (random(&engine, shape, 1), random(&engine, shape, 2));
            let by_row = weights(shape[0], 4);
            let given = is_weighted.then_some(&*by_row);
            let found = engine.divergence(&teacher.device, &student.device, given).unwrap();
            let by_row = exact(&by_row);
            let given = is_weighted.then_some(&*by_row);
            let wanted = cpu().divergence(&teacher.exact, &student.exact, given).unwrap();
            if shape[1] == 1 {
                assert!(found.value.abs() < 1e-6);
                continue;
            }
            most[0] = most[0].max(close(found.value, wanted.value, LOSS));
            most[1] = most[1].max(near(&engine, &found.gradient, &wanted.gradient, GRADIENT));
        }
    }
    figure("divergence, value", most[0]);
    figure("divergence, gradient", most[1]);
}

#[test]
fn squared_errors() {
    let engine = tested();
    for shape in SHAPES {
        let (teacher, student) = (random(&engine, shape, 1), random(&engine, shape, 2));
        let found = engine.squared_error(&teacher.device, &student.device).unwrap();
        let wanted = cpu().squared_error(&teacher.exact, &student.exact).unwrap();
        close(found.value, wanted.value, LOSS);
        near(&engine, &found.gradient, &wanted.gradient, GRADIENT);
    }
}

#[test]
fn hardest_rows_are_the_same() {
    let engine = tested();
    for count in [1, 63, 64, 65, 131, 1_023, 1_024, 1_025, 5_000] {
        let mut losses = random(&engine, [count, 1], 1).plain.into_values();
        // Equal ones in all parts, zeros of both signs, and what is no number.
        for place in (0..count).step_by(3) {
            losses[place] = 0.5;
        }
        losses[count / 2] = -0.0;
        losses[count / 3] = f32::INFINITY;
        losses[count / 5] = f32::NAN;
        let losses = of(&engine, [count, 1], losses);
        let labels = labels(count, 3, 2);
        for share in [0.0, 0.01, 0.3, 0.5, 0.77, 1.0] {
            let found = engine.hardest_rows(&losses.device, &labels, share).unwrap();
            let wanted: Vec<f32> = cpu().hardest_rows(&losses.plain, &labels, share).unwrap();
            assert_eq!(found, wanted, "{count} rows, {share}");
        }
    }
    let one: Matrix<f32> = Matrix::new([2, 1], vec![1.0, 2.0]).unwrap();
    let ignored: Vec<f32> = cpu().hardest_rows(&one, &[-1, -1], 1.0).unwrap();
    let device = engine.upload([2, 1], one.values()).unwrap();
    assert_eq!(engine.hardest_rows(&device, &[-1, -1], 1.0).unwrap(), ignored);
}
