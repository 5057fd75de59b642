//! Softmax regression on the seen classes: the reference for what masks alone give.

use super::descent::Descent;
use super::linear_model::{Calibration, RowRegression, model_of_rows};
use super::softmax::{Outputs, Softmax, SoftmaxStage, folded_of};
use crate::train::engine::{Engine, Matrix};
use crate::train::error::{Error, Result};
use crate::train::model::Model;
use crate::train::stage::{Method, Stage, State};
use crate::train::task::Task;
use serde::{Deserialize, Serialize};
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Settings of [`Supervised`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SupervisedSettings {
    /// How the layer is stepped.
    pub descent: Descent,
    /// Cells of a step, 1 to 16,777,216. Default 1,024.
    pub batch: usize,
    /// Most cells of a class that are kept in memory, 1 or more. Default 50,000,
    /// which is 1.2 GB for 13 classes of 472 channels.
    pub cells_per_class: usize,
    /// How much rare classes are drawn more often than they are: a class is drawn as its number
    /// of cells to the power of 1 minus this, 0 to 1. Default 0.25.
    pub balance: f64,
    /// Whether unseen classes get rows, by ridge regression from the embeddings of the seen ones
    /// to their rows. Without, the model has the seen classes only. Default no.
    pub project_rows: bool,
    /// Penalty of that regression, above 0. Default 0.1.
    pub row_lambda: f32,
    /// Names of classes whose rows take no part in it. Default `background`.
    pub left_out: Vec<String>,
    /// Whether embeddings are brought to length 1 (methods.md 1.8). Default yes.
    pub normalise: bool,
    /// Handicap of the seen classes.
    pub calibration: Calibration,
}

impl Default for SupervisedSettings {
    fn default() -> SupervisedSettings {
        SupervisedSettings {
            descent: Descent { steps: 4_000, weight_decay: 0.01, ..Descent::default() },
            batch: 1_024,
            cells_per_class: 50_000,
            balance: 0.25,
            project_rows: false,
            row_lambda: 0.1,
            left_out: vec!["background".to_string()],
            normalise: true,
            calibration: Calibration::default(),
        }
    }
}

impl SupervisedSettings {
    pub(super) fn softmax(&self) -> Softmax {
        Softmax {
            outputs: Outputs::Classes,
            descent: self.descent,
            batch: self.batch,
            cells_per_class: self.cells_per_class,
            balance: self.balance,
        }
    }

    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        self.softmax().check()?;
        if !(self.row_lambda.is_finite() && self.row_lambda > 0.0) {
            return Err(Error::config("row_lambda must be above 0"));
        }
        self.calibration.decision().map(|_| ())
    }

    /// The model of rows `[seen classes, channels]` and biases `[1, seen classes]`.
    pub(super) fn model(
        &self,
        task: &Task<'_>,
        weight: &Matrix<f32>,
        bias: &Matrix<f32>,
    ) -> Result<Model> {
        let [classes, channels] = weight.shape();
        let mut rows = Vec::with_capacity(classes);
        for (row, &bias) in weight.rows().zip(bias.values()) {
            let mut row = row.to_vec();
            row.push(bias);
            rows.push(row);
        }
        let decision = self.calibration.decision()?;
        if !self.project_rows {
            let rows = task.seen().into_iter().zip(rows).collect();
            return model_of_rows(task, rows, None, decision);
        }
        let regression = RowRegression {
            penalty: self.row_lambda,
            left_out: &self.left_out,
            normalise: self.normalise,
        };
        let rows = Matrix::new([classes, channels + 1], rows.concat())?;
        regression.model(task, &rows, decision)
    }
}

/// Softmax regression on cells of the seen classes. One stage, `classifier`.
///
/// With the unseen classes left out it is the reference for the seen ones; with all classes seen
/// it is the ceiling of heads on these features.
pub struct Supervised<'a, E> {
    engine: &'a E,
    task: &'a Task<'a>,
    settings: SupervisedSettings,
}

impl<'a, E: Engine<f32>> Supervised<'a, E> {
    /// The method.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of their range.
    pub fn new(
        engine: &'a E,
        task: &'a Task<'a>,
        settings: SupervisedSettings,
    ) -> Result<Supervised<'a, E>> {
        settings.check()?;
        Ok(Supervised { engine, task, settings })
    }
}

impl<E: Engine<f32>> Method for Supervised<'_, E> {
    fn stages(&self) -> Vec<String> {
        vec!["classifier".to_string()]
    }

    fn begin<'s>(&'s self, _stage: usize, _done: &[State]) -> Result<Box<dyn Stage + 's>> {
        Ok(Box::new(SoftmaxStage::new(self.engine, self.task, self.settings.softmax())?))
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let missing = || Error::config("the stage \"classifier\" is not done");
        let state = done.last().ok_or_else(missing)?;
        let (weight, bias) = folded_of(state, self.settings.softmax().shape(self.task))?;
        self.settings.model(self.task, &weight, &bias)
    }
}
