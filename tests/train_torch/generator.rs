//! Five steps of ZS3Net's generator (methods.md 2.4, 2.5): noise, two layers with leaky ReLU and
//! dropout, root of the discrepancy, gradients and Adam. The golden files have noise and dropout
//! from a Philox of their own, so the engine's random numbers are held to that as well.

use crate::golden::{Case, Golden, engine};
use zsseg::train::engine::{
    Activation, Adam, AdamState, Draw, Engine, Kernel, Matrix, Mmd, MmdGroup, Noise, Product, Real,
};

const ROWS: usize = 33;
const NOISE: usize = 6;
const HIDDEN: usize = 9;
const STEPS: u32 = 5;
const NAMES: [&str; 4] = ["w1", "b1", "w2", "b2"];

struct Generator<'a, F> {
    case: Case<'a>,
    kernel: Kernel,
    parameters: [Matrix<F>; 4],
    states: [AdamState<Matrix<F>>; 4],
}

impl<'a, F: Real> Generator<'a, F> {
    fn new(case: Case<'a>, kernel: Kernel) -> Generator<'a, F> {
        let parameters = NAMES.map(|name| case.matrix(name));
        let state = |p: &Matrix<F>| Engine::<F>::adam_state(&engine(), p.shape()).unwrap();
        let states = parameters.each_ref().map(state);
        Generator { case, kernel, parameters, states }
    }

    fn activation(&self, step: u32) -> Activation {
        let draw = Draw { seed: 20, step, stream: 1 };
        Activation { slope: 0.2, dropout: self.case.number("dropout"), draw }
    }

    fn noise(&self, step: u32) -> Matrix<F> {
        let draw = Draw { seed: 20, step, stream: 0 };
        engine().noise([ROWS, NOISE], Noise::Uniform, draw).unwrap()
    }

    fn input(&self, step: u32) -> Matrix<F> {
        let (a, z) = (self.case.values::<F>("embedding"), self.noise(step));
        let values: Vec<F> = z.rows().flat_map(|z| [&a, z].concat()).collect();
        Matrix::new([ROWS, a.len() + NOISE], values).unwrap()
    }

    /// The loss, and the gradients by the parameters.
    fn gradients(&self, step: u32) -> (f64, [Matrix<F>; 4]) {
        let engine = engine();
        let [w1, b1, w2, b2] = &self.parameters;
        let (x, activation) = (self.input(step), self.activation(step));
        let hidden = engine.product(Product::Nn, &x, w1, Some(b1)).unwrap();
        let active = engine.activate(&hidden, &activation).unwrap();
        let y = engine.product(Product::Nn, &active, w2, Some(b2)).unwrap();
        let real = self.case.part("real", step as usize);
        let groups = [MmdGroup { generated: 0..ROWS, real: 0..real.shape()[0] }];
        let settings = Mmd { kernel: &self.kernel, groups: &groups, real_weights: None };
        let loss = engine.mmd(&y, &real, &settings).unwrap();
        let dy = loss.gradient;
        let d_active = engine.product(Product::Nt, &dy, w2, None).unwrap();
        let d_hidden = engine.activate_backward(&hidden, &d_active, &activation).unwrap();
        let weights = |x, dy| engine.product(Product::Tn, x, dy, None).unwrap();
        let bias = |dy| engine.column_sums(dy).unwrap();
        let gradients = [weights(&x, &d_hidden), bias(&d_hidden), weights(&active, &dy), bias(&dy)];
        (loss.values[0], gradients)
    }

    fn learn(&mut self, gradients: &[Matrix<F>; 4]) {
        let adam = Adam { rate: 2e-3, ..Adam::default() };
        let states = self.states.iter_mut().zip(gradients);
        for (parameter, (state, gradient)) in self.parameters.iter_mut().zip(states) {
            engine().adam_step(parameter, gradient, state, &adam).unwrap();
        }
    }

    fn check_parameters(&self, steps: u32, bound: f64) {
        for (name, parameter) in NAMES.iter().zip(&self.parameters) {
            self.case.meets(&format!("{name}_after_{steps}"), parameter, bound);
        }
    }
}

fn meets<F: Real>(bound: f64) {
    let golden = Golden::open("generator");
    let code = Kernel::zs3_code;
    for (name, kernel) in [("plain", code()), ("dropout", code()), ("paper", Kernel::zs3_paper())] {
        let mut generator = Generator::<F>::new(golden.case(name), kernel);
        let mut values = Vec::new();
        for step in 0..STEPS {
            let (value, gradients) = generator.gradients(step);
            values.push(value);
            if step == 0 {
                for (name, gradient) in NAMES.iter().zip(&gradients) {
                    generator.case.meets(&format!("{name}_gradient"), gradient, bound);
                }
            }
            generator.learn(&gradients);
            if step == 0 || step == STEPS - 1 {
                generator.check_parameters(step + 1, bound);
            }
        }
        generator.case.meets_numbers("values", &values, bound);
    }
}

#[test]
fn in_f64() {
    meets::<f64>(1e-13);
}

#[test]
fn in_f32() {
    meets::<f32>(1e-5);
}

/// Noise and dropout are the same numbers as the golden files', bit for bit.
#[test]
fn random_numbers() {
    let golden = Golden::open("generator");
    let case = golden.case("dropout");
    let generator = Generator::<f64>::new(case, Kernel::zs3_code());
    assert_eq!(generator.noise(0), case.matrix("noise"));
    let ones = Matrix::new([ROWS, HIDDEN], vec![1.0; ROWS * HIDDEN]).unwrap();
    let mask = engine().activate(&ones, &generator.activation(0)).unwrap();
    assert_eq!(mask, case.matrix("mask"));
}
