//! Input that fits nothing gives an error with a status, and changes nothing.

use crate::common::{engine, random};
use zsseg::status::{Result, Status};
use zsseg::train::engine::{
    Activation, Adam, Contrastive, Denominator, Depthwise, Draw, Engine, Kernel, Labelled, Matrix,
    Mmd, MmdGroup, Pairs, Product, Resize, Sgd, Targets,
};

#[track_caller]
fn refused<T>(result: Result<T>) {
    let status = result.err().map(|error| error.status());
    assert_eq!(status, Some(Status::InvalidArgument));
}

fn x(rows: usize, columns: usize) -> Matrix<f32> {
    random([rows, columns], 1)
}

#[test]
fn shapes_that_do_not_fit() {
    let engine = engine();
    refused(engine.upload([2, 2], &[0.0f32; 3]));
    refused(engine.upload([2, 0], &[0.0f32; 0]));
    refused(Matrix::<f32>::zeros([usize::MAX, 2]));
    refused(engine.product(Product::Nn, &x(2, 3), &x(2, 3), None));
    refused(engine.product(Product::Nt, &x(2, 3), &x(3, 2), None));
    refused(engine.product(Product::Tn, &x(2, 3), &x(3, 2), None));
    refused(engine.product(Product::Nt, &x(2, 3), &x(4, 3), Some(&x(1, 3))));
    refused(engine.add_scaled(&mut x(2, 3), 1.0, &x(3, 2)));
    refused(engine.gather_rows(&x(2, 3), &[2]));
    refused(engine.scatter_rows(&x(2, 3), &[0], 4));
    refused(engine.scatter_rows(&x(2, 3), &[0, 4], 4));
    refused(engine.divergence(&x(2, 3), &x(3, 2), None));
    refused(engine.squared_error(&x(2, 3), &x(3, 2)));
    refused(engine.balanced_cross_entropy(&x(2, 3), &[0; 5]));
    refused(engine.normalise_backward(&engine.normalise(&x(2, 3)).unwrap(), &x(3, 2)));
    let resize = Resize { pictures: 2, from: [2, 3], to: [4, 4], align_corners: true };
    refused(engine.resize(&x(6, 1), &resize));
    refused(engine.resize_backward(&x(12, 1), &resize));
    refused(engine.resize(&x(0, 1), &Resize { from: [0, 3], ..resize }));
    refused(engine.resize(&x(12, 1), &Resize { to: [0, 3], ..resize }));
    refused(engine.resize(&x(12, 1), &Resize { to: [usize::MAX, 3], ..resize }));
}

#[test]
fn convolutions_that_do_not_fit() {
    let engine = engine();
    let good = Depthwise { pictures: 2, grid: [2, 3], dilation: 1 };
    assert!(engine.depthwise(&x(12, 4), &x(9, 4), Some(&x(1, 4)), &good).is_ok());
    assert!(
        engine
            .depthwise(&x(12, 4), &x(9, 4), None, &Depthwise { dilation: usize::MAX, ..good })
            .is_ok()
    );
    refused(engine.depthwise(&x(11, 4), &x(9, 4), None, &good));
    refused(engine.depthwise(&x(12, 4), &x(8, 4), None, &good));
    refused(engine.depthwise(&x(12, 4), &x(9, 3), None, &good));
    refused(engine.depthwise(&x(12, 4), &x(9, 4), Some(&x(1, 3)), &good));
    refused(engine.depthwise_backward(&x(12, 4), &x(9, 3), &good));
    refused(engine.depthwise_gradient(&x(12, 4), &x(12, 3), &good));
    for wrong in [
        Depthwise { dilation: 0, ..good },
        Depthwise { pictures: 1, ..good },
        Depthwise { grid: [0, 3], ..good },
        Depthwise { grid: [usize::MAX, 3], ..good },
    ] {
        refused(engine.depthwise(&x(12, 4), &x(9, 4), None, &wrong));
        refused(engine.depthwise_gradient(&x(12, 4), &x(12, 4), &wrong));
    }
    refused(Engine::<f32>::join_columns(&engine, &[]));
    refused(engine.join_columns(&[&x(2, 3), &x(3, 3)]));
    refused(engine.columns(&x(2, 3), 2, 2));
    refused(engine.columns(&x(2, 3), usize::MAX, 2));
    refused(engine.columns(&x(2, 3), 1, 0));
}

