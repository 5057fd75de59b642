//! What the tests share.

use std::num::NonZeroUsize;
use zsseg::train::engine::{CpuEngine, Draw, Engine, Matrix, Noise, Real};

pub fn engine() -> CpuEngine {
    with_threads(1)
}

pub fn with_threads(threads: usize) -> CpuEngine {
    CpuEngine::new(NonZeroUsize::new(threads).unwrap())
}

pub fn matrix<F: Real>(shape: [usize; 2], values: &[f64]) -> Matrix<F> {
    Matrix::new(shape, values.iter().map(|value| F::of(*value)).collect()).unwrap()
}

/// Gaussian numbers.
pub fn random<F: Real>(shape: [usize; 2], seed: u64) -> Matrix<F> {
    engine().noise(shape, Noise::Normal, Draw { seed, step: 0, stream: 0 }).unwrap()
}

/// Labels from -1 (ignored) to `classes - 1`.
pub fn labels(count: usize, classes: i32, seed: u64) -> Vec<i32> {
    let numbers: Matrix<f64> =
        engine().noise([count, 1], Noise::Uniform, Draw { seed, step: 0, stream: 1 }).unwrap();
    numbers.values().iter().map(|x| (x * f64::from(classes + 1)) as i32 - 1).collect()
}

pub fn dot<F: Real>(a: &Matrix<F>, b: &Matrix<F>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.values().iter().zip(b.values()).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// Relative distance of two matrices by their lengths.
pub fn distance<F: Real, G: Real>(a: &Matrix<F>, b: &Matrix<G>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let pairs = || a.values().iter().zip(b.values()).map(|(a, b)| (a.to_f64(), b.to_f64()));
    let error: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
    let size: f64 = pairs().map(|(a, b)| a * a + b * b).sum();
    // Below 1e-9 both count as 0: differences cannot tell.
    (error / size.max(1e-18)).sqrt()
}

/// Checks a gradient against central differences in every coordinate.
pub fn check_gradient(
    x: &Matrix<f64>,
    gradient: &Matrix<f64>,
    value: impl Fn(&Matrix<f64>) -> f64,
) {
    const STEP: f64 = 1e-5;
    let found = |index: usize| {
        let at = |step: f64| {
            let mut values = x.values().to_vec();
            values[index] += step;
            value(&Matrix::new(x.shape(), values).unwrap())
        };
        (at(STEP) - at(-STEP)) / (2.0 * STEP)
    };
    let differences = (0..x.values().len()).map(found).collect();
    let differences = Matrix::<f64>::new(x.shape(), differences).unwrap();
    // Values are rounded, and their differences with them: a gradient below that cannot be told
    // from 0.
    let rounding = 4.0 * f64::EPSILON * value(x).abs().max(1.0) / STEP;
    let pairs = gradient.values().iter().zip(differences.values());
    let error = pairs.map(|(a, b)| ((a - b).abs() - rounding).max(0.0).powi(2)).sum::<f64>().sqrt();
    let size = dot(&differences, &differences).sqrt();
    assert!(error <= 1e-4 * size, "{error}: {gradient:?} instead of {differences:?}");
}

#[track_caller]
pub fn near(found: f64, wanted: f64, tolerance: f64) {
    assert!((found - wanted).abs() <= tolerance * wanted.abs().max(1.0), "{found} {wanted}");
}
