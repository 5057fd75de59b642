//! What must hold for any numbers, and the cases at the edge.

use crate::common::{distance, engine, labels, matrix, near, random, with_threads};
use proptest::prelude::*;
use zsseg::train::engine::{
    Activation, Contrastive, ContrastiveLoss, Denominator, Depthwise, Draw, Engine, Kernel,
    Labelled, Matrix, Mmd, MmdGroup, MmdLoss, Noise, Pairs, Product, Real, Resize, Targets,
};

fn compare<F: Real>(x: &Matrix<F>, y: &Matrix<F>, weights: Option<&[F]>) -> MmdLoss<Matrix<F>> {
    let groups = [MmdGroup { generated: 0..x.shape()[0], real: 0..y.shape()[0] }];
    let kernel = Kernel::zs3_code();
    let settings = Mmd { kernel: &kernel, groups: &groups, real_weights: weights };
    engine().mmd(x, y, &settings).unwrap()
}

fn contrast<F: Real>(
    x: &Matrix<F>,
    names: &[i32],
    keys: &Matrix<F>,
    key_names: &[i32],
    denominator: Denominator,
) -> ContrastiveLoss<Matrix<F>> {
    let pairs = Pairs {
        anchors: Labelled { rows: x, labels: names },
        keys: Labelled { rows: keys, labels: key_names },
        other: None,
    };
    let settings = Contrastive { temperature: 0.2, denominator, without_self: false };
    engine().contrastive(&pairs, &settings).unwrap()
}

const FORMS: [Denominator; 2] = [Denominator::AllKeys, Denominator::PositiveAndNegatives];

/// The rows in another order, and that order.
fn shuffled(x: &Matrix<f64>, seed: u64) -> (Matrix<f64>, Vec<usize>) {
    let keys: Matrix<f64> = random([x.shape()[0], 1], seed);
    let mut order: Vec<usize> = (0..x.shape()[0]).collect();
    order.sort_by(|a, b| keys.values()[*a].total_cmp(&keys.values()[*b]));
    (engine().gather_rows(x, &order).unwrap(), order)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn equal_weights_change_nothing(g in 1usize..9, r in 1usize..9, weight in 0.1f64..9.0, seed: u64) {
        let (x, y) = (random::<f64>([g, 3], seed), random([r, 3], seed ^ 1));
        let (plain, weighted) = (compare(&x, &y, None), compare(&x, &y, Some(&vec![weight; r])));
        near(weighted.values[0], plain.values[0], 1e-9);
        prop_assert!(distance(&weighted.gradient, &plain.gradient) < 1e-9);
    }

    #[test]
    fn a_row_of_double_weight_is_two_rows(r in 1usize..9, seed: u64) {
        let (x, y) = (random::<f64>([4, 3], seed), random::<f64>([r, 3], seed ^ 1));
        let twice = engine().gather_rows(&y, &[&[0][..], &Vec::from_iter(0..r)].concat()).unwrap();
        let mut weights = vec![1.0; r];
        weights[0] = 2.0;
        near(compare(&x, &y, Some(&weights)).squares[0], compare(&x, &twice, None).squares[0], 1e-12);
    }

    #[test]
    fn equal_sets_do_not_differ(rows in 1usize..200, seed: u64) {
        let x = random::<f64>([rows, 3], seed);
        let (y, _) = shuffled(&x, seed ^ 1);
        let found = compare(&x, &y, None);
        prop_assert!(found.squares[0].abs() < 1e-12);
        prop_assert!(found.values[0] <= 1.1e-6);
        prop_assert!(found.gradient.values().iter().all(|value| value.abs() < 1e-6));
    }

    #[test]
    fn order_does_not_matter(rows in 1usize..40, seed: u64) {
        let (x, y) = (random::<f64>([rows, 3], seed), random::<f64>([rows, 3], seed ^ 1));
        let (mixed, order) = shuffled(&x, seed ^ 2);
        let (found, other) = (compare(&x, &y, None), compare(&mixed, &shuffled(&y, 3).0, None));
        near(other.squares[0], found.squares[0], 1e-12);
        let wanted = engine().gather_rows(&found.gradient, &order).unwrap();
        prop_assert!(distance(&other.gradient, &wanted) < 1e-9);

        let names = labels(rows, 3, seed);
        let renamed: Vec<i32> = order.iter().map(|row| names[*row]).collect();
        for form in FORMS {
            let found = contrast(&x, &names, &y, &names, form);
            let other = contrast(&mixed, &renamed, &y, &names, form);
            near(other.value, found.value, 1e-12);
            let wanted = engine().gather_rows(&found.anchors, &order).unwrap();
            prop_assert!(distance(&other.anchors, &wanted) < 1e-9);
            prop_assert!(distance(&other.keys, &found.keys) < 1e-9);
        }
    }

    #[test]
    fn ignored_rows_are_as_if_absent(rows in 1usize..20, seed: u64) {
        let x = random::<f64>([rows, 3], seed);
        let names = labels(rows, 3, seed);
        let kept: Vec<usize> = (0..rows).filter(|row| names[*row] >= 0).collect();
        let few = engine().gather_rows(&x, &kept).unwrap();
        let few_names: Vec<i32> = kept.iter().map(|row| names[*row]).collect();
        for form in FORMS {
            let found = contrast(&x, &names, &x, &names, form);
            let wanted = contrast(&few, &few_names, &few, &few_names, form);
            near(found.value, wanted.value, 1e-12);
            let spread = engine().scatter_rows(&wanted.anchors, &kept, rows).unwrap();
            prop_assert!(distance(&found.anchors, &spread) < 1e-9);
        }
        let plain = |labels| Targets { labels, class_weights: None, row_weights: None };
        let found = engine().cross_entropy(&x, &plain(&names)).unwrap();
        let wanted = engine().cross_entropy(&few, &plain(&few_names)).unwrap();
        near(found.value, wanted.value, 1e-12);
        let spread = engine().scatter_rows(&wanted.gradient, &kept, rows).unwrap();
        prop_assert!(distance(&found.gradient, &spread) < 1e-9);
    }
}