#[test]
fn settings_out_of_range() {
    let engine = engine();
    let draw = Draw { seed: 0, step: 0, stream: 0 };
    let good = Activation { slope: 0.2, dropout: 0.5, draw };
    for dropout in [-0.1, 1.0, f64::NAN] {
        refused(engine.activate(&x(2, 3), &Activation { dropout, ..good }));
    }
    refused(engine.activate(&x(2, 3), &Activation { slope: f64::INFINITY, ..good }));
    refused(engine.activate_backward(&x(2, 3), &x(3, 2), &good));
    refused(Kernel::variances(&[]));
    for variance in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(Kernel::variances(&[1.0, variance]));
    }
    for share in [-0.1, 1.1, f64::NAN] {
        refused(engine.hardest_rows(&x(2, 1), &[0, 0], share));
    }
    refused(engine.hardest_rows(&x(2, 2), &[0, 0], 0.5));
    refused(engine.hardest_rows(&x(2, 1), &[0], 0.5));
}

#[test]
fn labels_and_weights_out_of_range() {
    let logits = x(2, 3);
    let run = |labels: &[i32], class_weights: Option<&[f32]>, row_weights: Option<&[f32]>| {
        engine().cross_entropy(&logits, &Targets { labels, class_weights, row_weights })
    };
    assert!(run(&[0, 2], Some(&[1.0; 3]), Some(&[0.0; 2])).is_ok());
    refused(run(&[0, 3], None, None));
    refused(run(&[0], None, None));
    refused(run(&[0, 1], Some(&[1.0; 2]), None));
    refused(run(&[0, 1], Some(&[1.0, -1.0, 1.0]), None));
    refused(run(&[0, 1], None, Some(&[1.0, f32::NAN])));
    refused(run(&[0, 1], None, Some(&[1.0; 3])));
}

#[test]
fn groups_that_are_not_there() {
    let kernel = Kernel::zs3_code();
    let run = |columns: usize, groups: &[MmdGroup], real_weights: Option<&[f32]>| {
        let settings = Mmd { kernel: &kernel, groups, real_weights };
        engine().mmd(&x(4, 3), &x(5, columns), &settings)
    };
    let group = |generated, real| [MmdGroup { generated, real }];
    assert!(run(3, &group(0..4, 0..5), None).is_ok());
    refused(run(2, &group(0..4, 0..5), None));
    refused(run(3, &group(0..5, 0..5), None));
    refused(run(3, &group(0..4, 1..6), None));
    refused(run(3, &group(2..2, 0..5), None));
    refused(run(3, &group(0..4, 5..5), None));
    refused(run(3, &group(0..4, 0..5), Some(&[1.0; 4])));
    refused(run(3, &group(0..4, 0..5), Some(&[-1.0; 5])));
    refused(run(3, &group(0..4, 0..5), Some(&[0.0; 5])));
}

#[test]
fn pairs_that_do_not_fit() {
    let (f, g, narrow) = (x(4, 3), x(5, 3), x(4, 2));
    let good =
        Contrastive { temperature: 0.1, denominator: Denominator::AllKeys, without_self: false };
    let run = |keys: &Matrix<f32>, count: usize, settings: &Contrastive| {
        let anchors = Labelled { rows: &f, labels: &[0; 4] };
        let keys = Labelled { rows: keys, labels: &[0; 5][..count] };
        engine().contrastive(&Pairs { anchors, keys, other: None }, settings)
    };
    assert!(run(&g, 5, &good).is_ok());
    refused(run(&g, 4, &good));
    refused(run(&narrow, 4, &good));
    refused(run(&g, 5, &Contrastive { without_self: true, ..good }));
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(run(&g, 5, &Contrastive { temperature, ..good }));
    }
}

#[test]
fn optimisers_refuse_and_change_nothing() {
    let engine = engine();
    let mut w = x(2, 3);
    let before = w.clone();
    let mut state = Engine::<f32>::adam_state(&engine, [2, 3]).unwrap();
    let adam = Adam::default();
    refused(engine.adam_step(&mut w, &x(3, 2), &mut state, &adam));
    refused(engine.adam_step(&mut w, &x(2, 3), &mut state, &Adam { beta2: 1.0, ..adam }));
    refused(engine.adam_step(&mut w, &x(2, 3), &mut state, &Adam { epsilon: 0.0, ..adam }));
    refused(engine.adam_step(&mut w, &x(2, 3), &mut state, &Adam { rate: f64::NAN, ..adam }));
    let mut velocity = Matrix::zeros([3, 2]).unwrap();
    let sgd = Sgd { rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
    refused(engine.sgd_step(&mut w, &x(2, 3), &mut velocity, &sgd));
    let mut velocity = Matrix::zeros([2, 3]).unwrap();
    refused(engine.sgd_step(&mut w, &x(3, 2), &mut velocity, &sgd));
    let sgd = Sgd { momentum: f64::NAN, ..sgd };
    refused(engine.sgd_step(&mut w, &x(2, 3), &mut velocity, &sgd));
    assert_eq!((w, state.steps), (before, 0));
    assert!(velocity.values().iter().all(|value| *value == 0.0));
}
