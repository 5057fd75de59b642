//! ZS3Net: a classifier of features that were generated from the names of unseen classes
//! (Bucher, Vu, Cord and Perez, "Zero-shot semantic segmentation", NeurIPS 2019; methods.md 2).

mod classify;
mod generate;
mod graph;
mod layouts;
mod prepared;
mod settings;

pub use graph::Regions;
pub use settings::{
    ClassifierSettings, GeneratorSampling, GeneratorSettings, GraphSettings, InitChoice,
    KernelChoice, Layout, NoiseChoice, Zs3Settings,
};

pub(super) use classify::{ClassifierStage, Plan, PseudoRows};
pub(super) use generate::{Compared, GeneratorStage, finite};
pub(super) use prepared::{Prepared, Purpose, draw_at, pick, place, shares};
pub(super) use settings::require;

use crate::spec::Decision;
use crate::train::engine::{Draw, Engine, Matrix};
use crate::train::error::{Error, Result};
use crate::train::layers::{Generator, GeneratorForm, Linear};
use crate::train::model::{GeneratorParts, Head, HeadForm, Model};
use crate::train::pictures::Pictures;
use crate::train::stage::{Method, Stage, State};
use crate::train::task::Task;
use std::boxed::Box;
use std::cell::OnceCell;
use std::string::{String, ToString};
use std::vec::Vec;

/// ZS3Net, with or without a graph of regions. Inductive: reads pictures without unseen classes
/// only, unless its layout is [`Layout::GtMap`].
///
/// Stages: `generator`; `graph` with a graph; `seen` if there are warm steps; `classifier`.
pub struct Zs3<'a, E: Engine<f32>> {
    pub(super) engine: &'a E,
    pub(super) task: &'a Task<'a>,
    pub(super) settings: Zs3Settings,
    truths: Option<&'a dyn Pictures>,
    prepared: OnceCell<Prepared>,
}

/// What a stage of this method does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Generator,
    Graph,
    Seen,
    Classifier,
}

/// What is said about layout `gt-map`.
const TRUE_LAYOUT: &str = "the layout of unseen objects is read from their true masks: this is no \
                           zero-shot training, and reproduces published numbers only";

impl<'a, E: Engine<f32>> Zs3<'a, E> {
    /// The method.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of their range, a task without unseen classes, and for
    /// [`Layout::GtMap`]: methods have no true layout of unseen objects.
    pub fn new(engine: &'a E, task: &'a Task<'a>, settings: Zs3Settings) -> Result<Zs3<'a, E>> {
        if settings.layout == Layout::GtMap {
            return Err(Error::config(
                "layout gt-map needs the true layout of unseen objects, which is not available to \
                 methods; only a reproduction of published numbers may hand it over",
            ));
        }
        Zs3::build(engine, task, settings, None)
    }

    /// The method as published, with the labels of unseen objects: no zero-shot training, but
    /// what published numbers were made with (methods.md 2.6). `truths` are the pictures of the
    /// task.
    ///
    /// # Errors
    /// [`Error::Config`] as [`Zs3::new`], and unless the layout is [`Layout::GtMap`] and there
    /// are as many pictures as in the task.
    pub fn with_true_layout(
        engine: &'a E,
        task: &'a Task<'a>,
        truths: &'a dyn Pictures,
        settings: Zs3Settings,
    ) -> Result<Zs3<'a, E>> {
        if settings.layout != Layout::GtMap {
            return Err(Error::config("a true layout is for layout gt-map only"));
        }
        if truths.len() != task.features.pictures().len() {
            return Err(Error::config("the true layout is of other pictures"));
        }
        Zs3::build(engine, task, settings, Some(truths))
    }

