//! SPNet (methods.md 3.1) on frozen features: a linear map from features to embeddings.

use super::descent::Descent;
use super::linear_model::{Calibration, model_of_projection, projection_of_layer};
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

/// What the logits are while the map is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpNetHead {
    /// The product of the mapped features with an embedding, neither scaled (SPNet).
    Dot,
    /// Their cosine, times `scale` (the DeViSE-style baseline of methods.md 2.9).
    Cosine,
}

/// Settings of [`SpNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpNetSettings {
    /// What the logits are while the map is trained. Default the product.
    pub head: SpNetHead,
    /// Cosine: what cosines are multiplied with, above 0. Default 10. (The hyper-parameters of
    /// the published baseline are not known.)
    pub scale: f32,
    /// How the map is stepped.
    pub descent: Descent,
    /// Cells of a step, 1 to 16,777,216. Default 1,024.
    pub batch: usize,
    /// Most cells of a class that are kept in memory, 1 or more. Default 20,000.
    pub cells_per_class: usize,
    /// How much rare classes are drawn more often than they are: a class is drawn as its number
    /// of cells to the power of 1 minus this, 0 to 1. Default 0.25; SPNet 0.
    pub balance: f64,
    /// Whether embeddings are brought to length 1 (methods.md 1.8). Default yes.
    pub normalise: bool,
    /// Handicap of the seen classes. Not for the cosine, whose scale the exported rows lose.
    pub calibration: Calibration,
}

impl Default for SpNetSettings {
    fn default() -> SpNetSettings {
        SpNetSettings {
            head: SpNetHead::Dot,
            scale: 10.0,
            descent: Descent::default(),
            batch: 1_024,
            cells_per_class: 20_000,
            balance: 0.25,
            normalise: true,
            calibration: Calibration::default(),
        }
    }
}

impl SpNetSettings {
    pub(super) fn softmax(&self) -> Softmax {
        let outputs = match self.head {
            SpNetHead::Dot => Outputs::Dot { normalise: self.normalise },
            SpNetHead::Cosine => Outputs::Cosine { scale: self.scale },
        };
        Softmax {
            outputs,
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
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(Error::config("scale must be above 0"));
        }
        if self.head == SpNetHead::Cosine && self.calibration.gamma != 0.0 {
            return Err(Error::config("the cosine head goes without calibration.gamma"));
        }
        if self.head == SpNetHead::Cosine && !self.normalise {
            return Err(Error::config("the cosine head needs normalise"));
        }
        self.calibration.decision().map(|_| ())
    }

    /// The model of a map `[dim, channels]`, `[1, dim]` from features as they are.
    pub(super) fn model(
        &self,
        task: &Task<'_>,
        weight: &Matrix<f32>,
        bias: &Matrix<f32>,
    ) -> Result<Model> {
        let projection = projection_of_layer(weight, bias)?;
        model_of_projection(task, projection, self.normalise, self.calibration.decision()?)
    }
}

/// SPNet on frozen features. One stage, `projection`.
///
/// The map is linear, so it goes into the rows of the classifier: `<P x, a> = <P^T a, x>`. For
/// the cosine that changes no winner, since the length of `P x` is the same for all classes, but
/// the probabilities.
pub struct SpNet<'a, E> {
    engine: &'a E,
    task: &'a Task<'a>,
    settings: SpNetSettings,
}

impl<'a, E: Engine<f32>> SpNet<'a, E> {
    /// The method.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of their range.
    pub fn new(engine: &'a E, task: &'a Task<'a>, settings: SpNetSettings) -> Result<SpNet<'a, E>> {
        settings.check()?;
        Ok(SpNet { engine, task, settings })
    }
}

impl<E: Engine<f32>> Method for SpNet<'_, E> {
    fn stages(&self) -> Vec<String> {
        vec!["projection".to_string()]
    }

    fn begin<'s>(&'s self, _stage: usize, _done: &[State]) -> Result<Box<dyn Stage + 's>> {
        Ok(Box::new(SoftmaxStage::new(self.engine, self.task, self.settings.softmax())?))
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let missing = || Error::config("the stage \"projection\" is not done");
        let state = done.last().ok_or_else(missing)?;
        let (weight, bias) = folded_of(state, self.settings.softmax().shape(self.task))?;
        self.settings.model(self.task, &weight, &bias)
    }
}
