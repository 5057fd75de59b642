//! ZS5Net: ZS3Net, then self-training on pictures that show unseen classes (methods.md 2.8).

use super::pseudo::{Candidates, Found, PseudoLabeler, PseudoStage};
use super::zs3::{ClassifierStage, Layout, Part, Plan, Zs3, Zs3Settings, require};
use crate::train::engine::Engine;
use crate::train::error::{Error, Result};
use crate::train::layers::Linear;
use crate::train::model::Model;
use crate::train::pictures::Pictures;
use crate::train::stage::{Method, Stage, State};
use crate::train::task::Task;
use serde::{Deserialize, Serialize};
use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec::Vec;

/// Settings of ZS5Net.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Zs5Settings {
    /// Of each picture's candidates the share in percent that becomes pseudo-labels, above 0 to
    /// 100. Published 25 on VOC and 75 on Context. Default 75.
    pub percent: f64,
    /// What may become one. Published `winners`, default `unlabelled`.
    pub candidates: Candidates,
    /// How often pseudo-labels are made and the classifier is trained on them; 1 or more.
    /// Published 1, default 2.
    pub rounds: u32,
    /// Pseudo-labelled cells that are kept of each class, 1 or more. Default 8,000.
    pub limit: usize,
    /// Steps of the classifier per round, 1 or more. Default 1,000.
    pub steps: u64,
    /// Pseudo-labelled cells per step, 1 or more. Default 512.
    pub batch: usize,
    /// Whether generated features are used beside them. Published yes, default no: they are so
    /// only while a class has no pseudo-label.
    pub generated: bool,
    /// The training before.
    pub zs3: Zs3Settings,
}

impl Default for Zs5Settings {
    fn default() -> Zs5Settings {
        Zs5Settings {
            percent: 75.0,
            candidates: Candidates::Unlabelled,
            rounds: 2,
            limit: 8_000,
            steps: 1_000,
            batch: 512,
            generated: false,
            zs3: Zs3Settings::default(),
        }
    }
}

impl Zs5Settings {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn check(&self) -> Result<()> {
        PseudoLabeler::top_percent_per_image(self.percent)?;
        require((1..=1_000).contains(&self.rounds), "rounds", "1 to 1,000")?;
        require(self.limit >= 1, "limit", "1 or more")?;
        require(self.steps >= 1, "steps", "1 or more")?;
        require(self.batch >= 1, "batch", "1 or more")?;
        self.zs3.check()
    }
}

/// ZS5Net. Transductive: reads the features of pictures that show unseen classes, and the labels
/// of seen classes there.
///
/// Stages: those of [`Zs3`], then for each round `pseudo-labels N` and `retraining N`. A round
/// goes on from the classifier before it and trains on bags, whatever the layout before.
pub struct Zs5<'a, E: Engine<f32>> {
    zs3: Zs3<'a, E>,
    settings: Zs5Settings,
}

impl<'a, E: Engine<f32>> Zs5<'a, E> {
    /// The method.
    ///
    /// # Errors
    /// As [`Zs3::new`].
    pub fn new(engine: &'a E, task: &'a Task<'a>, settings: Zs5Settings) -> Result<Zs5<'a, E>> {
        settings.check()?;
        Ok(Zs5 { zs3: Zs3::new(engine, task, settings.zs3.clone())?, settings })
    }

    /// The method as published, with the labels of unseen objects.
    ///
    /// # Errors
    /// As [`Zs3::with_true_layout`].
    pub fn with_true_layout(
        engine: &'a E,
        task: &'a Task<'a>,
        truths: &'a dyn Pictures,
        settings: Zs5Settings,
    ) -> Result<Zs5<'a, E>> {
        settings.check()?;
        let zs3 = Zs3::with_true_layout(engine, task, truths, settings.zs3.clone())?;
        Ok(Zs5 { zs3, settings })
    }

    fn pseudo<'s>(&'s self, stage: usize, done: &[State]) -> Result<PseudoStage<'s, 'a, E>> {
        let before = stage.checked_sub(1).and_then(|stage| done.get(stage));
        let before = before.ok_or_else(|| Error::config("a classifier's stage comes first"))?;
        let labeler = PseudoLabeler::top_percent_per_image(self.settings.percent)?;
        let classifier = self.zs3.classifier(before)?;
        PseudoStage::new(&self.zs3, classifier, labeler, self.settings.candidates)
    }

    fn retraining<'s>(
        &'s self,
        stage: usize,
        done: &[State],
    ) -> Result<ClassifierStage<'s, 'a, E>> {
        let zs3 = &self.zs3;
        let state = |back: usize| stage.checked_sub(back).and_then(|stage| done.get(stage));
        let (Some(before), Some(found)) = (state(2), state(1)) else {
            return Err(Error::config("pseudo-labels come before retraining"));
        };
        let found = Found::of(found, zs3.task.class_count())?;
        let (limit, batch) = (self.settings.limit, self.settings.batch);
        let (pseudo, _) = found.rows(zs3, stage as u32, limit, batch)?;
        let is_generated = self.settings.generated || !found.has_all(&zs3.task.unseen());
        let generator = zs3.state_of(Part::Generator, done).filter(|_| is_generated);
        let layer = zs3.classifier(before)?;
        let weights = [layer.weight.value(), layer.bias.value()].map(|tensor| zs3.matrix(tensor));
        let [weight, bias] = weights;
        let plan = Plan {
            stage: stage as u32,
            steps: self.settings.steps,
            classes: zs3.classes(),
            layer: Linear::of(zs3.engine, &weight?, &bias?)?,
            generator: generator.map(|state| zs3.generator(state)).transpose()?,
            graph: zs3.graph_generator(done)?,
            layout: Layout::Bag,
            pseudo: Some(pseudo),
            decay: 0.0,
        };
        ClassifierStage::new(zs3, plan)
    }
}

impl<E: Engine<f32>> Method for Zs5<'_, E> {
    fn stages(&self) -> Vec<String> {
        let rounds = 1..=self.settings.rounds;
        let of_round = |round| [format!("pseudo-labels {round}"), format!("retraining {round}")];
        self.zs3.stages().into_iter().chain(rounds.flat_map(of_round)).collect()
    }

    fn begin<'s>(&'s self, stage: usize, done: &[State]) -> Result<Box<dyn Stage + 's>> {
        let first = self.zs3.stages().len();
        if stage < first {
            return self.zs3.begin(stage, done);
        }
        if stage >= self.stages().len() {
            return Err(Error::config("there is no such stage"));
        }
        if (stage - first).is_multiple_of(2) {
            return Ok(Box::new(self.pseudo(stage, done)?));
        }
        Ok(Box::new(self.retraining(stage, done)?))
    }

    fn warning(&self) -> Option<&'static str> {
        self.zs3.warning()
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let generator = self.zs3.state_of(Part::Generator, done);
        let whole = done.len() == self.stages().len();
        match (generator, done.last()) {
            (Some(generator), Some(last)) if whole => self.zs3.model(generator, last),
            _ => Err(Error::config("not all stages are done")),
        }
    }
}
