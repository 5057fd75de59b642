//! Every derivative against central differences in f64, for random ragged shapes.

use crate::common::{check_gradient, distance, dot, engine, labels, random};
use proptest::prelude::*;
use zsseg::train::engine::{
    Activation, Contrastive, Denominator, Depthwise, Draw, Engine, Kernel, Labelled, Matrix, Mmd,
    MmdGroup, Noise, Pairs, Product, Resize, Targets,
};

fn weights(count: usize, seed: u64) -> Vec<f64> {
    let draw = Draw { seed, step: 9, stream: 9 };
    let numbers: Matrix<f64> = engine().noise([count, 1], Noise::Uniform, draw).unwrap();
    numbers.values().iter().map(|number| number + 0.1).collect()
}

/// Checks a whole discrepancy's gradient.
fn check_mmd(x: &Matrix<f64>, real: &Matrix<f64>, settings: &Mmd<'_, f64>) {
    let found = engine().mmd(x, real, settings).unwrap();
    check_gradient(x, &found.gradient, |x| {
        engine().mmd(x, real, settings).unwrap().values.iter().sum()
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn products(m in 1usize..6, k in 1usize..9, n in 1usize..6, seed: u64) {
        let (a, b, bias) = (random([m, k], seed), random([k, n], seed ^ 1), random([1, n], 3));
        let dy = random([m, n], seed ^ 2);
        let da = engine().product(Product::Nt, &dy, &b, None).unwrap();
        let db = engine().product(Product::Tn, &a, &dy, None).unwrap();
        let dbias = engine().column_sums(&dy).unwrap();
        let value = |a: &Matrix<f64>, b: &Matrix<f64>, bias: &Matrix<f64>| {
            dot(&engine().product(Product::Nn, a, b, Some(bias)).unwrap(), &dy)
        };
        check_gradient(&a, &da, |a| value(a, &b, &bias));
        check_gradient(&b, &db, |b| value(&a, b, &bias));
        check_gradient(&bias, &dbias, |bias| value(&a, &b, bias));
    }

    #[test]
    fn activations(rows in 1usize..7, columns in 1usize..7, dropout in 0.0f64..0.9, seed: u64) {
        let x: Matrix<f64> = random([rows, columns], seed);
        // Differences do not see the corner.
        prop_assume!(x.values().iter().all(|x| x.abs() > 1e-4));
        let draw = Draw { seed, step: 5, stream: 2 };
        let activation = Activation { slope: 0.2, dropout, draw };
        let dy = random([rows, columns], seed ^ 2);
        let dx = engine().activate_backward(&x, &dy, &activation).unwrap();
        check_gradient(&x, &dx, |x| dot(&engine().activate(x, &activation).unwrap(), &dy));
    }

    #[test]
    fn cross_entropies(rows in 1usize..8, classes in 1usize..6, weighted: bool, seed: u64) {
        let x: Matrix<f64> = random([rows, classes], seed);
        let labels = labels(rows, classes as i32, seed);
        let (by_class, by_row) = (weights(classes, seed), weights(rows, seed ^ 1));
        let targets = Targets {
            labels: &labels,
            class_weights: weighted.then_some(&by_class),
            row_weights: weighted.then_some(&by_row),
        };
        let found = engine().cross_entropy(&x, &targets).unwrap();
        check_gradient(&x, &found.gradient, |x| {
            engine().cross_entropy(x, &targets).unwrap().value
        });
    }

    #[test]
    fn other_losses(rows in 1usize..8, columns in 1usize..6, seed: u64) {
        let x: Matrix<f64> = random([rows, columns], seed);
        let teacher = random([rows, columns], seed ^ 1);
        let targets = labels(rows * columns, 2, seed);
        let found = engine().balanced_cross_entropy(&x, &targets).unwrap();
        check_gradient(&x, &found.gradient, |x| {
            engine().balanced_cross_entropy(x, &targets).unwrap().value
        });
        let weights = weights(rows, seed);
        let found = engine().divergence(&teacher, &x, Some(&weights)).unwrap();
        check_gradient(&x, &found.gradient, |x| {
            engine().divergence(&teacher, x, Some(&weights)).unwrap().value
        });
        let found = engine().squared_error(&teacher, &x).unwrap();
        check_gradient(&x, &found.gradient, |x| {
            engine().squared_error(&teacher, x).unwrap().value
        });
    }

    #[test]
    fn normalisation(rows in 1usize..7, columns in 2usize..7, seed: u64) {
        let x: Matrix<f64> = random([rows, columns], seed);
        let dy = random([rows, columns], seed ^ 2);
        let dx = engine().normalise_backward(&engine().normalise(&x).unwrap(), &dy).unwrap();
        check_gradient(&x, &dx, |x| dot(&engine().normalise(x).unwrap().rows, &dy));
    }

    #[test]
    fn discrepancies(
        sizes in prop::collection::vec((1usize..6, 1usize..6), 1..4),
        columns in 1usize..5,
        weighted: bool,
        paper: bool,
        seed: u64,
    ) {
        let (mut groups, mut g, mut r) = (Vec::new(), 0, 0);
        for (generated, real) in sizes {
            groups.push(MmdGroup { generated: g..g + generated, real: r..r + real });
            (g, r) = (g + generated, r + real);
        }
        let kernel = if paper { Kernel::zs3_paper() } else { Kernel::zs3_code() };
        let weights = weights(r, seed);
        let settings =
            Mmd { kernel: &kernel, groups: &groups, real_weights: weighted.then_some(&weights) };
        check_mmd(&random([g, columns], seed), &random([r, columns], seed ^ 1), &settings);
    }

    #[test]
    fn contrasts(
        anchors in 1usize..8,
        keys in 1usize..8,
        others in 0usize..5,
        form in 0u8..3,
        seed: u64,
    ) {
        let keys = if form == 2 { anchors } else { keys };
        let denominator =
            if form == 1 { Denominator::PositiveAndNegatives } else { Denominator::AllKeys };
        let settings = Contrastive { temperature: 0.3, denominator, without_self: form == 2 };
        let sets: [Matrix<f64>; 3] =
            [random([anchors, 3], seed), random([keys, 3], seed ^ 1), random([others, 3], seed ^ 2)];
        let names = [labels(anchors, 3, seed), labels(keys, 3, seed ^ 1), labels(others, 3, seed ^ 2)];
        let run = |sets: [&Matrix<f64>; 3]| {
            let of = |at: usize| Labelled { rows: sets[at], labels: &names[at] };
            let other = (others > 0).then(|| of(2));
            let pairs = Pairs { anchors: of(0), keys: of(1), other };
            engine().contrastive(&pairs, &settings).unwrap()
        };
        let [a, k, o] = &sets;
        let found = run([a, k, o]);
        check_gradient(a, &found.anchors, |a| run([a, k, o]).value);
        check_gradient(k, &found.keys, |k| run([a, k, o]).value);
        if let Some(gradient) = found.other {
            check_gradient(o, &gradient, |o| run([a, k, o]).value);
        }
    }

    #[test]
    fn resizing(
        pictures in 1usize..3,
        from in (1usize..5, 1usize..5),
        to in (1usize..8, 1usize..8),
        align_corners: bool,
        seed: u64,
    ) {
        let (from, to) = ([from.0, from.1], [to.0, to.1]);
        let resize = Resize { pictures, from, to, align_corners };
        let x: Matrix<f64> = random([pictures * from[0] * from[1], 2], seed);
        let dy = random([pictures * to[0] * to[1], 2], seed ^ 1);
        let dx = engine().resize_backward(&dy, &resize).unwrap();
        check_gradient(&x, &dx, |x| dot(&engine().resize(x, &resize).unwrap(), &dy));
    }

    #[test]
    fn depthwise_convolutions(
        pictures in 1usize..3,
        grid in (1usize..5, 1usize..5),
        columns in 1usize..4,
        dilation in 1usize..4,
        seed: u64,
    ) {
        let settings = Depthwise { pictures, grid: [grid.0, grid.1], dilation };
        let rows = pictures * grid.0 * grid.1;
        let (x, dy) = (random([rows, columns], seed), random([rows, columns], seed ^ 1));
        let (weights, bias) = (random([9, columns], seed ^ 2), random([1, columns], seed ^ 3));
        let value = |x: &Matrix<f64>, weights: &Matrix<f64>, bias: &Matrix<f64>| {
            dot(&engine().depthwise(x, weights, Some(bias), &settings).unwrap(), &dy)
        };
        let dx = engine().depthwise_backward(&dy, &weights, &settings).unwrap();
        check_gradient(&x, &dx, |x| value(x, &weights, &bias));
        let dweights = engine().depthwise_gradient(&x, &dy, &settings).unwrap();
        check_gradient(&weights, &dweights, |weights| value(&x, weights, &bias));
        let dbias = engine().column_sums(&dy).unwrap();
        check_gradient(&bias, &dbias, |bias| value(&x, &weights, bias));
    }

    #[test]
    fn joined_columns(rows in 0usize..4, widths in prop::collection::vec(1usize..4, 1..4), seed: u64) {
        let of = |(at, width): (usize, &usize)| random([rows, *width], seed ^ at as u64);
        let parts: Vec<Matrix<f64>> = widths.iter().enumerate().map(of).collect();
        let joined = engine().join_columns(&parts.iter().collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(joined.shape(), [rows, widths.iter().sum()]);
        let mut start = 0;
        for part in &parts {
            let found = engine().columns(&joined, start, part.shape()[1]).unwrap();
            prop_assert_eq!(&found, part);
            start += part.shape()[1];
        }
    }

    #[test]
    fn gathering(rows in 1usize..6, indices in prop::collection::vec(0usize..100, 0..9), seed: u64) {
        let indices: Vec<usize> = indices.into_iter().map(|index| index % rows).collect();
        let x: Matrix<f64> = random([rows, 2], seed);
        let dy = random([indices.len(), 2], seed ^ 1);
        let dx = engine().scatter_rows(&dy, &indices, rows).unwrap();
        check_gradient(&x, &dx, |x| dot(&engine().gather_rows(x, &indices).unwrap(), &dy));
    }
}

/// Sizes around the blocks' edges, along a random direction.
#[test]
fn discrepancies_of_several_blocks() {
    let kernel = Kernel::zs3_code();
    for (g, r) in [(1, 129), (127, 128), (128, 1), (129, 257), (300, 131)] {
        let (x, real) = (random([g, 4], 5), random([r, 4], 6));
        let groups = [MmdGroup { generated: 0..g, real: 0..r }];
        let settings = Mmd { kernel: &kernel, groups: &groups, real_weights: None };
        let run = |x: &Matrix<f64>| engine().mmd(x, &real, &settings).unwrap();
        let direction = random([g, 4], 7);
        along(&x, &direction, &run(&x).gradient, |x| run(x).values[0]);
    }
}

#[test]
fn contrasts_of_several_blocks() {
    for denominator in [Denominator::AllKeys, Denominator::PositiveAndNegatives] {
        let settings = Contrastive { temperature: 0.3, denominator, without_self: false };
        for (count, keys) in [(63, 65), (64, 10), (65, 200), (129, 1)] {
            let (x, k) = (random([count, 4], 5), random([keys, 4], 6));
            let names = [labels(count, 4, 5), labels(keys, 4, 6)];
            let run = |x: &Matrix<f64>| {
                let anchors = Labelled { rows: x, labels: &names[0] };
                let keys = Labelled { rows: &k, labels: &names[1] };
                engine().contrastive(&Pairs { anchors, keys, other: None }, &settings).unwrap()
            };
            along(&x, &random([count, 4], 7), &run(&x).anchors, |x| run(x).value);
        }
    }
}

fn along(
    x: &Matrix<f64>,
    direction: &Matrix<f64>,
    gradient: &Matrix<f64>,
    value: impl Fn(&Matrix<f64>) -> f64,
) {
    let at = |step: f64| {
        let mut x = x.clone();
        engine().add_scaled(&mut x, step, direction).unwrap();
        value(&x)
    };
    let found = (at(1e-5) - at(-1e-5)) / 2e-5;
    let [found, wanted] =
        [found, dot(gradient, direction)].map(|x| Matrix::<f64>::new([1, 1], vec![x]).unwrap());
    assert!(distance(&found, &wanted) < 1e-4, "{found:?} {wanted:?}");
}
