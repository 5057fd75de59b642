//! Features brought to mean 0 and deviation 1, and back.

use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::pictures::Features;
use std::vec;
use std::vec::Vec;

/// Deviations below this count as 1: the channel is constant.
const LEAST_DEVIATION: f64 = 1.0e-6;

/// Mean and deviation of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// `[1, channels]`.
    pub mean: Matrix<f32>,
    /// `[1, channels]`, all above 0.
    pub deviation: Matrix<f32>,
}

impl Scaling {
    /// Of the rows of a matrix. Sums are in f64.
    ///
    /// # Errors
    /// [`Error::Config`] without rows.
    pub fn of(rows: &Matrix<f32>) -> Result<Scaling> {
        let mut sums = Sums::new(rows.shape()[1]);
        sums.add(rows);
        sums.scaling()
    }

    /// Of all cells of at most `most` of these pictures, evenly spread over them. Sums are in f64.
    ///
    /// # Errors
    /// [`Error::Config`] without pictures; those of reading features.
    pub fn of_pictures(
        features: &dyn Features,
        pictures: &[usize],
        most: usize,
    ) -> Result<Scaling> {
        let mut sums = Sums::new(features.channels());
        let stride = pictures.len().div_ceil(most.max(1)).max(1);
        for &picture in pictures.iter().step_by(stride) {
            sums.add(&features.rows(picture, 0)?);
        }
        sums.scaling()
    }

    /// No scaling.
    ///
    /// # Errors
    /// Those of the engine, without channels.
    pub fn none(channels: usize) -> Result<Scaling> {
        let deviation = Matrix::new([1, channels], vec![1.0; channels])?;
        Ok(Scaling { mean: Matrix::zeros([1, channels])?, deviation })
    }

    /// Scales rows in place.
    pub fn apply(&self, rows: &mut Matrix<f32>) {
        for row in rows.rows_mut() {
            let pairs = self.mean.values().iter().zip(self.deviation.values());
            for (value, (mean, deviation)) in row.iter_mut().zip(pairs) {
                *value = (*value - mean) / deviation;
            }
        }
    }

    /// A linear layer over scaled features, `[outputs, channels]` and `[1, outputs]`, as one over
    /// the features as they are.
    ///
    /// # Errors
    /// Those of the engine, for shapes that do not fit.
    pub fn folded(
        &self,
        weight: &Matrix<f32>,
        bias: &Matrix<f32>,
    ) -> Result<(Matrix<f32>, Matrix<f32>)> {
        let mut folded = weight.clone();
        let mut shifted = bias.clone();
        let (means, deviations) = (self.mean.values(), self.deviation.values());
        for (row, bias) in folded.rows_mut().zip(shifted.values_mut()) {
            let mut shift = 0.0f64;
            for ((value, mean), deviation) in row.iter_mut().zip(means).zip(deviations) {
                *value /= deviation;
                shift += f64::from(*value) * f64::from(*mean);
            }
            *bias = (f64::from(*bias) - shift) as f32;
        }
        Ok((folded, shifted))
    }
}

/// Sums of channels and of their squares.
struct Sums {
    count: usize,
    channels: Vec<(f64, f64)>,
}

impl Sums {
    fn new(channels: usize) -> Sums {
        Sums { count: 0, channels: vec![(0.0, 0.0); channels] }
    }

    fn add(&mut self, rows: &Matrix<f32>) {
        self.count += rows.shape()[0];
        for row in rows.rows() {
            for (sum, &value) in self.channels.iter_mut().zip(row) {
                let value = f64::from(value);
                *sum = (sum.0 + value, sum.1 + value * value);
            }
        }
    }

    fn scaling(self) -> Result<Scaling> {
        if self.count == 0 {
            return Err(Error::config("features cannot be scaled: there are none"));
        }
        let count = self.count as f64;
        let mean: Vec<f32> = self.channels.iter().map(|sum| (sum.0 / count) as f32).collect();
        let deviation = self.channels.iter().map(|sum| {
            let variance = (sum.1 / count - (sum.0 / count).powi(2)).max(0.0);
            let deviation = libm::sqrt(variance);
            if deviation < LEAST_DEVIATION { 1.0 } else { deviation as f32 }
        });
        let shape = [1, mean.len()];
        let deviation = Matrix::new(shape, deviation.collect())?;
        Ok(Scaling { mean: Matrix::new(shape, mean)?, deviation })
    }
}
