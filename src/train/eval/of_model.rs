//! A trained model over stored features, measured in one call.

use super::evaluation::{Evaluation, Setup};
use super::model_predictor::ModelPredictor;
use super::predictor::Space;
use super::protocol::{Protocol, Resolution};
use super::subject::{Scored, Subject};
use crate::train::data::{ClassList, Roles};
use crate::train::engine::CpuEngine;
use crate::train::error::Result;
use crate::train::model::Model;
use crate::train::pictures::Pictures;
use std::string::ToString;
use std::vec::Vec;

/// How a model over stored features is measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// Name of the model in the report.
    pub name: &'a str,
    /// Rows and columns that taps are joined at, for models without a decoder.
    pub grid: [usize; 2],
    /// Classes of the data set.
    pub classes: &'a ClassList,
    /// Which of them count as seen and which as unseen.
    pub roles: &'a Roles,
    /// The protocol; its resolution is [`Resolution::Frame`].
    pub protocol: &'a Protocol,
    /// What the handicaps of the sweep are taken from.
    pub space: Space,
    /// Handicaps of the sweep.
    pub gammas: &'a [f32],
}

impl Measured<'_> {
    /// What is evaluated, and how.
    pub(super) fn setup(&self) -> Result<Setup> {
        let protocol = Protocol { resolution: Resolution::Frame, ..self.protocol.clone() };
        Ok(Setup {
            model: self.name.to_string(),
            subject: Subject::new(self.classes, self.roles, &protocol)?,
            protocol,
            space: self.space,
            gammas: self.gammas.to_vec(),
            notes: Vec::new(),
        })
    }
}

/// Measures a model on all of `pictures`, in the network's frame. Classes that are scored but that
/// the model lacks count as missed.
///
/// # Errors
/// Those of [`ModelPredictor::new`], [`Evaluation::new`] and of reading features.
pub fn measure_model(
    model: &Model,
    pictures: &dyn Pictures,
    measured: &Measured<'_>,
    engine: CpuEngine,
) -> Result<Evaluation> {
    let setup = measured.setup()?;
    let subject = setup.subject.clone();
    let mut evaluation = Evaluation::new(setup)?;
    let features = model.features(pictures, measured.grid, engine)?;
    let competes = |class| subject.scored(class) != Scored::No;
    let mut predictor =
        ModelPredictor::new(model, features.as_ref(), Resolution::Frame, competes, engine)?;
    for picture in 0..pictures.len() {
        evaluation.add(picture, pictures.name(picture), &mut predictor)?;
    }
    Ok(evaluation)
}
