//! Ridge regression in closed form: the baseline that always runs.

use super::cholesky;
use super::discriminant::Discriminant;
use super::linear_model::{
    Calibration, RowRegression, embeddings_of, model_of_projection, projection_of_layer,
};
use crate::train::engine::{Engine, Matrix, Product};
use crate::train::error::{Error, Result};
use crate::train::model::Model;
use crate::train::stage::{Method, Report, Stage, State};
use crate::train::task::{IGNORED, Task, targets};
use serde::{Deserialize, Serialize};
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// What is regressed on the features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RidgeForm {
    /// The embedding of a cell's class: SPNet's projection (methods.md 3.1) in closed form. All
    /// rows of the classifier, those of seen classes too, follow from embeddings.
    Embeddings,
    /// One number per seen class, 1 for the cell's class and 0 for all others. Rows of unseen
    /// classes follow from the rows of the seen ones by a second regression on embeddings.
    Rows,
    /// Gaussians with a mean per class and one covariance (linear discriminants): the mean of an
    /// unseen class follows from the means of the seen ones by that second regression.
    Prototypes,
}

/// Settings of [`Ridge`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RidgeSettings {
    /// What is regressed. Default the embedding.
    pub form: RidgeForm,
    /// Penalty on the squared weights, for features of deviation 1 and weights of cells with sum
    /// 1; above 0. Biases are not penalised. Form `prototypes`: what is added to the variances, as
    /// a share of their mean. Default 0.1.
    pub lambda: f64,
    /// A class weighs in all as its number of cells to the power of 1 minus this: 0 (every cell
    /// weighs the same) to 1 (every class does). Default 1.
    pub balance: f64,
    /// Whether embeddings are brought to length 1 (methods.md 1.8). Default yes.
    pub normalise: bool,
    /// Forms `rows` and `prototypes`: penalty of the regression from embeddings to rows or means,
    /// above 0. Default 0.1.
    pub row_lambda: f32,
    /// Forms `rows` and `prototypes`: names of classes whose rows take no part in that regression,
    /// since their word does not say what they look like. Default `background`.
    pub left_out: Vec<String>,
    /// Handicap of the seen classes.
    pub calibration: Calibration,
}

impl Default for RidgeSettings {
    fn default() -> RidgeSettings {
        RidgeSettings {
            form: RidgeForm::Embeddings,
            lambda: 0.1,
            balance: 1.0,
            normalise: true,
            row_lambda: 0.1,
            left_out: vec!["background".to_string()],
            calibration: Calibration::default(),
        }
    }
}

impl RidgeSettings {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        if !(self.lambda.is_finite() && self.lambda > 0.0) {
            return Err(Error::config("lambda must be above 0"));
        }
        if !(0.0..=1.0).contains(&self.balance) {
            return Err(Error::config("balance must be from 0 to 1"));
        }
        if !(self.row_lambda.is_finite() && self.row_lambda > 0.0) {
            return Err(Error::config("row_lambda must be above 0"));
        }
        self.calibration.decision().map(|_| ())
    }
}

/// Ridge regression. One stage, `ridge`, with a step per picture that adds its cells to the
/// normal equations: `channels^2` operations per labelled cell, and `channels^2` numbers of f64.
/// The equations are solved in [`Method::finish`], in `channels^3 / 3` operations.
pub struct Ridge<'a, E> {
    engine: &'a E,
    task: &'a Task<'a>,
    settings: RidgeSettings,
}

impl<'a, E: Engine<f64>> Ridge<'a, E> {
    /// The method. The normal equations are added up in f64.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of their range.
    pub fn new(engine: &'a E, task: &'a Task<'a>, settings: RidgeSettings) -> Result<Ridge<'a, E>> {
        settings.check()?;
        Ok(Ridge { engine, task, settings })
    }

    fn size(&self) -> usize {
        self.task.features.channels() + 1
    }

    /// Weight of a cell of each class of the data set, 0 for classes that are not seen.
    fn cell_weights(&self) -> Result<Vec<f64>> {
        let mut counts = vec![0u64; self.task.class_count()];
        for &picture in self.task.inductive() {
            let found = self.task.labels(picture)?.histogram();
            counts.iter_mut().zip(found.classes).for_each(|(count, more)| *count += more);
        }
        let names = self.task.embeddings.names();
        let is_empty = |class: &usize| counts.get(*class) == Some(&0);
        let empty: Vec<&str> = self
            .task
            .seen()
            .into_iter()
            .filter(is_empty)
            .filter_map(|class| names.get(class))
            .map(String::as_str)
            .collect();
        if !empty.is_empty() {
            let reason = "no cell of the training pictures shows ".to_string();
            return Err(Error::config(reason + &empty.join(", ")));
        }
        let weight = |count: u64| match count {
            0 => 0.0,
            count => libm::pow(count as f64, -self.settings.balance),
        };
        Ok(counts.into_iter().map(weight).collect())
    }
}

impl<E: Engine<f64>> Method for Ridge<'_, E> {
    fn stages(&self) -> Vec<String> {
        vec!["ridge".to_string()]
    }

