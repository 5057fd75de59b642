//! Recursive training with ZS-MMD (Wang, Farazi and Barnes, "Recursive training for zero-shot
//! semantic segmentation", 2021): features that the classifier is sure of go back to the
//! generator. **A reconstruction**: only the abstract was at hand, and everything but the idea is
//! this library's (methods.md 4).

use super::pseudo::{Candidates, Found, PseudoLabeler, PseudoStage};
use super::zs3::{
    ClassifierStage, Compared, GeneratorStage, Layout, Part, Plan, Purpose, Zs3, Zs3Settings,
    draw_at, finite, pick, require, shares,
};
use crate::train::engine::{Engine, Matrix};
use crate::train::error::{Error, Result};
use crate::train::layers::Linear;
use crate::train::model::Model;
use crate::train::stage::{Method, Report, Stage, State};
use crate::train::task::Task;
use serde::{Deserialize, Serialize};
use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// How the pseudo-features of a class enter a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feedback {
    /// Random ones by confidence, with equal weights.
    Drawn,
    /// All of them, weighed by confidence.
    All,
}

/// Settings of ZS-MMD. All are reconstructed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZsMmdSettings {
    /// How often classifier and generator learn from each other, 1 or more. Default 3.
    pub rounds: u32,
    /// Least confidence of a pseudo-feature, 0 to 1. Default 0.8; 0.5 to 0.95 are sensible.
    pub threshold: f32,
    /// What may become a pseudo-feature. Default `unlabelled`.
    pub candidates: Candidates,
    /// A class with fewer pseudo-features takes no part in a round. Default 32.
    pub least_cells: usize,
    /// How pseudo-features enter a step. Default `drawn`.
    pub feedback: Feedback,
    /// Pseudo-features of a class per step for `drawn`, 1 or more. Default 128.
    pub batch: usize,
    /// Pseudo-features of a class that are kept, 1 or more. With `all` the time of a step grows
    /// with its square. Default 2,000.
    pub limit: usize,
    /// Weight of the unseen classes' discrepancies, 0 or more. Default 0.1.
    pub beta: f32,
    /// Steps over which it grows from 0 in each round. Default 300.
    pub ramp_steps: u64,
    /// Decay of the running mean of the classifier that confidences come from: 0 (none) to below
    /// 1. Default 0.99.
    pub decay: f32,
    /// A class whose mean confidence is that much below its first one takes no part in a round.
    /// 0 to 1. Default 0.2.
    pub most_drop: f64,
    /// Steps of the generator per round, 1 or more. Default 1,000.
    pub generator_steps: u64,
    /// Steps of the classifier per round, 1 or more. Default 500.
    pub classifier_steps: u64,
    /// The training before. Its layout is used in all rounds.
    pub zs3: Zs3Settings,
}

impl Default for ZsMmdSettings {
    fn default() -> ZsMmdSettings {
        ZsMmdSettings {
            rounds: 3,
            threshold: 0.8,
            candidates: Candidates::Unlabelled,
            least_cells: 32,
            feedback: Feedback::Drawn,
            batch: 128,
            limit: 2_000,
            beta: 0.1,
            ramp_steps: 300,
            decay: 0.99,
            most_drop: 0.2,
            generator_steps: 1_000,
            classifier_steps: 500,
            zs3: Zs3Settings::default(),
        }
    }
}

impl ZsMmdSettings {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn check(&self) -> Result<()> {
        PseudoLabeler::threshold(self.threshold)?;
        require((1..=1_000).contains(&self.rounds), "rounds", "1 to 1,000")?;
        require(self.batch >= 1, "batch", "1 or more")?;
        require(self.limit >= 1, "limit", "1 or more")?;
        require(self.beta.is_finite() && self.beta >= 0.0, "beta", "0 or more")?;
        require((0.0..1.0).contains(&self.decay), "decay", "0 to below 1")?;
        require((0.0..=1.0).contains(&self.most_drop), "most_drop", "0 to 1")?;
        require(self.generator_steps >= 1, "generator_steps", "1 or more")?;
        require(self.classifier_steps >= 1, "classifier_steps", "1 or more")?;
        let layout = self.zs3.layout != Layout::GtMap;
        require(layout, "zs3.layout", "bag or synthetic")?;
        self.zs3.check()
    }

    /// Weight of the unseen classes' discrepancies at a step.
    fn beta_at(&self, step: u64) -> f32 {
        if step >= self.ramp_steps {
            return self.beta;
        }
        self.beta * step as f32 / self.ramp_steps as f32
    }
}

