//! The steps of SAZS.

use super::edges::edge_targets;
use super::loss::{Example, LossSettings, Losses, Parameters, Shapes, losses};
use super::settings::{EdgeInput, ShapeMode};
use super::shape::InverseForm;
use super::{Sazs, Scaling};
use crate::math::random::Random;
use crate::train::engine::{Draw, Engine, Matrix, poly_rate};
use crate::train::error::{Error, Result};
use crate::train::layers::{Linear, LinearGradients, Optimiser};
use crate::train::methods::order;
use crate::train::stage::{Report, Stage, State};
use crate::train::task::{IGNORED, targets};
use std::collections::BTreeMap;
use std::vec::Vec;

/// Name of the stage, and of the alignment in its state.
pub(super) const ALIGNMENT: &str = "alignment";
const EDGE: &str = "edge";
/// Exponent of the learning rate's fall (methods.md 6.8).
const POWER: f64 = 0.9;
/// Pictures that the mean and deviation of features are taken from, at most.
const SCALED_PICTURES: usize = 256;
/// Streams of random numbers.
const ORDER: u32 = 0;
const CLASS: u32 = 1;
const FIRST_ALIGNMENT: u32 = 2;
const FIRST_EDGE: u32 = 3;

/// What is known of a picture, at the grid.
struct Known {
    labels: Vec<i32>,
    edges: Vec<i32>,
}

/// Training of the alignment and the edge head.
pub(super) struct Training<'a, E: Engine<f32>> {
    method: &'a Sazs<'a, E>,
    pictures: Vec<usize>,
    classes: Vec<usize>,
    others: Option<usize>,
    network: Option<InverseForm<E::Tensor>>,
    /// Labels of pictures that have been read before; they are always the same.
    known: BTreeMap<usize, Known>,
    /// Made at the first step.
    scaling: Option<Scaling>,
    alignment: Linear<E::Tensor>,
    edge: Linear<E::Tensor>,
}

impl<'a, E: Engine<f32>> Training<'a, E> {
    pub(super) fn new(method: &'a Sazs<'a, E>) -> Result<Training<'a, E>> {
        let Sazs { engine, task, settings } = method;
        let network = match (settings.shape, &settings.inverse_form) {
            (ShapeMode::Sigmoid, Some(path)) => Some(InverseForm::read(*engine, path)?),
            _ => None,
        };
        let pictures = match settings.all_pictures {
            true => (0..task.features.pictures().len()).collect(),
            false => task.inductive().to_vec(),
        };
        let shapes = Training::<E>::shapes(method);
        let draw = |stream| Draw { seed: task.seed, step: 0, stream };
        Ok(Training {
            method,
            pictures,
            classes: task.seen(),
            others: method.others()?,
            network,
            known: BTreeMap::new(),
            scaling: None,
            alignment: Linear::xavier(*engine, shapes[0], 0.0, draw(FIRST_ALIGNMENT))?,
            edge: Linear::xavier(*engine, shapes[1], 0.0, draw(FIRST_EDGE))?,
        })
    }

    /// Shapes of the alignment and of the edge head.
    fn shapes(method: &Sazs<'_, E>) -> [[usize; 2]; 2] {
        let (dim, channels) = (method.task.embeddings.dim(), method.task.features.channels());
        let inputs = match method.settings.edge_input {
            EdgeInput::Aligned => dim,
            EdgeInput::Features => channels,
        };
        [[dim, channels], [1, inputs]]
    }

    fn steps_per_epoch(&self) -> u64 {
        order::steps_per_epoch(self.pictures.len(), self.method.settings.batch)
    }

    fn read_known(&mut self, picture: usize) -> Result<()> {
        if self.known.contains_key(&picture) {
            return Ok(());
        }
        let Sazs { task, settings, .. } = self.method;
        let grid = task.features.grid();
        let frame = task.frame_labels(picture)?;
        let labels = targets(&crate::train::pictures::labels_at(&frame, grid)?);
        let edges = edge_targets(&frame, grid, settings.edge_rule, settings.void_reach);
        self.known.insert(picture, Known { labels, edges });
        Ok(())
    }

    fn read_scaling(&mut self) -> Result<()> {
        if self.scaling.is_some() {
            return Ok(());
        }
        let features = self.method.task.features;
        self.scaling = Some(match self.method.settings.standardise {
            true => Scaling::of_pictures(features, &self.pictures, SCALED_PICTURES)?,
            false => Scaling::none(features.channels())?,
        });
        Ok(())
    }

    /// Picture number `place` of step `step`.
    fn example(&mut self, picture: usize, step: u64, place: usize) -> Result<Example<E::Tensor>> {
        self.read_known(picture)?;
        self.read_scaling()?;
        let mut rows = self.method.task.features.rows(picture, 0)?;
        if let Some(scaling) = &self.scaling {
            scaling.apply(&mut rows);
        }
        let known = self
            .known
            .get(&picture)
            .map_or((&[][..], &[][..]), |known| (known.labels.as_slice(), known.edges.as_slice()));
        let (classes, labels) = match self.others {
            None => (self.classes.clone(), self.places(known.0)),
            Some(others) => self.pair(known.0, others, step, place),
        };
        let embeddings = self.method.rows(&classes)?;
        let engine = self.method.engine;
        let upload = |matrix: &Matrix<f32>| engine.upload(matrix.shape(), matrix.values());
        let (features, embeddings) = (upload(&rows)?, upload(&embeddings)?);
        Ok(Example { features, embeddings, labels, edges: known.1.to_vec() })
    }

    /// Labels as places in the list of seen classes.
    fn places(&self, labels: &[i32]) -> Vec<i32> {
        let place = |&label: &i32| {
            let class = usize::try_from(label).ok()?;
            self.classes.binary_search(&class).ok()
        };
        let label = |label| place(label).map_or(IGNORED, |place| place as i32);
        labels.iter().map(label).collect()
    }

    /// "Others" and a class of the picture, or any seen class if it shows none; 1 for cells of
    /// that class.
    fn pair(
        &self,
        labels: &[i32],
        others: usize,
        step: u64,
        place: usize,
    ) -> (Vec<usize>, Vec<i32>) {
        let shown = |class: &usize| labels.contains(&(*class as i32));
        let candidates = || self.classes.iter().copied().filter(|class| *class != others);
        let mut classes: Vec<usize> = candidates().filter(|class| shown(class)).collect();
        if classes.is_empty() {
            classes = candidates().collect();
        }
        let random = Random::new(self.method.task.seed, &[]);
        let [share, ..] = random.uniform(place as u32, step as u32, CLASS);
        let chosen = (f64::from(share) * classes.len() as f64) as usize;
        let class = classes.get(chosen).copied().unwrap_or(others);
        let ignored = if self.method.settings.others_take_all { 0 } else { IGNORED };
        let label = |&label: &i32| match label {
            IGNORED => ignored,
            label => i32::from(label == class as i32),
        };
        (Vec::from([others, class]), labels.iter().map(label).collect())
    }

    fn optimiser(&self, step: u64) -> Optimiser {
        let settings = &self.method.settings;
        let epoch = step / self.steps_per_epoch();
        let rate = poly_rate(settings.rate, epoch, settings.epochs, POWER);
        settings.optimiser.at(rate, settings.momentum, settings.weight_decay)
    }

    fn loss_settings(&self) -> LossSettings<'_, E::Tensor> {
        let settings = &self.method.settings;
        let shapes = match (settings.shape, &self.network) {
            (ShapeMode::Surrogate, _) => Shapes::Surrogate(settings.least_edge_cells),
            (ShapeMode::Sigmoid, Some(network)) => Shapes::Sigmoid(network),
            _ => Shapes::Dead,
        };
        LossSettings {
            normalize: settings.normalize,
            edge_input: settings.edge_input,
            attention_threshold: settings.attention_threshold.into(),
            weights: [
                settings.segmentation_weight,
                settings.edge_weight,
                settings.attention_weight,
                settings.shape_weight,
            ],
            shapes,
            tiles: settings.tiles,
            grid: self.method.task.features.grid(),
        }
    }

    fn update(&mut self, gradients: Parameters<E::Tensor>, step: u64) -> Result<()> {
        let optimiser = self.optimiser(step);
        let engine = self.method.engine;
        let Parameters { weight, bias, edge_weight, edge_bias } = gradients;
        self.alignment.step(engine, &LinearGradients { weight, bias }, &optimiser)?;
        let gradients = LinearGradients { weight: edge_weight, bias: edge_bias };
        self.edge.step(engine, &gradients, &optimiser)
    }
}