    fn begin<'s>(&'s self, _stage: usize, _done: &[State]) -> Result<Box<dyn Stage + 's>> {
        let size = self.size();
        let weights = self.cell_weights()?;
        let gram = Matrix::zeros([size, size])?;
        let sums = Matrix::zeros([self.task.class_count(), size])?;
        Ok(Box::new(RidgeStage { ridge: self, weights, gram, sums }))
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let state = done.last().ok_or_else(|| Error::config("the stage \"ridge\" is not done"))?;
        let size = self.size();
        let gram = unpacked(state, "gram", [size, size])?;
        let sums = unpacked(state, "sums", [self.task.class_count(), size])?;
        let equations = Equations::new(&gram)?;
        let seen = self.task.seen();
        let decision = self.settings.calibration.decision()?;
        let normalise = self.settings.normalise;
        let mut sums_of_seen = Vec::with_capacity(seen.len() * size);
        for &class in &seen {
            sums_of_seen.extend_from_slice(sums.row(class).unwrap_or_default());
        }
        let sums = Matrix::new([seen.len(), size], sums_of_seen)?;
        let regression = RowRegression {
            penalty: self.settings.row_lambda,
            left_out: &self.settings.left_out,
            normalise,
        };
        match self.settings.form {
            RidgeForm::Embeddings => {}
            RidgeForm::Rows => {
                let rows = equations.solve(&sums, self.settings.lambda)?;
                return regression.model(self.task, &joined(&rows)?, decision);
            }
            RidgeForm::Prototypes => {
                let classes = Discriminant::new(&equations, &sums, self.settings.lambda)?;
                return classes.model(self.task, &regression, decision);
            }
        }
        let embeddings = embeddings_of(self.task.embeddings, &seen, normalise)?;
        let (weight, bias) =
            equations.solve(&weighed(&embeddings, &sums)?, self.settings.lambda)?;
        let projection = projection_of_layer(&weight, &bias)?;
        model_of_projection(self.task, projection, normalise, decision)
    }
}

/// Sums of `x^T x` and, per class, of `x`, where `x` is a cell's features and a 1.
struct RidgeStage<'s, 'a, E> {
    ridge: &'s Ridge<'a, E>,
    weights: Vec<f64>,
    gram: Matrix<f64>,
    sums: Matrix<f64>,
}

impl<E: Engine<f64>> Stage for RidgeStage<'_, '_, E> {
    fn steps(&self) -> u64 {
        self.ridge.task.inductive().len() as u64
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let task = self.ridge.task;
        let picture = usize::try_from(step).ok().and_then(|step| task.inductive().get(step));
        let picture = *picture.ok_or_else(|| Error::config("there is no such step"))?;
        let labels = targets(&task.labels(picture)?);
        let features = task.features.rows(picture, 0)?;
        let (mut rows, mut weighed) = (Vec::new(), Vec::new());
        let mut cells = 0usize;
        for (&label, row) in labels.iter().zip(features.rows()) {
            if label == IGNORED {
                continue;
            }
            cells += 1;
            let class = label as usize;
            let weight = self.weights.get(class).copied().unwrap_or(0.0);
            let x = row.iter().map(|&value| f64::from(value)).chain([1.0]);
            let start = rows.len();
            rows.extend(x);
            let x = rows.get(start..).unwrap_or_default();
            weighed.extend(x.iter().map(|value| weight * value));
            let sum = self.sums.row_mut(class).unwrap_or_default();
            sum.iter_mut().zip(x).for_each(|(sum, value)| *sum += weight * value);
        }
        let engine = self.ridge.engine;
        let shape = [cells, self.ridge.size()];
        let (rows, weighed) = (engine.upload(shape, &rows)?, engine.upload(shape, &weighed)?);
        let product = engine.download(&engine.product(Product::Tn, &weighed, &rows, None)?)?;
        self.gram.values_mut().iter_mut().zip(product).for_each(|(sum, value)| *sum += value);
        Ok(vec![("cells", cells as f64)])
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (name, matrix) in [("gram", &self.gram), ("sums", &self.sums)] {
            let bits = matrix.values().iter().map(|value| value.to_bits()).collect();
            state.put_numbers(name, bits);
        }
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let gram = unpacked(state, "gram", self.gram.shape())?;
        self.sums = unpacked(state, "sums", self.sums.shape())?;
        self.gram = gram;
        Ok(())
    }
}

fn unpacked(state: &State, name: &str, shape: [usize; 2]) -> Result<Matrix<f64>> {
    let bits = state.get_numbers(name)?;
    Ok(Matrix::new(shape, bits.iter().map(|&bits| f64::from_bits(bits)).collect())?)
}

/// For each number of an embedding the sum over the classes of it times the class's sum.
fn weighed(embeddings: &Matrix<f32>, sums: &Matrix<f64>) -> Result<Matrix<f64>> {
    let mut result = Matrix::zeros([embeddings.shape()[1], sums.shape()[1]])?;
    for (embedding, sum) in embeddings.rows().zip(sums.rows()) {
        for (row, &factor) in result.rows_mut().zip(embedding) {
            let pairs = row.iter_mut().zip(sum);
            pairs.for_each(|(value, sum)| *value += f64::from(factor) * sum);
        }
    }
    Ok(result)
}