#[test]
fn with_everything_ignored_losses_are_zero() {
    let x: Matrix<f32> = random([70, 3], 1);
    let names = [-1; 70];
    let targets = Targets { labels: &names, class_weights: None, row_weights: None };
    let found = engine().cross_entropy(&x, &targets).unwrap();
    assert_eq!((found.value, found.weight), (0.0, 0.0));
    let balanced = engine().balanced_cross_entropy(&x, &[2; 210]).unwrap();
    assert_eq!(balanced.value, 0.0);
    let hardest: Vec<f32> = engine().hardest_rows(&found.rows, &names, 1.0).unwrap();
    let none = engine().divergence(&x, &x, Some(&[0.0; 70])).unwrap();
    assert_eq!(none.value, 0.0);
    let mut zeros = vec![found.gradient, balanced.gradient, none.gradient];
    zeros.push(Matrix::new([70, 1], hardest).unwrap());
    for form in FORMS {
        let found = contrast(&x, &names, &x, &names, form);
        assert_eq!((found.value, found.anchor_count), (0.0, 0));
        zeros.extend([found.anchors, found.keys]);
    }
    assert!(zeros.iter().all(|zero| zero.values().iter().all(|value| *value == 0.0)));
}

#[test]
fn without_rows_losses_are_zero() {
    let none: Matrix<f32> = Matrix::zeros([0, 3]).unwrap();
    for form in FORMS {
        assert_eq!(contrast(&none, &[], &none, &[], form).value, 0.0);
    }
    let x: Matrix<f32> = random([3, 3], 1);
    assert_eq!(contrast(&x, &[0; 3], &none, &[], Denominator::AllKeys).anchor_count, 0);
    assert_eq!(engine().squared_error(&none, &none).unwrap().value, 0.0);
    let sum = engine().product(Product::Tn, &none, &none, None).unwrap();
    assert_eq!(sum, Matrix::zeros([3, 3]).unwrap());
    let rows = engine().product(Product::Nn, &none, &x, None).unwrap();
    assert_eq!(rows.shape(), [0, 3]);
    let nothing = Mmd { kernel: &Kernel::zs3_code(), groups: &[], real_weights: None };
    assert!(engine().mmd(&none, &none, &nothing).unwrap().values.is_empty());
}

