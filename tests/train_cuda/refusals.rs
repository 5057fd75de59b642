//! What does not fit is refused with the CPU engine's very words.

use crate::support::{cpu, random, tested};
use std::fmt::Debug;
use zsseg::train::engine::{
    Activation, Adam, Depthwise, Draw, Engine, Kernel, Mmd, MmdGroup, Product, Resize, Sgd, Targets,
};

#[track_caller]
fn same<A: Debug, B: Debug>(
    found: Result<A, zsseg::status::Error>,
    wanted: Result<B, zsseg::status::Error>,
) {
    assert_eq!(found.unwrap_err(), wanted.unwrap_err());
}

#[test]
fn shapes_and_settings() {
    let engine = tested();
    let (a, b) = (random(&engine, [3, 4], 1), random(&engine, [5, 4], 2));
    let draw = Draw { seed: 0, step: 0, stream: 0 };
    same(engine.upload([2, 0], &[]), Engine::<f32>::upload(&cpu(), [2, 0], &[]));
    same(engine.upload([2, 2], &[0.0]), Engine::<f32>::upload(&cpu(), [2, 2], &[0.0]));
    for form in [Product::Nn, Product::Tn] {
        let found = engine.product(form, &a.device, &b.device, None);
        same(found, cpu().product(form, &a.plain, &b.plain, None));
    }
    let found = engine.product(Product::Nt, &a.device, &b.device, Some(&a.device));
    same(found, cpu().product(Product::Nt, &a.plain, &b.plain, Some(&a.plain)));
    let found = engine.add_scaled(&mut a.device.clone(), 1.0, &b.device);
    same(found, cpu().add_scaled(&mut a.plain.clone(), 1.0, &b.plain));
    same(engine.gather_rows(&a.device, &[0, 3]), cpu().gather_rows(&a.plain, &[0, 3]));
    let far = [0, usize::MAX, 1];
    same(engine.scatter_rows(&a.device, &far, 2), cpu().scatter_rows(&a.plain, &far, 2));
    same(engine.scatter_rows(&a.device, &[0], 2), cpu().scatter_rows(&a.plain, &[0], 2));
    for (slope, dropout) in [(0.2, 1.0), (0.2, -0.1), (f64::NAN, 0.5)] {
        let settings = Activation { slope, dropout, draw };
        same(engine.activate(&a.device, &settings), cpu().activate(&a.plain, &settings));
    }
    let found = engine.join_columns(&[&a.device, &b.device]);
    same(found, cpu().join_columns(&[&a.plain, &b.plain]));
    same(engine.columns(&a.device, 3, 2), cpu().columns(&a.plain, 3, 2));
    same(engine.columns(&a.device, 3, 0), cpu().columns(&a.plain, 3, 0));
    same(engine.join_columns(&[]), Engine::<f32>::join_columns(&cpu(), &[]));
}

#[test]
fn losses() {
    let engine = tested();
    let (a, b) = (random(&engine, [3, 4], 1), random(&engine, [5, 4], 2));
    let targets = |labels: &'static [i32], rows: Option<&'static [f32]>| Targets {
        labels,
        class_weights: None,
        row_weights: rows,
    };
    for given in [
        targets(&[0, 1], None),
        targets(&[0, 1, 4], None),
        targets(&[0, 1, 3], Some(&[1.0, -1.0, 0.0])),
        targets(&[0, 1, 3], Some(&[1.0, f32::NAN, 0.0])),
        targets(&[0, 1, 3], Some(&[1.0])),
    ] {
        same(
            engine.cross_entropy(&a.device, &given).map(|loss| loss.value),
            cpu().cross_entropy(&a.plain, &given).map(|loss| loss.value),
        );
    }
    let labels = [0, 1, 2];
    same(engine.hardest_rows(&a.device, &labels, 0.5), cpu().hardest_rows(&a.plain, &labels, 0.5));
    let (column, plain) =
        (engine.columns(&a.device, 0, 1).unwrap(), cpu().columns(&a.plain, 0, 1).unwrap());
    same(engine.hardest_rows(&column, &labels, 1.5), cpu().hardest_rows(&plain, &labels, 1.5));
    same(
        engine.balanced_cross_entropy(&a.device, &[1]).map(|loss| loss.value),
        cpu().balanced_cross_entropy(&a.plain, &[1]).map(|loss| loss.value),
    );
    same(
        engine.divergence(&a.device, &b.device, None).map(|loss| loss.value),
        cpu().divergence(&a.plain, &b.plain, None).map(|loss| loss.value),
    );
    same(
        engine.squared_error(&a.device, &b.device).map(|loss| loss.value),
        cpu().squared_error(&a.plain, &b.plain).map(|loss| loss.value),
    );
}

