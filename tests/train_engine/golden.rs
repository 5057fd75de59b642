//! Numbers worked out elsewhere, in f64; both types of numbers must meet them.

use crate::common::{engine, matrix, near};
use zsseg::train::engine::{
    Adam, Contrastive, Denominator, Engine, Kernel, Labelled, Matrix, Mmd, MmdGroup, Pairs,
    Product, Real, Resize, Sgd, Targets, cosine_rate, poly_rate,
};

/// Runs a test in both types, with the error each may have.
fn both(in_f32: impl Fn(f64), in_f64: impl Fn(f64)) {
    in_f32(2e-6);
    in_f64(1e-12);
}

fn mmd_meets<F: Real>(tolerance: f64) {
    let generated: Matrix<F> = matrix([2, 2], &[0.0, 0.0, 1.0, 0.0]);
    let real: Matrix<F> = matrix([2, 2], &[0.0, 1.0, 1.0, 1.0]);
    let kernel = Kernel::zs3_code();
    let groups = [MmdGroup { generated: 0..2, real: 0..2 }];
    let run = |real_weights: Option<&[F]>| {
        let settings = Mmd { kernel: &kernel, groups: &groups, real_weights };
        engine().mmd(&generated, &real, &settings).unwrap()
    };
    let found = run(None);
    near(found.squares[0], 0.7557840321504972, tolerance);
    near(found.values[0], 0.8693584025880794, tolerance);
    let weights = [F::of(0.75), F::of(0.25)];
    near(run(Some(&weights)).squares[0], 0.8068434285562867, tolerance);
}

#[test]
fn g2_maximum_mean_discrepancy() {
    both(mmd_meets::<f32>, mmd_meets::<f64>);
}

fn unit<F: Real>(rows: &[[f64; 2]]) -> Matrix<F> {
    let x = matrix([rows.len(), 2], rows.as_flattened());
    engine().normalise(&x).unwrap().rows
}

fn contrastive_meets<F: Real>(tolerance: f64) {
    let f: Matrix<F> = unit(&[[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]]);
    let g: Matrix<F> = unit(&[[0.9, 0.1], [0.7, 0.7], [0.1, 1.0], [-0.5, 0.9]]);
    let other: Matrix<F> = unit(&[[1.0, 0.2], [0.1, 1.0]]);
    let labels = [0, 0, 1, 1];
    let value = |a: &Matrix<F>, b: &Matrix<F>, other: Option<&Matrix<F>>, denominator| {
        let pairs = Pairs {
            anchors: Labelled { rows: a, labels: &labels },
            keys: Labelled { rows: b, labels: &labels },
            other: other.map(|rows| Labelled { rows, labels: &[0, 1] }),
        };
        let settings = Contrastive { temperature: 0.5, denominator, without_self: false };
        engine().contrastive(&pairs, &settings).unwrap().value
    };
    let google = Denominator::PositiveAndNegatives;
    near(value(&f, &g, None, Denominator::AllKeys), 0.9526214249956705, tolerance);
    near(value(&f, &f, None, google), 0.3707387127932586, tolerance);
    near(value(&g, &g, None, google), 0.5099640166700793, tolerance);
    near(value(&f, &g, Some(&other), Denominator::AllKeys), 1.2820592727042504, tolerance);
}

#[test]
fn g4_contrastive_loss() {
    both(contrastive_meets::<f32>, contrastive_meets::<f64>);
}

fn balanced_meets<F: Real>(tolerance: f64) {
    let logits: Matrix<F> = matrix([4, 1], &[2.0, -1.0, 0.5, -0.5]);
    let found = engine().balanced_cross_entropy(&logits, &[1, 0, 0, 0]).unwrap();
    near(found.value, 0.13388748056295963, tolerance);
}

#[test]
fn g6_balanced_cross_entropy() {
    both(balanced_meets::<f32>, balanced_meets::<f64>);
}

