//! What the tests share: exact arenas, random numbers, plain f64 algebra.

use zsseg::arena::{ALIGN_BYTES, Arena};
use zsseg::map::{Layout, Map};
use zsseg::math::kernels::Kernels;
use zsseg::spectral::{Inputs, Outcome, Settings, Shape, Spectral};
use zsseg::status::Result;

/// Runs `work` on an arena of exactly as many bytes as `carve` takes, and checks that one byte
/// less is refused.
pub fn exactly<T>(
    carve: impl Fn(&mut Arena<'_>) -> Result<()>,
    work: impl FnOnce(&mut Arena<'_>) -> T,
) -> T {
    let mut counting = Arena::counting();
    carve(&mut counting).unwrap();
    let need = counting.used_bytes();
    let mut memory = vec![0xA5u8; need + ALIGN_BYTES];
    let skip = memory.as_ptr().align_offset(ALIGN_BYTES);
    let bytes = &mut memory[skip..skip + need];
    let mut short = Arena::over(&mut bytes[..need - 1]).unwrap();
    carve(&mut short).unwrap_err();
    let mut arena = Arena::over(bytes).unwrap();
    let result = work(&mut arena);
    assert_eq!(arena.used_bytes(), need);
    result
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub outcome: Outcome,
    pub values: Vec<f32>,
    pub residuals: Vec<f32>,
    pub vectors: Vec<Vec<f32>>,
}

pub fn search(shape: &Shape, settings: &Settings, inputs: &Inputs<'_>) -> Result<Found> {
    search_with(shape, settings, inputs, Kernels::detect())
}

pub fn search_with(
    shape: &Shape,
    settings: &Settings,
    inputs: &Inputs<'_>,
    kernels: &'static Kernels,
) -> Result<Found> {
    let carve = |arena: &mut Arena<'_>| Spectral::carve(arena, shape, settings, kernels).map(drop);
    exactly(carve, |arena| {
        let mut spectral = Spectral::carve(arena, shape, settings, kernels).unwrap();
        let outcome = spectral.run(inputs)?;
        let segments = spectral.segments();
        assert_eq!(segments.count(), outcome.found);
        Ok(Found {
            outcome,
            values: spectral.values().to_vec(),
            residuals: spectral.residuals().to_vec(),
            vectors: (0..segments.count()).map(|k| segments.vector(k).to_vec()).collect(),
        })
    })
}

pub fn map<'a>(data: &'a [f32], shape: &Shape, layout: Layout) -> Map<'a, f32> {
    Map::new(data, shape.height, shape.width, shape.channels, layout).unwrap()
}

pub struct Random(pub u64);

impl Random {
    /// From -1 to 1.
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
    }

    pub fn take(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.next()).collect()
    }
}

/// Cells around a few random centres, so that there is something to find. Cell after cell.
pub fn clusters(shape: &Shape, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let centers: Vec<Vec<f32>> = (0..4).map(|_| random.take(shape.channels)).collect();
    let mut features = Vec::new();
    for cell in 0..shape.height * shape.width {
        let center = &centers[(cell * 4 / (shape.height * shape.width) + cell % 3) % 4];
        features.extend(center.iter().map(|value| value + 0.7 * random.next()));
    }
    features
}

pub fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

/// `relu(F F^T)` of normalised rows, in f64.
pub fn affinity(features: &[f32], channels: usize) -> Vec<Vec<f64>> {
    let rows: Vec<Vec<f64>> = features
        .chunks(channels)
        .map(|row| {
            let row: Vec<f64> = row.iter().map(|&value| value.into()).collect();
            let length = dot(&row, &row).sqrt().max(1e-12);
            row.iter().map(|value| value / length).collect()
        })
        .collect();
    rows.iter().map(|a| rows.iter().map(|b| dot(a, b).max(0.0)).collect()).collect()
}

pub fn degrees(affinity: &[Vec<f64>]) -> Vec<f64> {
    let sums = affinity.iter().map(|row| row.iter().sum::<f64>());
    sums.map(|sum| if sum < 1e-12 { 1.0 } else { sum }).collect()
}

/// Largest principal angle between the spans, at least: the Frobenius norm of what the second
/// has outside the first.
pub fn angle(left: &[Vec<f32>], right: &[Vec<f32>]) -> f64 {
    let (left, right) = (orthonormal(left), orthonormal(right));
    let outside = right.iter().map(|vector| {
        let mut rest = vector.clone();
        for axis in &left {
            let along = dot(axis, &rest);
            rest.iter_mut().zip(axis).for_each(|(value, axis)| *value -= along * axis);
        }
        dot(&rest, &rest)
    });
    outside.sum::<f64>().sqrt().min(1.0).asin()
}

fn orthonormal(vectors: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for vector in vectors {
        let mut vector: Vec<f64> = vector.iter().map(|&value| value.into()).collect();
        for _ in 0..2 {
            for axis in &basis {
                let along = dot(axis, &vector);
                vector.iter_mut().zip(axis).for_each(|(value, axis)| *value -= along * axis);
            }
            let length = dot(&vector, &vector).sqrt();
            vector.iter_mut().for_each(|value| *value /= length);
        }
        basis.push(vector);
    }
    basis
}
