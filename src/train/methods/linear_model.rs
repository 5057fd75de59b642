//! Linear models: rows of classes, and of classes that come later, from their embeddings.

use super::cholesky;
use crate::spec::{Decision, Stacking};
use crate::train::data::EmbeddingTable;
use crate::train::engine::Matrix;
use crate::train::error::{Error, Result};
use crate::train::model::{Head, HeadForm, Model};
use crate::train::task::Task;
use serde::{Deserialize, Serialize};
use std::format;
use std::vec::Vec;

/// What gamma is taken from (methods.md 1.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreSpace {
    /// Softmax probabilities over all classes, as SPNet has it.
    Probabilities,
    /// Logits.
    Logits,
}

/// The handicap of seen classes (calibrated stacking, methods.md 1.11).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calibration {
    /// What gamma is taken from. Default probabilities.
    pub space: ScoreSpace,
    /// How much is taken: 0 (nothing, the default) to 1 from probabilities, any finite number
    /// from logits. SPNet has 0.6 on VOC and 0.4 on COCO-Stuff.
    pub gamma: f32,
}

impl Default for Calibration {
    fn default() -> Calibration {
        Calibration { space: ScoreSpace::Probabilities, gamma: 0.0 }
    }
}

impl Calibration {
    /// The decision of a model.
    ///
    /// # Errors
    /// [`Error::Config`] for a gamma out of its range.
    pub fn decision(&self) -> Result<Decision> {
        let stacking = match (self.gamma, self.space) {
            (0.0, _) => Stacking::Off,
            (gamma, ScoreSpace::Probabilities) => Stacking::Probabilities(gamma),
            (gamma, ScoreSpace::Logits) => Stacking::Logits(gamma),
        };
        let decision = Decision { stacking, ..Decision::PLAIN };
        let fits = decision.check().is_ok();
        fits.then_some(decision).ok_or_else(|| {
            Error::config(format!("calibration.gamma is {}, out of its range", self.gamma))
        })
    }
}

/// The embeddings of some classes, `[classes, dim]`.
///
/// # Errors
/// [`Error::Config`] for a class without one, and for one of zeros if they are normalised.
pub(super) fn embeddings_of(
    table: &EmbeddingTable,
    classes: &[usize],
    normalise: bool,
) -> Result<Matrix<f32>> {
    let dim = table.dim();
    let mut values = Vec::with_capacity(classes.len() * dim);
    for &class in classes {
        let row = table.values().chunks(dim).nth(class);
        let row = row.ok_or_else(|| Error::config(format!("class {class} has no embedding")))?;
        let square: f64 = row.iter().map(|&value| f64::from(value).powi(2)).sum();
        if normalise && square == 0.0 {
            let name = table.names().get(class).map_or("", |name| name.as_str());
            return Err(Error::config(format!("the embedding of \"{name}\" is zero")));
        }
        let length = if normalise { libm::sqrt(square) } else { 1.0 };
        values.extend(row.iter().map(|&value| (f64::from(value) / length) as f32));
    }
    Ok(Matrix::new([classes.len(), dim], values)?)
}

/// Numbers of the seen and unseen classes, ascending.
pub(super) fn all_classes(task: &Task<'_>) -> Vec<usize> {
    let mut classes = task.seen();
    classes.extend(task.unseen());
    classes.sort_unstable();
    classes
}

/// Row of a class of this embedding: `[channels + 1, dim]` times it, the bias last.
pub(super) fn row_of(projection: &Matrix<f32>, embedding: &[f32]) -> Vec<f32> {
    let products = projection.rows().map(|row| {
        let pairs = row.iter().zip(embedding);
        pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32
    });
    products.collect()
}

/// A linear model of rows that end with their bias. Classes ascend.
pub(super) fn model_of_rows(
    task: &Task<'_>,
    rows: Vec<(usize, Vec<f32>)>,
    projection: Option<Matrix<f32>>,
    decision: Decision,
) -> Result<Model> {
    let channels = task.features.channels();
    let mut rows = rows;
    rows.sort_by_key(|(class, _)| *class);
    let mut weights = Vec::with_capacity(rows.len() * channels);
    let mut bias = Vec::with_capacity(rows.len());
    let seen = task.seen();
    for (_, row) in &rows {
        let (last, first) = row.split_last().unwrap_or((&0.0, &[]));
        weights.extend_from_slice(first);
        bias.push(*last);
    }
    let weights = Matrix::new([rows.len(), channels], weights)?;
    let bias = Matrix::new([1, rows.len()], bias)?;
    Ok(Model {
        seen: rows.iter().map(|(class, _)| seen.contains(class)).collect(),
        classes: rows.into_iter().map(|(class, _)| class).collect(),
        head: Head { form: HeadForm::Linear, weights, bias },
        decoder: None,
        alignment: None,
        decision,
        projection,
        generator: None,
        statistics: None,
    })
}

/// A model all of whose rows come from embeddings by a projection `[channels + 1, dim]`.
pub(super) fn model_of_projection(
    task: &Task<'_>,
    projection: Matrix<f32>,
    normalise: bool,
    decision: Decision,
) -> Result<Model> {
    let classes = all_classes(task);
    let embeddings = embeddings_of(task.embeddings, &classes, normalise)?;
    let rows = classes.iter().zip(embeddings.rows());
    let rows = rows.map(|(&class, embedding)| (class, row_of(&projection, embedding))).collect();
    model_of_rows(task, rows, Some(projection), decision)
}