/// Rows that end with their bias.
fn joined((weight, bias): &(Matrix<f32>, Matrix<f32>)) -> Result<Matrix<f32>> {
    let [rows, channels] = weight.shape();
    let mut values = Vec::with_capacity(rows * (channels + 1));
    for (row, bias) in weight.rows().zip(bias.values()) {
        values.extend_from_slice(row);
        values.push(*bias);
    }
    Ok(Matrix::new([rows, channels + 1], values)?)
}

/// Normal equations of standardised features.
pub(super) struct Equations {
    /// `[channels, channels]`, 1 on the diagonal except for constant channels, where it is 0.
    pub correlation: Matrix<f64>,
    /// Of each channel.
    pub mean: Vec<f64>,
    /// Of each channel; 0 for constant ones.
    pub deviation: Vec<f64>,
    /// Sum of all weights.
    pub total: f64,
}

/// A variance below this share of the mean square is rounding: the channel is constant.
const LEAST_VARIANCE: f64 = 1.0e-12;

impl Equations {
    fn new(gram: &Matrix<f64>) -> Result<Equations> {
        let channels = gram.shape()[0] - 1;
        let last = gram.row(channels).unwrap_or_default();
        let total = last.last().copied().unwrap_or(0.0);
        if !(total > 0.0 && total.is_finite()) {
            return Err(Error::config("there is no cell to learn from, or features not finite"));
        }
        let mean: Vec<f64> = last.iter().take(channels).map(|sum| sum / total).collect();
        let mut deviation = Vec::with_capacity(channels);
        for (place, (row, mean)) in gram.rows().zip(&mean).enumerate() {
            let square = row.get(place).copied().unwrap_or(0.0) / total;
            let variance = square - mean * mean;
            let is_constant = variance <= LEAST_VARIANCE * square;
            deviation.push(if is_constant { 0.0 } else { libm::sqrt(variance) });
        }
        let mut correlation = Matrix::zeros([channels, channels])?;
        let of_rows = correlation.rows_mut().zip(gram.rows()).zip(mean.iter().zip(&deviation));
        for ((row, sums), (mean_of_row, deviation_of_row)) in of_rows {
            let of_columns = sums.iter().zip(mean.iter().zip(&deviation));
            for (value, (sum, (mean, deviation))) in row.iter_mut().zip(of_columns) {
                let product = deviation * deviation_of_row;
                let covariance = sum / total - mean * mean_of_row;
                *value = if product > 0.0 { covariance / product } else { 0.0 };
            }
        }
        Ok(Equations { correlation, mean, deviation, total })
    }

    /// The standardised mean of features of which these are the sums, by a sum of weights.
    pub fn standardised(&self, sums: &[f64], weight: f64) -> Vec<f64> {
        let scales = self.mean.iter().zip(&self.deviation);
        let value = |(sum, (mean, deviation)): (&f64, (&f64, &f64))| {
            if *deviation > 0.0 { (sum / weight - mean) / deviation } else { 0.0 }
        };
        sums.iter().zip(scales).map(value).collect()
    }

    /// Weights `[outputs, channels]` and biases `[1, outputs]` for the features as they are, from
    /// the sums of target times `x` `[outputs, channels + 1]`.
    fn solve(&self, sums: &Matrix<f64>, lambda: f64) -> Result<(Matrix<f32>, Matrix<f32>)> {
        let channels = self.mean.len();
        let mut matrix = self.correlation.clone();
        for (place, row) in matrix.rows_mut().enumerate() {
            row.iter_mut().skip(place).take(1).for_each(|value| *value += lambda);
        }
        let mut wanted = Matrix::zeros([sums.shape()[0], channels])?;
        for (row, sums) in wanted.rows_mut().zip(sums.rows()) {
            let mean_target = sums.get(channels).copied().unwrap_or(0.0) / self.total;
            let scales = self.mean.iter().zip(&self.deviation);
            for ((value, sum), (mean, deviation)) in row.iter_mut().zip(sums).zip(scales) {
                let covariance = sum / self.total - mean * mean_target;
                *value = if *deviation > 0.0 { covariance / deviation } else { 0.0 };
            }
        }
        let mut solved = cholesky::solve(&matrix, &wanted)?;
        let mut biases = Vec::with_capacity(sums.shape()[0]);
        for (row, sums) in solved.rows_mut().zip(sums.rows()) {
            let mut bias = sums.get(channels).copied().unwrap_or(0.0) / self.total;
            for (value, (mean, deviation)) in
                row.iter_mut().zip(self.mean.iter().zip(&self.deviation))
            {
                *value = if *deviation > 0.0 { *value / deviation } else { 0.0 };
                bias -= *value * mean;
            }
            biases.push(bias as f32);
        }
        let weights = solved.values().iter().map(|&value| value as f32).collect();
        let weights = Matrix::new(solved.shape(), weights)?;
        Ok((weights, Matrix::new([1, biases.len()], biases)?))
    }
}