#[test]
fn pictures_and_steps() {
    let engine = tested();
    let (a, b) = (random(&engine, [3, 4], 1), random(&engine, [5, 4], 2));
    let resize = Resize { pictures: 1, from: [2, 2], to: [3, 0], align_corners: false };
    same(engine.resize(&a.device, &resize), cpu().resize(&a.plain, &resize));
    same(engine.resize_backward(&a.device, &resize), cpu().resize_backward(&a.plain, &resize));
    let settings = Depthwise { pictures: 1, grid: [1, 3], dilation: 0 };
    let found = engine.depthwise(&a.device, &b.device, None, &settings);
    same(found, cpu().depthwise(&a.plain, &b.plain, None, &settings));
    let settings = Depthwise { pictures: 1, grid: [1, 3], dilation: 1 };
    let found = engine.depthwise_backward(&a.device, &b.device, &settings);
    same(found, cpu().depthwise_backward(&a.plain, &b.plain, &settings));
    for adam in [
        Adam { rate: f64::NAN, ..Adam::default() },
        Adam { beta1: 1.0, ..Adam::default() },
        Adam { epsilon: 0.0, ..Adam::default() },
    ] {
        let mut state = engine.adam_state([3, 4]).unwrap();
        let found = engine.adam_step(&mut a.device.clone(), &a.device, &mut state, &adam);
        let mut state = cpu().adam_state([3, 4]).unwrap();
        same(found, cpu().adam_step(&mut a.plain.clone(), &a.plain, &mut state, &adam));
    }
    let sgd = Sgd { rate: 0.1, momentum: f64::INFINITY, weight_decay: 0.0 };
    let found = engine.sgd_step(&mut a.device.clone(), &a.device, &mut a.device.clone(), &sgd);
    let mut velocity = a.plain.clone();
    same(found, cpu().sgd_step(&mut a.plain.clone(), &a.plain, &mut velocity, &sgd));
}

#[test]
fn groups_of_a_discrepancy() {
    let engine = tested();
    let (a, b) = (random(&engine, [3, 4], 1), random(&engine, [5, 4], 2));
    let kernel = Kernel::zs3_code();
    for (group, weights) in [
        (MmdGroup { generated: 0..0, real: 0..2 }, None),
        (MmdGroup { generated: 0..4, real: 0..2 }, None),
        (MmdGroup { generated: 0..2, real: 2..2 }, None),
        (MmdGroup { generated: 0..2, real: 4..6 }, None),
        (MmdGroup { generated: 0..2, real: 0..2 }, Some([0.0, 0.0, 1.0, 1.0, 1.0])),
        (MmdGroup { generated: 0..2, real: 0..2 }, Some([-1.0, 0.0, 1.0, 1.0, 1.0])),
    ] {
        let groups = [group];
        let real_weights = weights.as_ref().map(|weights| weights.as_slice());
        let settings = Mmd { kernel: &kernel, groups: &groups, real_weights };
        same(
            engine.mmd(&a.device, &b.device, &settings).map(|loss| loss.values),
            cpu().mmd(&a.plain, &b.plain, &settings).map(|loss| loss.values),
        );
    }
    let narrow = random(&engine, [5, 3], 2);
    let settings = Mmd { kernel: &kernel, groups: &[], real_weights: None };
    same(
        engine.mmd(&a.device, &narrow.device, &settings).map(|loss| loss.values),
        cpu().mmd(&a.plain, &narrow.plain, &settings).map(|loss| loss.values),
    );
}