#[test]
fn one_pixel() {
    let x: Matrix<f64> = random([1, 3], 1);
    for form in FORMS {
        let found = contrast(&x, &[4], &x, &[4], form);
        near(found.value, 0.0, 1e-12);
        assert_eq!(found.anchor_count, 1);
    }
    // Without itself a single pixel of a class has no positive pair, and drops out.
    let rows = random::<f64>([3, 2], 2);
    let set = || Labelled { rows: &rows, labels: &[0, 1, 1] };
    let pairs = Pairs { anchors: set(), keys: set(), other: None };
    let settings =
        Contrastive { temperature: 0.5, denominator: Denominator::AllKeys, without_self: true };
    let found = engine().contrastive(&pairs, &settings).unwrap();
    assert_eq!(found.anchor_count, 2);
    assert!(found.value.is_finite() && found.anchors.values()[..2] == [0.0; 2]);

    let y: Matrix<f64> = random([1, 3], 2);
    let square: f64 = x.values().iter().zip(y.values()).map(|(a, b)| (a - b) * (a - b)).sum();
    let variances = [2.0, 5.0, 10.0, 20.0, 40.0, 80.0];
    let cross: f64 = variances.iter().map(|v| (-square / (2.0 * v)).exp()).sum();
    near(compare(&x, &y, None).squares[0], 12.0 - 2.0 * cross, 1e-12);
}

/// The only negative pair is the one that is left out.
#[test]
fn an_anchor_left_with_positive_pairs_alone_has_no_loss() {
    let (anchors, keys) = (random::<f64>([2, 3], 1), random::<f64>([2, 3], 2));
    for key_labels in [[1, 0], [0, 0]] {
        let pairs = Pairs {
            anchors: Labelled { rows: &anchors, labels: &[0, -1] },
            keys: Labelled { rows: &keys, labels: &key_labels },
            other: None,
        };
        let denominator = Denominator::PositiveAndNegatives;
        let settings = Contrastive { temperature: 0.5, denominator, without_self: true };
        let found = engine().contrastive(&pairs, &settings).unwrap();
        assert_eq!((found.value, found.anchor_count), (0.0, 1));
        let gradients = [found.anchors.values(), found.keys.values()].concat();
        assert!(gradients.iter().all(|slope| *slope == 0.0), "{gradients:?}");
    }
}

#[test]
fn extreme_logits_stay_finite() {
    let x: Matrix<f32> = matrix([2, 2], &[1e30, -1e30, -3e4, 3e4]);
    let targets = Targets { labels: &[0, 0], class_weights: None, row_weights: None };
    let found = engine().cross_entropy(&x, &targets).unwrap();
    assert_eq!(found.value, 3e4);
    let balanced = engine().balanced_cross_entropy(&x, &[1, 0, 0, 1]).unwrap();
    assert_eq!(balanced.value, 0.0);
    let unit = engine().normalise(&matrix::<f32>([2, 2], &[0.0, 0.0, 3.0, 4.0])).unwrap();
    assert_eq!(unit.rows.values(), [0.0, 0.0, 0.6, 0.8]);
    assert_eq!(engine().normalise_backward(&unit, &x).unwrap().values()[..2], [0.0; 2]);
}

