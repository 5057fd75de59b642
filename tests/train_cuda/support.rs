//! What the tests share.

use crate::device::{Chosen, open};
use std::num::NonZeroUsize;
use zsseg::train::cuda::{CudaEngine, Limits, Precision, Tensor};
use zsseg::train::engine::{CpuEngine, Draw, Engine, Matrix, Noise};

pub type Tested = CudaEngine<Chosen>;
pub type Device = Tensor<Chosen>;

/// Of a consumer card: 99 KiB of shared memory; few processors, so that tiles are large.
pub const CARD: Limits = Limits { shared_bytes: 99 << 10, processors: 2 };
/// Of a large server card.
pub const SERVER: Limits = Limits { shared_bytes: 227 << 10, processors: 132 };

/// Losses of f32 may be off by so much, by their size.
pub const LOSS: f64 = 1e-6;
/// And gradients, by their length.
pub const GRADIENT: f64 = 1e-5;

pub fn tested() -> Tested {
    CudaEngine::new(open(CARD))
}

pub fn with(limits: Limits, precision: Precision) -> Tested {
    CudaEngine::new(open(limits)).with_precision(precision)
}

pub fn cpu() -> CpuEngine {
    CpuEngine::new(NonZeroUsize::MIN)
}

/// The same Gaussian numbers on the device and in f64.
pub struct Pair {
    pub device: Device,
    pub exact: Matrix<f64>,
    pub plain: Matrix<f32>,
}

pub fn of(engine: &Tested, shape: [usize; 2], values: Vec<f32>) -> Pair {
    let exact = values.iter().map(|value| f64::from(*value)).collect();
    Pair {
        device: engine.upload(shape, &values).unwrap(),
        exact: Matrix::new(shape, exact).unwrap(),
        plain: Matrix::new(shape, values).unwrap(),
    }
}

pub fn normal(shape: [usize; 2], seed: u64) -> Vec<f32> {
    let draw = Draw { seed, step: 3, stream: 1 };
    let numbers: Matrix<f32> = cpu().noise(shape, Noise::Normal, draw).unwrap();
    numbers.into_values()
}

pub fn random(engine: &Tested, shape: [usize; 2], seed: u64) -> Pair {
    of(engine, shape, normal(shape, seed))
}

/// Positive weights.
pub fn weights(count: usize, seed: u64) -> Vec<f32> {
    normal([count, 1], seed).iter().map(|value| value.abs() + 0.1).collect()
}

pub fn exact(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Labels from -1 (ignored) to `classes - 1`.
pub fn labels(count: usize, classes: i32, seed: u64) -> Vec<i32> {
    let draw = Draw { seed, step: 0, stream: 9 };
    let numbers: Matrix<f64> = cpu().noise([count, 1], Noise::Uniform, draw).unwrap();
    numbers.values().iter().map(|x| (x * f64::from(classes + 1)) as i32 - 1).collect()
}

pub fn values(engine: &Tested, tensor: &Device) -> Vec<f32> {
    engine.download(tensor).unwrap()
}

/// The distance of what was found from what was wanted, by the latter's length.
pub fn distance(found: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let pairs = || found.iter().zip(wanted).map(|(a, b)| (f64::from(*a), *b));
    let error: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
    let size: f64 = pairs().map(|(_, b)| b * b).sum();
    // Where all is 0, all must be.
    if size == 0.0 { error } else { (error / size).sqrt() }
}

/// Checks a matrix; gives its distance.
#[track_caller]
pub fn near(engine: &Tested, found: &Device, wanted: &Matrix<f64>, most: f64) -> f64 {
    assert_eq!(engine.shape(found), wanted.shape());
    let distance = distance(&values(engine, found), wanted.values());
    assert!(distance <= most, "a relative distance of {distance:e}");
    distance
}

/// Checks a number; gives its relative distance.
#[track_caller]
pub fn close(found: f64, wanted: f64, most: f64) -> f64 {
    let distance = (found - wanted).abs() / wanted.abs().max(f64::MIN_POSITIVE);
    assert!(found == wanted || distance <= most, "{found} instead of {wanted}: {distance:e}");
    if found == wanted { 0.0 } else { distance }
}

#[track_caller]
pub fn same_bits(engine: &Tested, found: &Device, wanted: &Matrix<f32>) {
    assert_eq!(engine.shape(found), wanted.shape());
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&values(engine, found)), bits(wanted.values()));
}

/// Says what was measured, for `docs/cuda.md`: `cargo test ... -- --nocapture`.
pub fn figure(what: &str, most: f64) {
    println!("figure: {what}: {most:.1e}");
}
