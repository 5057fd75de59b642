//! Ten steps of Adam and of gradient descent, on gradients from 1e-8 to 100.

use crate::golden::{Golden, engine, near};
use zsseg::train::engine::{Adam, Engine, Matrix, Real, Sgd, poly_rate};

const STEPS: usize = 10;

/// Runs `step` on each gradient, and checks the parameters after each.
fn check_run<F: Real>(
    name: &str,
    bound: f64,
    mut step: impl FnMut(usize, &mut Matrix<F>, &Matrix<F>),
) {
    let golden = Golden::open("optimisers");
    let (given, case) = (golden.case("given"), golden.case(name));
    let mut parameters = given.matrix("start");
    for index in 0..STEPS {
        step(index, &mut parameters, &given.part("gradients", index));
        let found: Vec<f64> = parameters.values().iter().map(|value| value.to_f64()).collect();
        near(name, &found, case.part::<f64>("after", index).values(), bound);
    }
}

fn adam_meets<F: Real>(bound: f64) {
    let runs = [
        ("adam", Adam::default()),
        ("adam_betas", Adam { rate: 0.1, beta1: 0.5, beta2: 0.99, epsilon: 1e-4 }),
    ];
    for (name, settings) in runs {
        let mut state = Engine::<F>::adam_state(&engine(), [7, 3]).unwrap();
        check_run::<F>(name, bound, |_, parameters, gradient| {
            engine().adam_step(parameters, gradient, &mut state, &settings).unwrap();
        });
    }
}

fn sgd_meets<F: Real>(bound: f64) {
    let mut velocity = Matrix::zeros([7, 3]).unwrap();
    check_run::<F>("sgd", bound, |_, parameters, gradient| {
        let sgd = Sgd { rate: 0.1, momentum: 0.0, weight_decay: 0.0 };
        engine().sgd_step(parameters, gradient, &mut velocity, &sgd).unwrap();
    });
    let mut velocity = Matrix::zeros([7, 3]).unwrap();
    check_run::<F>("sgd_poly", bound, |step, parameters, gradient| {
        let rate = poly_rate(0.07, step as u64, STEPS as u64, 0.9);
        let sgd = Sgd { rate, momentum: 0.9, weight_decay: 5e-4 };
        engine().sgd_step(parameters, gradient, &mut velocity, &sgd).unwrap();
    });
}

#[test]
fn adam() {
    adam_meets::<f64>(1e-13);
    adam_meets::<f32>(2e-6);
}

#[test]
fn gradient_descent() {
    sgd_meets::<f64>(1e-13);
    sgd_meets::<f32>(2e-6);
}