/// Recursive training with ZS-MMD. Transductive: reads the features of pictures that show unseen
/// classes, and the labels of seen classes there.
///
/// Stages: those of [`Zs3`], then for each round `pseudo-features N`, `generator N` and
/// `classifier N`.
pub struct ZsMmd<'a, E: Engine<f32>> {
    zs3: Zs3<'a, E>,
    settings: ZsMmdSettings,
}

/// Pseudo-features of a class.
struct Pseudo {
    class: usize,
    rows: Matrix<f32>,
    confidences: Vec<f32>,
}

/// Rows of all classes, their weights, and of each class how many rows it has and how many are to
/// be generated.
type Chosen = (Matrix<f32>, Vec<f32>, Vec<(usize, usize, usize)>);

/// Trains the generator on seen classes and on pseudo-features.
struct FeedbackStage<'s, 'a, E: Engine<f32>> {
    inner: GeneratorStage<'s, 'a, E>,
    settings: &'s ZsMmdSettings,
    pseudo: Vec<Pseudo>,
}

impl<'a, E: Engine<f32>> ZsMmd<'a, E> {
    /// The method.
    ///
    /// # Errors
    /// As [`Zs3::new`].
    pub fn new(engine: &'a E, task: &'a Task<'a>, settings: ZsMmdSettings) -> Result<ZsMmd<'a, E>> {
        settings.check()?;
        Ok(ZsMmd { zs3: Zs3::new(engine, task, settings.zs3.clone())?, settings })
    }

    /// The state `back` stages before a stage.
    fn before<'d>(&self, stage: usize, back: usize, done: &'d [State]) -> Result<&'d State> {
        let state = stage.checked_sub(back).and_then(|stage| done.get(stage));
        state.ok_or_else(|| Error::config("a stage before is missing"))
    }

    /// The generator of the round before.
    fn generator_before<'d>(&self, stage: usize, done: &'d [State]) -> Result<&'d State> {
        let first = self.zs3.stages().len();
        if stage == first + 1 {
            let state = self.zs3.state_of(Part::Generator, done);
            return state.ok_or_else(|| Error::config("the generator's stage is missing"));
        }
        self.before(stage, 3, done)
    }

    fn feedback<'s>(&'s self, stage: usize, done: &[State]) -> Result<FeedbackStage<'s, 'a, E>> {
        let (zs3, settings) = (&self.zs3, &self.settings);
        let number = stage as u32;
        let classes = zs3.task.class_count();
        let found = Found::of(self.before(stage, 1, done)?, classes)?;
        let first = done.get(zs3.stages().len());
        let first = first.ok_or_else(|| Error::config("a stage before is missing"))?;
        let first = Found::of(first, classes)?;
        let (rows, confidences) = found.rows(zs3, number, settings.limit, settings.batch)?;
        let mut pseudo = Vec::new();
        for class in zs3.task.unseen() {
            let of_class = |place: &usize| rows.classes.get(*place) == Some(&class);
            let places: Vec<usize> = (0..rows.classes.len()).filter(of_class).collect();
            let fell = match (first.mean(class), found.mean(class)) {
                (Some(first), Some(now)) => first - now > settings.most_drop,
                _ => false,
            };
            if fell || places.is_empty() || places.len() < settings.least_cells {
                continue;
            }
            let chosen = places.iter().filter_map(|place| confidences.get(*place).copied());
            let confidences = chosen.collect();
            pseudo.push(Pseudo { class, rows: pick(&rows.rows, places.into_iter())?, confidences });
        }
        let before = self.generator_before(stage, done)?;
        Ok(FeedbackStage {
            inner: GeneratorStage::new(zs3, number, Some(before))?,
            settings,
            pseudo,
        })
    }

    fn classifier<'s>(
        &'s self,
        stage: usize,
        done: &[State],
    ) -> Result<ClassifierStage<'s, 'a, E>> {
        let zs3 = &self.zs3;
        let layer = zs3.classifier(self.before(stage, 3, done)?)?;
        let [weight, bias] =
            [layer.weight.value(), layer.bias.value()].map(|tensor| zs3.matrix(tensor));
        let plan = Plan {
            stage: stage as u32,
            steps: self.settings.classifier_steps,
            classes: zs3.classes(),
            layer: Linear::of(zs3.engine, &weight?, &bias?)?,
            generator: Some(zs3.generator(self.before(stage, 1, done)?)?),
            graph: zs3.graph_generator(done)?,
            layout: zs3.settings.layout,
            pseudo: None,
            decay: self.settings.decay,
        };
        ClassifierStage::new(zs3, plan)
    }
}