/// Features far from 0, as after a ReLU, in the sizes of a training step.
#[test]
fn single_precision_is_near_double() {
    let far = |x: Matrix<f64>| {
        Matrix::new(x.shape(), x.values().iter().map(|x| 2.0 + 0.7 * x).collect()).unwrap()
    };
    let single = |x: &Matrix<f64>| matrix::<f32>(x.shape(), x.values());
    let (x, y) = (far(random([131, 64], 1)), far(random([200, 64], 2)));
    let (wanted, found) = (compare(&x, &y, None), compare(&single(&x), &single(&y), None));
    near(found.values[0], wanted.values[0], 1e-5);
    let error = distance(&found.gradient, &wanted.gradient);
    assert!(error < 1e-5, "{error}");

    let names = labels(131, 5, 1);
    let unit = engine().normalise(&random::<f64>([131, 64], 1)).unwrap().rows;
    for form in FORMS {
        let wanted = contrast(&unit, &names, &unit, &names, form);
        let one = single(&unit);
        let found = contrast(&one, &names, &one, &names, form);
        near(found.value, wanted.value, 1e-5);
        let error = distance(&found.anchors, &wanted.anchors);
        assert!(error < 1e-5, "{error}");
    }
}

#[test]
fn threads_change_no_bit() {
    let (a, b): (Matrix<f32>, Matrix<f32>) = (random([333, 150], 1), random([150, 70], 2));
    let bias = random([1, 70], 3);
    let product =
        |threads| with_threads(threads).product(Product::Nn, &a, &b, Some(&bias)).unwrap();
    let groups: Vec<MmdGroup> = (0..7)
        .map(|group| MmdGroup { generated: group * 9..group * 9 + 20, real: group..group + 70 })
        .collect();
    let kernel = Kernel::zs3_code();
    let settings = Mmd { kernel: &kernel, groups: &groups, real_weights: None };
    let mmd = |threads| with_threads(threads).mmd(&a, &a, &settings).unwrap();
    for threads in [2, 3, 5, 64] {
        assert_eq!(product(threads), product(1));
        assert_eq!(mmd(threads).squares, mmd(1).squares);
        assert_eq!(mmd(threads).gradient, mmd(1).gradient);
    }
}

/// Sizes beyond those where further threads start, with rests in every block.
#[test]
fn threads_change_no_bit_of_contrasts_and_pictures() {
    let (x, y): (Matrix<f32>, Matrix<f32>) = (random([331, 40], 1), random([203, 40], 2));
    let (names, other_names) = (labels(331, 5, 1), labels(203, 5, 2));
    let contrast = |threads, denominator| {
        let set = || Labelled { rows: &x, labels: &names };
        let other = Some(Labelled { rows: &y, labels: &other_names });
        let settings = Contrastive { temperature: 3.0, denominator, without_self: true };
        let pairs = Pairs { anchors: set(), keys: set(), other };
        let found = with_threads(threads).contrastive(&pairs, &settings).unwrap();
        (found.value.to_bits(), found.anchors, found.keys, found.other.unwrap())
    };
    let (small, large): (Matrix<f32>, Matrix<f32>) =
        (random([2 * 9 * 11, 5], 3), random([2 * 123 * 117, 5], 4));
    let resize = Resize { pictures: 2, from: [9, 11], to: [123, 117], align_corners: false };
    let forward = |threads| with_threads(threads).resize(&small, &resize).unwrap();
    let backward = |threads| with_threads(threads).resize_backward(&large, &resize).unwrap();
    let groups = [MmdGroup { generated: 0..331, real: 0..203 }];
    let (kernel, real_weights) = (Kernel::zs3_code(), None);
    let settings = Mmd { kernel: &kernel, groups: &groups, real_weights };
    let mmd = |threads| with_threads(threads).mmd(&x, &y, &settings).unwrap();
    for threads in [2, 3, 5, 64] {
        for form in FORMS {
            assert!(contrast(threads, form) == contrast(1, form), "{threads} {form:?}");
        }
        assert_eq!(forward(threads), forward(1));
        assert_eq!(backward(threads), backward(1));
        assert_eq!(mmd(threads).squares, mmd(1).squares);
        assert_eq!(mmd(threads).gradient, mmd(1).gradient);
    }
}