impl<E: Engine<f32>> Stage for Training<'_, E> {
    fn steps(&self) -> u64 {
        self.method.settings.epochs.saturating_mul(self.steps_per_epoch())
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let mut examples = Vec::new();
        let (seed, batch) = (self.method.task.seed, self.method.settings.batch);
        let chosen = order::of_step(&self.pictures, batch, seed, step, ORDER);
        for (place, picture) in chosen.into_iter().enumerate() {
            examples.push(self.example(picture, step, place)?);
        }
        let parameters = Parameters {
            weight: self.alignment.weight.value().clone(),
            bias: self.alignment.bias.value().clone(),
            edge_weight: self.edge.weight.value().clone(),
            edge_bias: self.edge.bias.value().clone(),
        };
        let engine = self.method.engine;
        let (found, gradients) = losses(engine, &parameters, &examples, &self.loss_settings())?;
        let Losses { segmentation, edge, attention, shape, total } = found;
        if !total.is_finite() {
            return Err(Error::NotFinite { loss: "total", step });
        }
        self.update(gradients, step)?;
        Ok(Vec::from([
            ("total", total),
            ("segmentation", segmentation),
            ("edge", edge),
            ("attention", attention),
            ("shape", shape),
        ]))
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        let engine = self.method.engine;
        self.alignment.save(engine, ALIGNMENT, &mut state)?;
        self.edge.save(engine, EDGE, &mut state)?;
        if let Some(scaling) = &self.scaling {
            state.put("scaling.mean", scaling.mean.clone());
            state.put("scaling.deviation", scaling.deviation.clone());
        }
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let engine = self.method.engine;
        let [alignment, edge] = Training::<E>::shapes(self.method);
        let shape = [1, alignment[1]];
        let scaling = match state.matrices.contains_key("scaling.mean") {
            true => Some(Scaling {
                mean: state.get_shaped("scaling.mean", shape)?.clone(),
                deviation: state.get_shaped("scaling.deviation", shape)?.clone(),
            }),
            false => None,
        };
        let alignment = Linear::load(engine, ALIGNMENT, alignment, state)?;
        self.edge = Linear::load(engine, EDGE, edge, state)?;
        self.alignment = alignment;
        self.scaling = scaling;
        Ok(())
    }
}