#[test]
fn g8_hardest_rows() {
    let losses: Matrix<f64> = matrix([6, 1], &[0.1, 2.0, 9.0, 1.0, 0.5, 3.0]);
    let labels = [0, 0, -1, 0, 0, 0];
    let weights = engine().hardest_rows(&losses, &labels, 0.5).unwrap();
    assert_eq!(weights, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
    let kept = weights.iter().zip(losses.values()).map(|(weight, loss)| weight * loss);
    assert_eq!(kept.sum::<f64>() / weights.iter().sum::<f64>(), 2.0);
    // The same by way of cross-entropies: logits (0, x) of class 0 cost log(1 + e^x).
    let logits = losses.values().iter().flat_map(|loss| [0.0, (loss.exp() - 1.0).ln()]);
    let logits = Matrix::new([6, 2], logits.collect()).unwrap();
    let targets = Targets { labels: &labels, class_weights: None, row_weights: None };
    let rows = engine().cross_entropy(&logits, &targets).unwrap().rows;
    let weights = engine().hardest_rows(&rows, &labels, 0.5).unwrap();
    let hard = Targets { row_weights: Some(&weights), ..targets };
    near(engine().cross_entropy(&logits, &hard).unwrap().value, 2.0, 1e-12);
}

#[test]
fn g9_graph_convolution() {
    let graph: Matrix<f32> = matrix([2, 2], &[0.0, 1.0, 1.0, 0.0]);
    let x = matrix([2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let w = matrix([2, 2], &[1.0, 0.0, 0.0, 1.0]);
    let bias = matrix([1, 2], &[0.5, -0.5]);
    let y = engine().product(Product::Nn, &x, &w, None).unwrap();
    let y = engine().product(Product::Nn, &graph, &y, Some(&bias)).unwrap();
    assert_eq!(y.values(), [3.5, 3.5, 1.5, 1.5]);
}

fn divergence_meets<F: Real>(tolerance: f64) {
    let teacher: Matrix<F> = matrix([1, 3], &[1.0, 0.0, -1.0]);
    let student: Matrix<F> = matrix([1, 3], &[0.5, 0.5, 0.0]);
    let found = engine().divergence(&teacher, &student, None).unwrap();
    near(found.value, 0.17063979269228483, tolerance);
    near(engine().squared_error(&teacher, &student).unwrap().value, 0.5, tolerance);
}

#[test]
fn g10_codistillation() {
    both(divergence_meets::<f32>, divergence_meets::<f64>);
}

#[test]
fn g14_learning_rates() {
    near(poly_rate(0.007, 100, 1000, 0.9), 0.006366728032580736, 1e-16);
    assert_eq!(poly_rate(0.007, 0, 1000, 0.9), 0.007);
    assert_eq!([poly_rate(1.0, 7, 7, 0.9), poly_rate(1.0, 9, 0, 0.9)], [0.0, 0.0]);
    assert_eq!(cosine_rate(0.1, 0, 10), 0.1);
    near(cosine_rate(0.1, 5, 10), 0.05, 1e-16);
    assert_eq!(cosine_rate(0.1, 10, 10), 0.0);
}

const ADAM: [f64; 2] = [0.8274177428854115, -1.9649102620009304];
const SGD: [f64; 2] = [0.9414516771413961, -2.056382910377111];
const GRADIENTS: [[f64; 2]; 3] = [[0.5, -1.0], [0.25, 2.0], [-1.0, 0.0]];

fn adam_meets<F: Real>(tolerance: f64) {
    let mut w: Matrix<F> = matrix([1, 2], &[1.0, -2.0]);
    let mut state = Engine::<F>::adam_state(&engine(), [1, 2]).unwrap();
    let adam = Adam { rate: 0.1, ..Adam::default() };
    for gradient in GRADIENTS {
        engine().adam_step(&mut w, &matrix([1, 2], &gradient), &mut state, &adam).unwrap();
    }
    near(w.values()[0].to_f64(), ADAM[0], tolerance);
    near(w.values()[1].to_f64(), ADAM[1], tolerance);
}

fn sgd_meets<F: Real>(tolerance: f64) {
    let mut w: Matrix<F> = matrix([1, 2], &[1.0, -2.0]);
    let mut velocity = matrix([1, 2], &[0.0, 0.0]);
    for (step, gradient) in (0..).zip(GRADIENTS) {
        let rate = poly_rate(0.07, step, 10, 0.9);
        let sgd = Sgd { rate, momentum: 0.9, weight_decay: 5e-4 };
        engine().sgd_step(&mut w, &matrix([1, 2], &gradient), &mut velocity, &sgd).unwrap();
    }
    near(w.values()[0].to_f64(), SGD[0], tolerance);
    near(w.values()[1].to_f64(), SGD[1], tolerance);
}

/// Of the formulas written out in another language.
#[test]
fn three_steps_of_either_optimiser() {
    both(adam_meets::<f32>, adam_meets::<f64>);
    both(sgd_meets::<f32>, sgd_meets::<f64>);
}

/// As PyTorch's `interpolate` has them.
#[test]
fn bilinear_resizing() {
    let run = |values: &[f64], from, to, align_corners| {
        let x: Matrix<f64> = matrix([values.len(), 1], values);
        let resize = Resize { pictures: 1, from, to, align_corners };
        engine().resize(&x, &resize).unwrap().values().to_vec()
    };
    assert_eq!(run(&[0.0, 1.0], [1, 2], [1, 4], false), [0.0, 0.25, 0.75, 1.0]);
    assert_eq!(run(&[0.0, 3.0], [2, 1], [4, 1], true), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(run(&[0.0, 2.0, 4.0, 6.0], [2, 2], [1, 1], false), [3.0]);
    assert_eq!(run(&[0.0, 2.0, 4.0, 6.0], [2, 2], [1, 1], true), [0.0]);
    let square = run(&[0.0, 1.0, 2.0, 3.0], [2, 2], [3, 3], true);
    assert_eq!(square, [0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0]);
}
