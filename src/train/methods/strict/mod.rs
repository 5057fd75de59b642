//! STRICT (methods.md 3.2 to 3.8) on frozen features: self-training on pixels of unseen classes
//! about which all views of a picture agree.

mod pseudo;
mod round;
mod views;

pub use pseudo::{PseudoRules, agreed, completed, pseudo_labels};
pub use views::to_base;

use super::descent::Descent;
use super::softmax::{SoftmaxStage, folded_of};
use super::spnet::SpNetSettings;
use crate::train::engine::Engine;
use crate::train::error::{Error, Result};
use crate::train::model::Model;
use crate::train::pictures::View;
use crate::train::stage::{Method, Stage, State};
use crate::train::task::Task;
use round::Round;
use serde::{Deserialize, Serialize};
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Settings of [`Strict`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StrictSettings {
    /// The first teacher. Its calibration is not used.
    pub spnet: SpNetSettings,
    /// How the student of every round is stepped.
    pub descent: Descent,
    /// Rounds of self-training, 1 to 1,000. Default 2; the paper's gain ends at about 6.
    pub rounds: usize,
    /// Pictures of a step, 1 or more. Default 8.
    pub pictures_per_step: usize,
    /// How many views must agree: 1 (the picture as it is: plain self-training) or more, the
    /// first ones that there are features of; 0 for all of them. Default 0.
    pub views: usize,
    /// Whether views in other colours count. The paper has none. Default no.
    pub colour_views: bool,
    /// A pseudo-label needs at least this probability among the unseen classes in the picture as
    /// it is, 0 to 1. Default 0 (the paper).
    pub min_confidence: f32,
    /// No pseudo-label where the teacher gives a seen class more than this probability among all
    /// classes, 0 to 1. Default 1: never rejects (the paper).
    pub tau_seen: f32,
    /// Whether void pixels and padding get pseudo-labels, as in the published code
    /// (methods.md 3.7). Default no.
    pub void_as_unlabelled: bool,
    /// Probability that the student sees a mirrored picture, 0 to 1. It takes effect if there are
    /// features of the mirrored picture. Default 0.5; the published code has 0.9.
    pub flip_p: f32,
    /// How much rare classes weigh more than they do in the loss of a step: by their number of
    /// cells to the power of minus this, 0 to 1. Default 0.5; the paper 0.
    pub balance: f32,
}

impl Default for StrictSettings {
    fn default() -> StrictSettings {
        StrictSettings {
            spnet: SpNetSettings::default(),
            descent: Descent { steps: 600, ..Descent::default() },
            rounds: 2,
            pictures_per_step: 8,
            views: 0,
            colour_views: false,
            min_confidence: 0.0,
            tau_seen: 1.0,
            void_as_unlabelled: false,
            flip_p: 0.5,
            balance: 0.5,
        }
    }
}

impl StrictSettings {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        self.spnet.check()?;
        self.descent.check()?;
        let share = |value: f32| (0.0..=1.0).contains(&value);
        let checks = [
            ("rounds", (1..=1_000).contains(&self.rounds)),
            ("pictures_per_step", self.pictures_per_step > 0),
            ("min_confidence", share(self.min_confidence)),
            ("tau_seen", share(self.tau_seen)),
            ("flip_p", share(self.flip_p)),
            ("balance", share(self.balance)),
        ];
        match checks.iter().find(|(_, holds)| !holds) {
            Some((name, _)) => Err(Error::config(format!("{name} is out of its range"))),
            None => Ok(()),
        }
    }

    fn rules(&self) -> PseudoRules {
        PseudoRules { min_confidence: self.min_confidence, tau_seen: self.tau_seen }
    }

    /// Numbers of the views that must agree; the first is the picture as it is.
    fn agreeing(&self, views: &[View]) -> Result<Vec<usize>> {
        let fits = |view: &View| view.colour == 0.0 || self.colour_views;
        let fitting = views.iter().enumerate().filter(|(_, view)| fits(view));
        let mut chosen: Vec<usize> = fitting.map(|(place, _)| place).collect();
        if self.views > chosen.len() || (self.views == 0 && chosen.len() < 2) {
            let reason = format!(
                "views that must agree: there are features of {} only; make features of more \
                 views, or ask for plain self-training with `views = 1`",
                chosen.len()
            );
            return Err(Error::config(reason));
        }
        if self.views > 0 {
            chosen.truncate(self.views);
        }
        Ok(chosen)
    }
}

/// STRICT on frozen features. Stages: `spnet`, the first teacher; then `round1`, `round2` and so
/// on, each with the layer before it as teacher and as the student's start.
///
/// It is transductive: it reads the features of all pictures, and guesses at pixels whose class
/// is hidden. Per picture and round the teacher sees each view once; the pseudo-labels are kept,
/// four bytes per cell.
pub struct Strict<'a, E> {
    engine: &'a E,
    task: &'a Task<'a>,
    settings: StrictSettings,
    views: Vec<usize>,
}

impl<'a, E: Engine<f32>> Strict<'a, E> {
    /// The method.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of their range, without an unseen class, and if there
    /// are features of fewer views than must agree.
    pub fn new(
        engine: &'a E,
        task: &'a Task<'a>,
        settings: StrictSettings,
    ) -> Result<Strict<'a, E>> {
        settings.check()?;
        if task.unseen().is_empty() {
            return Err(Error::config("self-training needs an unseen class"));
        }
        let views = settings.agreeing(task.features.pictures().views())?;
        Ok(Strict { engine, task, settings, views })
    }
}

impl<E: Engine<f32>> Method for Strict<'_, E> {
    fn stages(&self) -> Vec<String> {
        let rounds = (1..=self.settings.rounds).map(|round| format!("round{round}"));
        ["spnet".to_string()].into_iter().chain(rounds).collect()
    }

    fn begin<'s>(&'s self, stage: usize, done: &[State]) -> Result<Box<dyn Stage + 's>> {
        let softmax = self.settings.spnet.softmax();
        if stage == 0 {
            return Ok(Box::new(SoftmaxStage::new(self.engine, self.task, softmax)?));
        }
        let before = stage.checked_sub(1).and_then(|before| done.get(before));
        let before = before.ok_or_else(|| Error::config("the stage before is not done"))?;
        let (task, settings) = (self.task, &self.settings);
        Ok(Box::new(Round::new(self.engine, task, settings, &self.views, stage, before)?))
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let missing = || Error::config("the last round is not done");
        let state = done.get(self.settings.rounds).ok_or_else(missing)?;
        let (weight, bias) = folded_of(state, self.settings.spnet.softmax().shape(self.task))?;
        let mut settings = self.settings.spnet.clone();
        settings.calibration = super::Calibration::default();
        settings.model(self.task, &weight, &bias)
    }
}