    fn build(
        engine: &'a E,
        task: &'a Task<'a>,
        settings: Zs3Settings,
        truths: Option<&'a dyn Pictures>,
    ) -> Result<Zs3<'a, E>> {
        settings.check()?;
        if task.unseen().is_empty() {
            return Err(Error::config("ZS3Net needs an unseen class"));
        }
        Ok(Zs3 { engine, task, settings, truths, prepared: OnceCell::new() })
    }

    /// Real features, read at the first call.
    pub(super) fn prepared(&self) -> Result<&Prepared> {
        if let Some(prepared) = self.prepared.get() {
            return Ok(prepared);
        }
        let settings = &self.settings;
        let prepared = Prepared::new(self.task, settings.bag_limit, settings.standardise)?;
        Ok(self.prepared.get_or_init(|| prepared))
    }

    /// Seen and unseen classes, ascending: the rows of the classifier.
    pub(super) fn classes(&self) -> Vec<usize> {
        let mut classes = self.task.seen();
        classes.extend(self.task.unseen());
        classes.sort_unstable();
        classes
    }

    /// The parts in their order.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = std::vec![Part::Generator];
        if self.settings.graph.is_some() {
            parts.push(Part::Graph);
        }
        let classifier = &self.settings.classifier;
        if classifier.warm_steps > 0 && classifier.init == InitChoice::Zeros {
            parts.push(Part::Seen);
        }
        parts.push(Part::Classifier);
        parts
    }

    /// The last state of a part.
    pub(super) fn state_of<'d>(&self, part: Part, done: &'d [State]) -> Option<&'d State> {
        let place = self.parts().into_iter().position(|found| found == part)?;
        done.get(place)
    }

    /// Whether noise is of real features.
    fn has_residuals(&self) -> bool {
        self.settings.generator.noise == NoiseChoice::Residual
    }

    /// Numbers of noise.
    fn noise_size(&self) -> usize {
        match self.settings.generator.noise_size {
            0 => self.task.embeddings.dim(),
            size => size,
        }
    }

    pub(super) fn generator_form(&self) -> GeneratorForm {
        let form = self.noisy_form();
        match self.has_residuals() {
            true => GeneratorForm { noise_size: 0, ..form },
            false => form,
        }
    }

    /// That of the generator over graphs: regions have no residuals. A context is half of what
    /// its nodes are given, as noise is otherwise.
    pub(super) fn graph_form(&self) -> GeneratorForm {
        let form = self.noisy_form();
        match self.settings.has_context() {
            true => GeneratorForm { dim: 2 * form.dim, noise_size: 0, ..form },
            false => form,
        }
    }

    /// A generator with noise of its own.
    fn noisy_form(&self) -> GeneratorForm {
        let settings = &self.settings.generator;
        GeneratorForm {
            dim: self.task.embeddings.dim(),
            noise_size: self.noise_size(),
            noise: settings.noise_kind(),
            hidden_size: settings.hidden_size,
            channels: self.task.features.channels(),
            dropout: settings.dropout,
            relu: settings.relu,
            reconstruction: settings.reconstruction,
        }
    }

    /// The generator of a state.
    pub(super) fn generator(&self, state: &State) -> Result<Generator<E::Tensor>> {
        Generator::load(self.engine, generate::GENERATOR, self.generator_form(), state)
    }

    /// The generator over graphs, if there is one.
    pub(super) fn graph_generator(&self, done: &[State]) -> Result<Option<Generator<E::Tensor>>> {
        let Some(state) = self.state_of(Part::Graph, done) else { return Ok(None) };
        let form = self.graph_form();
        Ok(Some(Generator::load(self.engine, graph::GRAPH_GENERATOR, form, state)?))
    }

    /// What a generator made, with residuals of real features if noise is of that kind. They take
    /// the stream `draw.stream`, which a generator without noise of its own leaves.
    pub(super) fn noisy(&self, made: &E::Tensor, draw: Draw) -> Result<E::Tensor> {
        let mut features = made.clone();
        if self.has_residuals() {
            let [count, _] = self.engine.shape(made);
            let residuals = self.prepared()?.residuals(&self.task.seen(), count, draw)?;
            let residuals = self.engine.upload(residuals.shape(), residuals.values())?;
            self.engine.add_scaled(&mut features, 1.0, &residuals)?;
        }
        Ok(features)
    }

    /// The generator's layers for the model, if its form has a place for them.
    fn generator_parts(&self, state: &State) -> Result<Option<GeneratorParts>> {
        let Some(parts) = self.generator(state)?.parts(self.engine)? else { return Ok(None) };
        if !self.has_residuals() {
            return Ok(Some(parts));
        }
        let draw = draw_at(self.task.seed, 0, 0, Purpose::Residuals)?;
        let residuals = self.prepared()?.residuals(&self.task.seen(), self.noise_size(), draw)?;
        Ok(Some(with_residuals(&parts, &residuals)?))
    }

    /// A random picture without unseen classes.
    fn picture_at(&self, draw: Draw) -> usize {
        let inductive = self.task.inductive();
        let share = shares(draw, 1).first().copied().unwrap_or_default();
        inductive.get(place(share, inductive.len())).copied().unwrap_or_default()
    }

    /// The stage that trains all rows for the first time; `decay` is that of a running mean.
    pub(super) fn first_classifier(
        &self,
        stage: u32,
        done: &[State],
        decay: f32,
    ) -> Result<ClassifierStage<'_, 'a, E>> {
        let generator = self
            .state_of(Part::Generator, done)
            .ok_or_else(|| Error::config("the generator's stage comes first"))?;
        ClassifierStage::first(self, stage, self.generator(generator)?, done, decay)
    }

    /// The classifier of a state, over scaled features.
    pub(super) fn classifier(&self, state: &State) -> Result<Linear<E::Tensor>> {
        let shape = [self.classes().len(), self.task.features.channels()];
        Linear::load(self.engine, classify::CLASSIFIER, shape, state)
    }

    pub(super) fn matrix(&self, tensor: &E::Tensor) -> Result<Matrix<f32>> {
        Ok(Matrix::new(self.engine.shape(tensor), self.engine.download(tensor)?)?)
    }

    /// The model of a generator and a classifier.
    pub(super) fn model(&self, generator: &State, classifier: &State) -> Result<Model> {
        let prepared = self.prepared()?;
        let classes = self.classes();
        let unseen = self.task.unseen();
        let layer = self.classifier(classifier)?;
        let (weight, bias) = (self.matrix(layer.weight.value())?, self.matrix(layer.bias.value())?);
        let (weights, bias) = prepared.scaling.folded(&weight, &bias)?;
        let parts = self.generator_parts(generator)?;
        let [mean, deviation] = &prepared.statistics;
        let of_classes = |all: &Matrix<f32>| pick(all, classes.iter().copied());
        Ok(Model {
            seen: classes.iter().map(|class| !unseen.contains(class)).collect(),
            head: Head { form: HeadForm::Linear, weights, bias },
            decoder: None,
            alignment: None,
            decision: Decision::PLAIN,
            projection: None,
            generator: parts.map(|parts| unscaled(parts, prepared)),
            statistics: Some([of_classes(mean)?, of_classes(deviation)?]),
            classes,
        })
    }
}