/// Numbers of `shares.len()` random rows, each as likely as its weight says.
fn by_weight(weights: &[f32], shares: &[f32]) -> Vec<usize> {
    let mut sum = 0.0f64;
    let mut sums = Vec::with_capacity(weights.len());
    for weight in weights {
        sum += f64::from(*weight);
        sums.push(sum);
    }
    let last = weights.len().saturating_sub(1);
    let at = |share: &f32| sums.partition_point(|below| *below <= f64::from(*share) * sum);
    shares.iter().map(|share| at(share).min(last)).collect()
}

impl<E: Engine<f32>> FeedbackStage<'_, '_, E> {
    /// Pseudo-features of a step: all classes' rows and weights, and how many each has.
    fn chosen(&self, step: u64) -> Result<Chosen> {
        let zs3 = self.inner.zs3;
        let fakes = zs3.settings.generator.batch;
        let batch = self.settings.batch;
        let draw = draw_at(zs3.task.seed, self.inner.stage, step, Purpose::Pseudo)?;
        let dice = shares(draw, batch * self.pseudo.len());
        let (mut values, mut weights, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        for (pseudo, dice) in self.pseudo.iter().zip(dice.chunks(batch)) {
            let count = match self.settings.feedback {
                Feedback::All => {
                    values.extend_from_slice(pseudo.rows.values());
                    weights.extend_from_slice(&pseudo.confidences);
                    pseudo.confidences.len()
                }
                Feedback::Drawn => {
                    let rows = by_weight(&pseudo.confidences, dice);
                    values.extend(pick(&pseudo.rows, rows.into_iter())?.into_values());
                    weights.extend(vec![1.0; batch]);
                    batch
                }
            };
            classes.push((pseudo.class, count, fakes));
        }
        let channels = zs3.task.features.channels();
        Ok((Matrix::new([values.len() / channels, channels], values)?, weights, classes))
    }
}

impl<E: Engine<f32>> Stage for FeedbackStage<'_, '_, E> {
    fn steps(&self) -> u64 {
        self.settings.generator_steps
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        const LOSS: &str = "mmd";
        const FEEDBACK: &str = "zs-mmd";
        let zs3 = self.inner.zs3;
        let seen = self.inner.seen(step)?;
        let mut found = self.inner.compare(&seen.compared(), seen.draw)?;
        let mut report = vec![(LOSS, finite(self.inner.sum(&found.losses)?, LOSS, step)?)];
        if !self.pseudo.is_empty() {
            let (rows, weights, classes) = self.chosen(step)?;
            let compared = Compared { real: &rows, classes: &classes, weights: Some(&weights) };
            let draw = draw_at(zs3.task.seed, self.inner.stage, step, Purpose::PseudoNoise)?;
            let feedback = self.inner.compare(&compared, draw)?;
            report.push((FEEDBACK, finite(self.inner.sum(&feedback.losses)?, FEEDBACK, step)?));
            let beta = self.settings.beta_at(step);
            found.gradients.add(zs3.engine, beta, &feedback.gradients)?;
        }
        self.inner.apply(&found.gradients)?;
        Ok(report)
    }

    fn state(&self) -> Result<State> {
        self.inner.state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.inner.restore(state)
    }
}

impl<E: Engine<f32>> Method for ZsMmd<'_, E> {
    fn stages(&self) -> Vec<String> {
        let of_round = |round| {
            ["pseudo-features", "generator", "classifier"].map(|name| format!("{name} {round}"))
        };
        let rounds = 1..=self.settings.rounds;
        self.zs3.stages().into_iter().chain(rounds.flat_map(of_round)).collect()
    }

    fn begin<'s>(&'s self, stage: usize, done: &[State]) -> Result<Box<dyn Stage + 's>> {
        let first = self.zs3.stages().len();
        if stage + 1 == first {
            return Ok(Box::new(self.zs3.first_classifier(
                stage as u32,
                done,
                self.settings.decay,
            )?));
        }
        if stage < first {
            return self.zs3.begin(stage, done);
        }
        if stage >= self.stages().len() {
            return Err(Error::config("there is no such stage"));
        }
        Ok(match (stage - first) % 3 {
            0 => {
                let classifier = self.zs3.averaged(self.before(stage, 1, done)?)?;
                let labeler = PseudoLabeler::threshold(self.settings.threshold)?;
                let rule = self.settings.candidates;
                Box::new(PseudoStage::new(&self.zs3, classifier, labeler, rule)?)
            }
            1 => Box::new(self.feedback(stage, done)?),
            _ => Box::new(self.classifier(stage, done)?),
        })
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let count = self.stages().len();
        if done.len() != count {
            return Err(Error::config("not all stages are done"));
        }
        self.zs3.model(self.before(count, 2, done)?, self.before(count, 1, done)?)
    }
}