#[test]
fn random_numbers_depend_on_their_place_alone() {
    let draw = Draw { seed: 1, step: 2, stream: 3 };
    let run = |shape, draw| -> Matrix<f32> { engine().noise(shape, Noise::Uniform, draw).unwrap() };
    let long = run([11, 3], draw);
    assert_eq!(run([10, 1], draw).values(), &long.values()[..10]);
    for other in [Draw { seed: 2, ..draw }, Draw { step: 3, ..draw }, Draw { stream: 4, ..draw }] {
        assert_ne!(run([11, 3], other), long);
    }
    assert!(long.values().iter().all(|value| (0.0..1.0).contains(value)));
}

#[test]
fn dropout_keeps_the_mean() {
    let x: Matrix<f32> = Matrix::new([100, 100], vec![-1.0; 10_000]).unwrap();
    let draw = Draw { seed: 1, step: 2, stream: 3 };
    let activation = Activation { slope: 0.5, dropout: 0.25, draw };
    let y = engine().activate(&x, &activation).unwrap();
    let dropped = y.values().iter().filter(|value| **value == 0.0).count();
    // Six deviations of a share of 0.25 of 10,000.
    assert!(dropped.abs_diff(2500) < 260, "{dropped}");
    assert!(y.values().iter().all(|value| *value == 0.0 || (value + 0.5 / 0.75).abs() < 1e-6));
    let without = Activation { dropout: 0.0, ..activation };
    assert!(engine().activate(&x, &without).unwrap().values().iter().all(|y| *y == -0.5));
}

/// Depthwise convolution by its definition: one loop per index.
fn convolved(x: &Matrix<f64>, weights: &Matrix<f64>, settings: &Depthwise) -> Matrix<f64> {
    let Depthwise { pictures, grid: [height, width], dilation } = *settings;
    let columns = x.shape()[1];
    let at = |picture: usize, row: isize, column: isize, channel: usize| {
        let inside = (0..height as isize).contains(&row) && (0..width as isize).contains(&column);
        let index = (picture as isize * height as isize + row) * width as isize + column;
        if inside { x.values()[index as usize * columns + channel] } else { 0.0 }
    };
    let mut values = Vec::new();
    for index in 0..pictures * height * width {
        let (picture, cell) = (index / (height * width), index % (height * width));
        let (row, column) = ((cell / width) as isize, (cell % width) as isize);
        for channel in 0..columns {
            let mut sum = 0.0;
            for place in 0..9 {
                let (down, right) = (place as isize / 3 - 1, place as isize % 3 - 1);
                let step = dilation as isize;
                let read = at(picture, row + down * step, column + right * step, channel);
                sum += weights.values()[place * columns + channel] * read;
            }
            values.push(sum);
        }
    }
    Matrix::new(x.shape(), values).unwrap()
}

#[test]
fn depthwise_convolution_is_its_definition() {
    for (pictures, grid, dilation) in
        [(1, [1, 1], 1), (2, [5, 4], 1), (3, [4, 7], 2), (1, [3, 3], 5)]
    {
        let settings = Depthwise { pictures, grid, dilation };
        let (x, weights) = (random([pictures * grid[0] * grid[1], 3], 1), random([9, 3], 2));
        let found = engine().depthwise(&x, &weights, None, &settings).unwrap();
        assert!(distance(&found, &convolved(&x, &weights, &settings)) < 1e-14, "{settings:?}");
    }
}

#[test]
fn threads_change_no_bit_of_a_depthwise_convolution() {
    let settings = Depthwise { pictures: 3, grid: [33, 31], dilation: 1 };
    let rows = 3 * 33 * 31;
    let (x, dy): (Matrix<f32>, _) = (random([rows, 20], 1), random([rows, 20], 2));
    let weights = random([9, 20], 3);
    let run = |threads: usize| {
        let engine = with_threads(threads);
        let y = engine.depthwise(&x, &weights, None, &settings).unwrap();
        let dx = engine.depthwise_backward(&dy, &weights, &settings).unwrap();
        (y, dx, engine.depthwise_gradient(&x, &dy, &settings).unwrap())
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert_eq!(run(threads), one, "{threads}");
    }
}