/// Added to Gaussian noise so that it is above 0, where the activation leaves it as it is.
const ABOVE_ZERO: f32 = 8.0;

/// A generator with Gaussian noise that has the covariance of some residuals, from one without
/// noise: each number of noise weighs a residual over the root of their number. A unit of the
/// hidden layer hands it through.
fn with_residuals(parts: &GeneratorParts, residuals: &Matrix<f32>) -> Result<GeneratorParts> {
    let ([hidden, dim], [noise, channels]) = (parts.w1.shape(), residuals.shape());
    let root = libm::sqrtf(noise.max(1) as f32);
    let mut w1 = Matrix::zeros([hidden + noise, dim + noise])?;
    for (row, own) in w1.rows_mut().zip(parts.w1.rows()) {
        row.iter_mut().zip(own).for_each(|(value, own)| *value = *own);
    }
    for (number, row) in w1.rows_mut().skip(hidden).enumerate() {
        row.iter_mut().skip(dim + number).take(1).for_each(|value| *value = 1.0);
    }
    let mut b1 = parts.b1.values().to_vec();
    b1.resize(hidden + noise, ABOVE_ZERO);
    let (mut w2, mut b2) = (Vec::new(), parts.b2.clone());
    for (channel, (own, bias)) in parts.w2.rows().zip(b2.values_mut()).enumerate() {
        w2.extend_from_slice(own);
        let weights = residuals.rows().filter_map(|row| row.get(channel));
        for weight in weights.map(|value| value / root) {
            w2.push(weight);
            *bias -= ABOVE_ZERO * weight;
        }
    }
    Ok(GeneratorParts {
        w1,
        b1: Matrix::new([1, hidden + noise], b1)?,
        w2: Matrix::new([channels, hidden + noise], w2)?,
        b2,
        normal_noise: true,
        ..*parts
    })
}

/// A generator of features as they are, from one of scaled features.
fn unscaled(mut parts: GeneratorParts, prepared: &Prepared) -> GeneratorParts {
    let scaling = &prepared.scaling;
    let pairs = || scaling.mean.values().iter().zip(scaling.deviation.values());
    for (row, (_, deviation)) in parts.w2.rows_mut().zip(pairs()) {
        row.iter_mut().for_each(|value| *value *= deviation);
    }
    for (bias, (mean, deviation)) in parts.b2.values_mut().iter_mut().zip(pairs()) {
        *bias = *bias * deviation + mean;
    }
    parts
}

impl<E: Engine<f32>> Method for Zs3<'_, E> {
    fn stages(&self) -> Vec<String> {
        let name = |part| match part {
            Part::Generator => "generator",
            Part::Graph => "graph",
            Part::Seen => "seen",
            Part::Classifier => "classifier",
        };
        self.parts().into_iter().map(|part| name(part).to_string()).collect()
    }

    fn begin<'s>(&'s self, stage: usize, done: &[State]) -> Result<Box<dyn Stage + 's>> {
        let parts = self.parts();
        let part = parts.get(stage).ok_or_else(|| Error::config("there is no such stage"))?;
        let number = stage as u32;
        Ok(match part {
            Part::Generator => Box::new(GeneratorStage::new(self, number, None)?),
            Part::Graph => Box::new(graph::GraphStage::new(self, number)?),
            Part::Seen => Box::new(ClassifierStage::seen(self, number)?),
            Part::Classifier => Box::new(self.first_classifier(number, done, 0.0)?),
        })
    }

    fn warning(&self) -> Option<&'static str> {
        self.truths.is_some().then_some(TRUE_LAYOUT)
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let state = |part| {
            self.state_of(part, done).ok_or_else(|| Error::config("not all stages are done"))
        };
        self.model(state(Part::Generator)?, state(Part::Classifier)?)
    }
}
