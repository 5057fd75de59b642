//! Clusters of vectors (methods.md 7.2).

use crate::math::random::Random;
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use std::format;
use std::vec;
use std::vec::Vec;

/// Deviations below this count as 1: the number is constant.
const LEAST_DEVIATION: f64 = 1e-12;

/// Deviation of each column, `[1, columns]`, all above 0.
///
/// # Errors
/// [`Error::Config`] without rows.
pub fn deviations(rows: &Matrix<f32>) -> Result<Matrix<f32>> {
    let [count, columns] = rows.shape();
    if count == 0 {
        return Err(Error::config("there is nothing to be clustered"));
    }
    let mut means = vec![0.0f64; columns];
    for row in rows.rows() {
        means.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x) / count as f64);
    }
    let mut squares = vec![0.0f64; columns];
    for row in rows.rows() {
        for ((square, mean), x) in squares.iter_mut().zip(&means).zip(row) {
            *square += (f64::from(*x) - mean) * (f64::from(*x) - mean) / count as f64;
        }
    }
    let deviation = squares.into_iter().map(|square| {
        let deviation = libm::sqrt(square);
        if deviation < LEAST_DEVIATION { 1.0 } else { deviation as f32 }
    });
    Ok(Matrix::new([1, columns], deviation.collect())?)
}

/// Divides each column by its deviation (SciPy's `whiten`; the mean stays), then each row by its
/// length.
pub fn whiten(rows: &mut Matrix<f32>, deviations: &Matrix<f32>) {
    for row in rows.rows_mut() {
        row.iter_mut().zip(deviations.values()).for_each(|(x, deviation)| *x /= deviation);
        let square: f64 = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let length = libm::sqrt(square).max(f64::from(f32::MIN_POSITIVE));
        row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

/// k-means, step by step.
///
/// With no more rows than `batch` a step is one of Lloyd's algorithm; otherwise it draws `batch`
/// rows, repeats allowed, and moves each centre to the mean of all rows that it has been given so
/// far (Sculley, "Web-scale k-means clustering", WWW 2010). A centre that is given no row stays.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    /// `[clusters, columns]`.
    pub centres: Matrix<f32>,
    /// Rows that each centre has been given by drawing.
    pub counts: Vec<u64>,
}

impl KMeans {
    /// Starts with rows of the data, each drawn with a chance that is proportional to its squared
    /// distance to those before (k-means++; Arthur and Vassilvitskii, SODA 2007). Random numbers
    /// are those of `seed` and `start`.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer rows than clusters.
    pub fn start(rows: &Matrix<f32>, clusters: usize, seed: u64, start: u32) -> Result<KMeans> {
        let [count, columns] = rows.shape();
        if count < clusters {
            let reason = format!("{count} objects cannot be divided into {clusters} clusters");
            return Err(Error::config(reason));
        }
        let random = Random::new(seed, &[]);
        let mut values = Vec::with_capacity(clusters * columns);
        let mut distances = vec![1.0f64; count];
        for cluster in 0..clusters {
            let [coarse, fine, ..] = random.uniform(cluster as u32, start, START);
            let share = f64::from(coarse) + f64::from(fine) / 16_777_216.0;
            let row = rows.row(pick(&distances, share)).unwrap_or_default();
            values.extend_from_slice(row);
            for (distance, other) in distances.iter_mut().zip(rows.rows()) {
                let to_this = square_distance(row, other);
                *distance = if cluster == 0 { to_this } else { distance.min(to_this) };
            }
        }
        let centres = Matrix::new([clusters, columns], values)?;
        Ok(KMeans { centres, counts: vec![0; clusters] })
    }

    /// Does a step; random numbers are those of `seed`, `start` and `step`.
    pub fn step(&mut self, rows: &Matrix<f32>, batch: usize, seed: u64, place: [u32; 2]) {
        let count = rows.shape()[0];
        if count <= batch {
            self.counts.fill(0);
            return self.give(rows.rows());
        }
        let [start, step] = place;
        let random = Random::new(seed, &[]);
        let drawn = (0..batch).filter_map(|index| {
            let [share, ..] = random.uniform(index as u32, step, BATCH + start);
            rows.row((f64::from(share) * count as f64) as usize)
        });
        let drawn: Vec<&[f32]> = drawn.collect();
        self.give(drawn.into_iter());
    }

    /// Gives rows to their nearest centres, and moves those.
    fn give<'r>(&mut self, rows: impl Iterator<Item = &'r [f32]>) {
        let [clusters, columns] = self.centres.shape();
        let mut sums = vec![0.0f64; clusters * columns];
        let mut given = vec![0u64; clusters];
        for row in rows {
            let nearest = self.nearest(row).0;
            let sum = sums.iter_mut().skip(nearest * columns);
            sum.zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            given.iter_mut().skip(nearest).take(1).for_each(|given| *given += 1);
        }
        let places = self.centres.rows_mut().zip(&mut self.counts);
        for ((centre, count), (sum, given)) in places.zip(sums.chunks(columns).zip(given)) {
            if given == 0 {
                continue;
            }
            let (before, all) = (*count as f64, (*count + given) as f64);
            for (x, sum) in centre.iter_mut().zip(sum) {
                *x = ((before * f64::from(*x) + sum) / all) as f32;
            }
            *count += given;
        }
    }

    /// The nearest centre, the first of equal ones, and its squared distance.
    pub fn nearest(&self, row: &[f32]) -> (usize, f64) {
        let distances = self.centres.rows().map(|centre| square_distance(centre, row));
        let first = (0, f64::INFINITY);
        distances.enumerate().fold(first, |best, one| if one.1 < best.1 { one } else { best })
    }

    /// Sum of the squared distances of rows to their nearest centres.
    pub fn inertia(&self, rows: &Matrix<f32>) -> f64 {
        rows.rows().map(|row| self.nearest(row).1).sum()
    }
}

/// Streams of random numbers; that of batches is followed by one for each start.
const START: u32 = 16;
const BATCH: u32 = 17;

/// The place where the running sum of weights exceeds `share` of their sum; any row without
/// weights, the last by rounding.
fn pick(weights: &[f64], share: f64) -> usize {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return (share * weights.len() as f64) as usize;
    }
    let mut sum = 0.0;
    let place = weights.iter().position(|weight| {
        sum += weight;
        sum > share * total
    });
    place.unwrap_or(weights.len().saturating_sub(1))
}

fn square_distance(a: &[f32], b: &[f32]) -> f64 {
    let differences = a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b));
    differences.map(|difference| difference * difference).sum()
}
