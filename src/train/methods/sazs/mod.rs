//! SAZS: pixels aligned with the names of classes, shaped by a boundary task (CVPR 2023;
//! methods.md 6).
//!
//! A linear layer brings frozen features into the space of text vectors, where a class's logit is
//! the cosine with its vector. A second head tells edges from the aligned features, and three
//! losses of edges shape the first layer through it. The fusion with eigensegments happens where
//! masks are made ([`crate::spectral`]); the boundary head is not part of the model.

mod edges;
mod loss;
mod settings;
mod shape;
mod stage;

pub use edges::{attention_weights, edge_targets};
pub use loss::{Example, LossSettings, Losses, Parameters, Shapes, losses};
pub use settings::{EdgeInput, EdgeRule, Episode, SazsSettings, ShapeMode};
pub use shape::{EdgeMaps, InverseForm, inverse_form_distance, moment_loss};

use super::Scaling;
use crate::spec::Decision;
use crate::train::data::Role;
use crate::train::engine::{Engine, Matrix, Product};
use crate::train::error::{Error, Result};
use crate::train::model::{Head, HeadForm, Model};
use crate::train::stage::{Method, Stage, State};
use crate::train::task::Task;
use stage::{ALIGNMENT, Training};
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// SAZS on a task whose embeddings are text vectors.
pub struct Sazs<'a, E> {
    engine: &'a E,
    task: &'a Task<'a>,
    settings: SazsSettings,
}

impl<'a, E: Engine<f32>> Sazs<'a, E> {
    /// The method.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range, a class of length 0 where logits are cosines,
    /// and an unknown name for "others".
    pub fn new(engine: &'a E, task: &'a Task<'a>, settings: SazsSettings) -> Result<Sazs<'a, E>> {
        settings.check()?;
        let sazs = Sazs { engine, task, settings };
        sazs.rows(&sazs.classes())?;
        sazs.others()?;
        Ok(sazs)
    }

    /// Numbers of the seen and unseen classes, ascending.
    fn classes(&self) -> Vec<usize> {
        let mut classes = self.task.seen();
        classes.extend(self.task.unseen());
        classes.sort_unstable();
        classes
    }

    /// Number of the class that stands for "others", if pairs need one.
    fn others(&self) -> Result<Option<usize>> {
        if self.settings.episode != Episode::Pairs {
            return Ok(None);
        }
        let name = self.settings.others.as_deref().unwrap_or_default();
        let place = self.task.embeddings.names().iter().position(|other| other == name);
        let place = place.ok_or_else(|| {
            Error::config(format!("SAZS: no class is called \"{name}\", for others"))
        })?;
        self.rows(&[place])?;
        Ok(Some(place))
    }

    /// What logits are products with: embeddings of classes times the scale, for cosines of
    /// length 1 before.
    fn rows(&self, classes: &[usize]) -> Result<Matrix<f32>> {
        let table = self.task.embeddings;
        let mut values = Vec::with_capacity(classes.len() * table.dim());
        for &class in classes {
            let name = table.names().get(class).map_or("", String::as_str);
            let row = table.get(name).unwrap_or_default();
            let length = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
            if self.settings.normalize && length == 0.0 {
                let reason = format!("SAZS: the embedding of \"{name}\" has length 0");
                return Err(Error::config(reason));
            }
            let divisor = if self.settings.normalize { libm::sqrt(length) } else { 1.0 };
            let factor = f64::from(self.settings.scale) / divisor;
            values.extend(row.iter().map(|x| (f64::from(*x) * factor) as f32));
        }
        Ok(Matrix::new([classes.len(), table.dim()], values)?)
    }

    /// Cosines need the alignment; products with it are a linear head over the features.
    fn head(&self, weight: Matrix<f32>, bias: Matrix<f32>) -> Result<Trained> {
        let classes = self.classes();
        let rows = self.rows(&classes)?;
        let count = classes.len();
        if self.settings.normalize {
            let scale = self.settings.scale;
            let unit = rows.values().iter().map(|value| value / scale).collect();
            let weights = Matrix::new(rows.shape(), unit)?;
            let bias_of_head = Matrix::zeros([1, count])?;
            let head = Head { form: HeadForm::Cosine { scale }, weights, bias: bias_of_head };
            return Ok(Trained { head, alignment: Some([weight, bias]), projection: None });
        }
        let upload = |matrix: &Matrix<f32>| self.engine.upload(matrix.shape(), matrix.values());
        let (rows, columns) = (upload(&rows)?, [upload(&weight)?, upload(&bias)?]);
        let weights = self.engine.product(Product::Nn, &rows, &columns[0], None)?;
        let biases = self.engine.product(Product::Nt, &columns[1], &rows, None)?;
        let weights = Matrix::new([count, weight.shape()[1]], self.engine.download(&weights)?)?;
        let biases = Matrix::new([1, count], self.engine.download(&biases)?)?;
        let head = Head { form: HeadForm::Linear, weights, bias: biases };
        let projection = self.projection(&weight, &bias)?;
        Ok(Trained { head, alignment: None, projection: Some(projection) })
    }

    /// `[channels + 1, dim]`: from embeddings to rows of the linear head.
    fn projection(&self, weight: &Matrix<f32>, bias: &Matrix<f32>) -> Result<Matrix<f32>> {
        let [dim, channels] = weight.shape();
        let mut values = vec![0.0; (channels + 1) * dim];
        let outputs = weight.rows().zip(bias.values()).enumerate();
        for (output, (row, bias)) in outputs {
            let column = values.iter_mut().skip(output).step_by(dim);
            for (place, value) in column.zip(row.iter().chain([bias])) {
                *place = value * self.settings.scale;
            }
        }
        Ok(Matrix::new([channels + 1, dim], values)?)
    }
}

/// The parts of a model that training changes.
struct Trained {
    head: Head,
    alignment: Option<[Matrix<f32>; 2]>,
    projection: Option<Matrix<f32>>,
}

impl<E: Engine<f32>> Method for Sazs<'_, E> {
    fn stages(&self) -> Vec<String> {
        vec![ALIGNMENT.to_string()]
    }

    fn begin<'s>(&'s self, stage: usize, _: &[State]) -> Result<Box<dyn Stage + 's>> {
        if stage != 0 {
            return Err(Error::config(format!("SAZS has no stage {stage}")));
        }
        Ok(Box::new(Training::new(self)?))
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let [state] = done else {
            return Err(Error::config(format!("{} states for SAZS's one stage", done.len())));
        };
        let (dim, channels) = (self.task.embeddings.dim(), self.task.features.channels());
        let scaling = Scaling {
            mean: state.get_shaped("scaling.mean", [1, channels])?.clone(),
            deviation: state.get_shaped("scaling.deviation", [1, channels])?.clone(),
        };
        let weight = state.get_shaped(&format!("{ALIGNMENT}.weight"), [dim, channels])?;
        let bias = state.get_shaped(&format!("{ALIGNMENT}.bias"), [1, dim])?;
        let (weight, bias) = scaling.folded(weight, bias)?;
        let Trained { head, alignment, projection } = self.head(weight, bias)?;
        let classes = self.classes();
        let roles = self.task.roles.as_slice();
        let seen = classes.iter().map(|&class| roles.get(class) == Some(&Role::Seen)).collect();
        Ok(Model {
            classes,
            seen,
            head,
            decoder: None,
            alignment,
            decision: Decision::PLAIN,
            projection,
            generator: None,
            statistics: None,
        })
    }
}