/// A layer `[dim, channels]`, `[1, dim]` from features to embeddings as a projection from
/// embeddings to rows, `[channels + 1, dim]`: `<P x + b, a> = <P^T a, x> + <b, a>`.
pub(super) fn projection_of_layer(weight: &Matrix<f32>, bias: &Matrix<f32>) -> Result<Matrix<f32>> {
    let [dim, channels] = weight.shape();
    let mut projection = Matrix::zeros([channels + 1, dim])?;
    for (channel, row) in projection.rows_mut().take(channels).enumerate() {
        for (value, from) in row.iter_mut().zip(weight.rows()) {
            *value = from.get(channel).copied().unwrap_or(0.0);
        }
    }
    if let Some(row) = projection.row_mut(channels) {
        row.copy_from_slice(bias.values());
    }
    Ok(projection)
}

/// How rows of a classifier follow from embeddings, for classes without masks.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowRegression<'s> {
    /// Penalty of the regression.
    pub penalty: f32,
    /// Names of classes whose rows take no part.
    pub left_out: &'s [std::string::String],
    /// Whether embeddings are brought to length 1.
    pub normalise: bool,
}

impl RowRegression<'_> {
    /// A model with the rows of the seen classes as they are, and those of the unseen ones from
    /// their embeddings. `rows` is `[seen classes, channels + 1]`, the bias last.
    ///
    /// # Errors
    /// [`Error::Config`] if no seen class is left for the regression.
    pub fn model(&self, task: &Task<'_>, rows: &Matrix<f32>, decision: Decision) -> Result<Model> {
        let seen = task.seen();
        let (known, known_rows) = self.known(task, &seen, rows)?;
        let embeddings = embeddings_of(task.embeddings, &known, self.normalise)?;
        let projection = row_projection(&known_rows, &embeddings, self.penalty)?;
        let kept = seen.iter().zip(rows.rows()).map(|(&class, row)| (class, row.to_vec()));
        let mut all: Vec<(usize, Vec<f32>)> = kept.collect();
        let unseen = task.unseen();
        let embeddings = embeddings_of(task.embeddings, &unseen, self.normalise)?;
        for (&class, embedding) in unseen.iter().zip(embeddings.rows()) {
            all.push((class, row_of(&projection, embedding)));
        }
        model_of_rows(task, all, Some(projection), decision)
    }

    /// The classes that take part, and their rows, of `rows` of the classes `seen`.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none.
    pub fn known(
        &self,
        task: &Task<'_>,
        seen: &[usize],
        rows: &Matrix<f32>,
    ) -> Result<(Vec<usize>, Matrix<f32>)> {
        let mut known = Vec::new();
        let mut values = Vec::new();
        for (&class, row) in seen.iter().zip(rows.rows()) {
            let name = task.embeddings.names().get(class);
            if !name.is_some_and(|name| self.left_out.contains(name)) {
                known.push(class);
                values.extend_from_slice(row);
            }
        }
        if known.is_empty() {
            return Err(Error::config("left_out leaves no seen class for the regression"));
        }
        let rows = Matrix::new([known.len(), rows.shape()[1]], values)?;
        Ok((known, rows))
    }
}

/// The linear map `M` `[columns, dim]` with the least `sum |M a_c - r_c|^2 + penalty |M|^2` over
/// classes of rows `r_c` `[classes, columns]` and embeddings `a_c` `[classes, dim]`: ridge
/// regression without an intercept, `M = R^T (A A^T + penalty)^-1 A`. In f64.
///
/// # Errors
/// [`Error::Config`] for a penalty that is too small, and shapes that do not fit.
pub fn row_projection(
    rows: &Matrix<f32>,
    embeddings: &Matrix<f32>,
    penalty: f32,
) -> Result<Matrix<f32>> {
    let [classes, columns] = rows.shape();
    let dim = embeddings.shape()[1];
    if embeddings.shape()[0] != classes {
        return Err(Error::config("there must be one embedding per row"));
    }
    let mut gram = Matrix::zeros([classes, classes])?;
    for (place, (row, one)) in gram.rows_mut().zip(embeddings.rows()).enumerate() {
        for (index, (value, other)) in row.iter_mut().zip(embeddings.rows()).enumerate() {
            let pairs = one.iter().zip(other);
            *value = pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            *value += if place == index { f64::from(penalty) } else { 0.0 };
        }
    }
    let mut wanted = Matrix::zeros([columns, classes])?;
    for (column, row) in wanted.rows_mut().enumerate() {
        for (value, from) in row.iter_mut().zip(rows.rows()) {
            *value = from.get(column).copied().map_or(0.0, f64::from);
        }
    }
    let solved = cholesky::solve(&gram, &wanted)?;
    let mut projection = Matrix::zeros([columns, dim])?;
    for (row, factors) in projection.rows_mut().zip(solved.rows()) {
        for (place, value) in row.iter_mut().enumerate() {
            let terms = factors.iter().zip(embeddings.rows());
            let terms = terms.filter_map(|(f, a)| Some(f * f64::from(*a.get(place)?)));
            *value = terms.sum::<f64>() as f32;
        }
    }
    Ok(projection)
}
