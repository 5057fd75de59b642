//! Linear discriminants: every class is a Gaussian about its mean, all with one covariance. The
//! mean of a class without masks follows from its embedding.

use super::cholesky;
use super::linear_model::{RowRegression, embeddings_of, model_of_rows, row_of, row_projection};
use super::ridge::Equations;
use crate::spec::Decision;
use crate::train::engine::Matrix;
use crate::train::error::Result;
use crate::train::model::Model;
use crate::train::task::Task;
use std::vec::Vec;

/// Classes as Gaussians over standardised features.
pub(super) struct Discriminant<'e> {
    equations: &'e Equations,
    /// Mean of each seen class, `[seen classes, channels]`.
    means: Matrix<f32>,
    /// Covariance within the classes and the penalty.
    covariance: Matrix<f64>,
}

impl<'e> Discriminant<'e> {
    /// `sums` has the weighted sums of `x` of each seen class, `[seen classes, channels + 1]`, the
    /// weights last. `lambda` is a share of the mean variance within the classes, which is added
    /// to all variances.
    pub fn new(equations: &'e Equations, sums: &Matrix<f64>, lambda: f64) -> Result<Self> {
        let channels = equations.mean.len();
        let mut covariance = equations.correlation.clone();
        let mut means = Vec::with_capacity(sums.shape()[0] * channels);
        for row in sums.rows() {
            let weight = row.get(channels).copied().unwrap_or(0.0);
            let mean = equations.standardised(row, weight);
            for (values, one) in covariance.rows_mut().zip(&mean) {
                let share = one * weight / equations.total;
                values.iter_mut().zip(&mean).for_each(|(value, other)| *value -= share * other);
            }
            means.extend(mean.into_iter().map(|value| value as f32));
        }
        let diagonal = covariance.rows().enumerate();
        let trace: f64 = diagonal.filter_map(|(place, row)| row.get(place)).sum();
        let penalty = lambda * trace / channels.max(1) as f64;
        for (place, row) in covariance.rows_mut().enumerate() {
            row.iter_mut().skip(place).take(1).for_each(|value| *value += penalty);
        }
        let means = Matrix::new([sums.shape()[0], channels], means)?;
        Ok(Discriminant { equations, means, covariance })
    }

    /// Rows of means, for the features as they are: `[means, channels + 1]`, the bias last.
    fn rows(&self, means: &Matrix<f32>) -> Result<Matrix<f32>> {
        let wide = means.values().iter().map(|&value| f64::from(value)).collect();
        let wide = Matrix::new(means.shape(), wide)?;
        let solved = cholesky::solve(&self.covariance, &wide)?;
        let Equations { mean, deviation, .. } = self.equations;
        let mut rows = Vec::with_capacity(means.shape()[0] * (mean.len() + 1));
        for (weights, centre) in solved.rows().zip(wide.rows()) {
            let square: f64 = weights.iter().zip(centre).map(|(a, b)| a * b).sum();
            let mut bias = -0.5 * square;
            for ((weight, mean), deviation) in weights.iter().zip(mean).zip(deviation) {
                let weight = if *deviation > 0.0 { weight / deviation } else { 0.0 };
                bias -= weight * mean;
                rows.push(weight as f32);
            }
            rows.push(bias as f32);
        }
        Ok(Matrix::new([means.shape()[0], mean.len() + 1], rows)?)
    }

    /// The model: rows of the seen classes from their means, those of the unseen ones from means
    /// that follow from embeddings.
    pub fn model(
        &self,
        task: &Task<'_>,
        regression: &RowRegression<'_>,
        decision: Decision,
    ) -> Result<Model> {
        let (seen, unseen) = (task.seen(), task.unseen());
        let rows = self.rows(&self.means)?;
        let (known, means) = regression.known(task, &seen, &self.means)?;
        let embeddings = embeddings_of(task.embeddings, &known, regression.normalise)?;
        let to_means = row_projection(&means, &embeddings, regression.penalty)?;
        let (_, known_rows) = regression.known(task, &seen, &rows)?;
        let projection = row_projection(&known_rows, &embeddings, regression.penalty)?;
        let named = embeddings_of(task.embeddings, &unseen, regression.normalise)?;
        let guessed: Vec<f32> =
            named.rows().flat_map(|embedding| row_of(&to_means, embedding)).collect();
        let new = match unseen.is_empty() {
            true => Vec::new(),
            false => {
                let guessed = Matrix::new([unseen.len(), self.means.shape()[1]], guessed)?;
                self.rows(&guessed)?.rows().map(<[f32]>::to_vec).collect()
            }
        };
        let all = seen.into_iter().zip(rows.rows().map(<[f32]>::to_vec));
        let all: Vec<(usize, Vec<f32>)> = all.chain(unseen.into_iter().zip(new)).collect();
        model_of_rows(task, all, Some(projection), decision)
    }
}
