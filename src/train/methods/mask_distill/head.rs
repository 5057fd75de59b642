//! The last stages: a head that tells the clusters apart (methods.md 7.5).

use super::MaskDistill;
use super::clustering::assign;
use super::merge::{Found, merge};
use super::objects::Objects;
use crate::train::engine::{Draw, Engine, Matrix, Sgd, Targets};
use crate::train::error::{Error, Result};
use crate::train::layers::{Linear, Optimiser};
use crate::train::methods::{Scaling, order};
use crate::train::stage::{Report, Stage, State};
use std::vec::Vec;

const HEAD: &str = "head";
const MEAN: &str = "scaling.mean";
const DEVIATION: &str = "scaling.deviation";
/// Streams of random numbers: the order of pictures and the first weights of each round.
const ORDER: u32 = 8;
const FIRST: u32 = 9;
/// Streams of a round after those of the one before.
const STREAMS: u32 = 4096;
/// Pictures that the mean and deviation of features are taken from, at most.
const SCALED_PICTURES: usize = 256;

/// What the head is to say.
enum Teacher<T> {
    /// Masks with their clusters.
    Masks { objects: Objects, clusters: Vec<usize>, grid: [usize; 2] },
    /// The head of the round before.
    Head { scaling: Scaling, head: Linear<T> },
}

/// Training of the head in one round.
pub(super) struct Distillation<'a, E: Engine<f32>> {
    method: &'a MaskDistill<'a, E>,
    round: u32,
    pictures: Vec<usize>,
    teacher: Teacher<E::Tensor>,
    /// Made at the first step.
    scaling: Option<Scaling>,
    head: Linear<E::Tensor>,
}

/// Classes and channels of the head.
fn shape<E>(method: &MaskDistill<'_, E>) -> [usize; 2] {
    [method.settings.clusters + 1, method.task.features.channels()]
}

/// What the last state of a round holds.
pub(super) fn trained<E>(
    method: &MaskDistill<'_, E>,
    state: &State,
) -> Result<(Scaling, [Matrix<f32>; 2])> {
    let [classes, channels] = shape(method);
    let scaling = Scaling {
        mean: state.get_shaped(MEAN, [1, channels])?.clone(),
        deviation: state.get_shaped(DEVIATION, [1, channels])?.clone(),
    };
    let weight = state.get_shaped("head.weight", [classes, channels])?.clone();
    Ok((scaling, [weight, state.get_shaped("head.bias", [1, classes])?.clone()]))
}

impl<'a, E: Engine<f32>> Distillation<'a, E> {
    /// Round `round`, from 0, after the stages `done`.
    pub fn new(
        method: &'a MaskDistill<'a, E>,
        round: usize,
        done: &[State],
    ) -> Result<Distillation<'a, E>> {
        let (Some([first, second]), Some(last)) = (done.first_chunk(), done.last()) else {
            return Err(Error::config("MaskDistill's head comes after masks and clusters"));
        };
        let pictures = method.task.features.pictures();
        let teacher = if round == 0 {
            let grid = method.proposer.grid(pictures)?;
            let objects = Objects::load(first, grid[0] * grid[1])?;
            let clusters = assign(second, &objects)?;
            Teacher::Masks { objects, clusters, grid }
        } else {
            let (scaling, [weight, bias]) = trained(method, last)?;
            Teacher::Head { scaling, head: Linear::of(method.engine, &weight, &bias)? }
        };
        let round = u32::try_from(round).unwrap_or(u32::MAX / STREAMS).min(u32::MAX / STREAMS - 1);
        let draw = Draw { seed: method.task.seed, step: 0, stream: FIRST + round * STREAMS };
        Ok(Distillation {
            method,
            round,
            pictures: (0..pictures.len()).collect(),
            teacher,
            scaling: None,
            head: Linear::xavier(method.engine, shape(method), 0.0, draw)?,
        })
    }

    /// Labels of a picture's cells at the features' grid.
    fn labels(&self, picture: usize, rows: &Matrix<f32>) -> Result<Vec<i32>> {
        let settings = &self.method.settings;
        match &self.teacher {
            Teacher::Masks { objects, clusters, grid } => {
                let found = objects.of_picture(picture).filter_map(|place| {
                    let proposal = objects.proposals.get(place)?;
                    let cluster = *clusters.get(place)?;
                    Some(Found { mask: &proposal.mask, cluster, score: proposal.score })
                });
                let found: Vec<Found<'_>> = found.collect();
                let labels = merge(&found, grid[1], settings.least_score, settings.overlap);
                Ok(at_grid(&labels, *grid, self.method.task.features.grid()))
            }
            Teacher::Head { scaling, head } => {
                let mut rows = rows.clone();
                scaling.apply(&mut rows);
                let engine = self.method.engine;
                let rows = engine.upload(rows.shape(), rows.values())?;
                let logits = engine.download(&head.forward(engine, &rows)?)?;
                Ok(logits.chunks(head.shape()[0].max(1)).map(highest).collect())
            }
        }
    }

    /// Scaled features and labels of a step's pictures, one after another.
    fn batch(&mut self, step: u64) -> Result<(Matrix<f32>, Vec<i32>)> {
        let (task, settings) = (self.method.task, &self.method.settings);
        if self.scaling.is_none() {
            self.scaling = Some(match settings.standardise {
                true => Scaling::of_pictures(task.features, &self.pictures, SCALED_PICTURES)?,
                false => Scaling::none(task.features.channels())?,
            });
        }
        let stream = ORDER + self.round * STREAMS;
        let chosen = order::of_step(&self.pictures, settings.batch, task.seed, step, stream);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for picture in chosen {
            let rows = task.features.rows(picture, 0)?;
            labels.extend(self.labels(picture, &rows)?);
            values.extend_from_slice(rows.values());
        }
        let mut rows = Matrix::new([labels.len(), task.features.channels()], values)?;
        if let Some(scaling) = &self.scaling {
            scaling.apply(&mut rows);
        }
        Ok((rows, labels))
    }

    fn optimiser(&self, step: u64) -> Optimiser {
        let settings = &self.method.settings;
        let epoch = step / order::steps_per_epoch(self.pictures.len(), settings.batch);
        let slow = if epoch < settings.slow_epoch { 1.0 } else { 0.1 };
        let (momentum, weight_decay) = (settings.momentum, settings.weight_decay);
        Optimiser::Sgd(Sgd { rate: settings.rate * slow, momentum, weight_decay })
    }
}

/// Place of the highest number, the first of equal ones.
fn highest(values: &[f32]) -> i32 {
    let first = (0, f32::NEG_INFINITY);
    (0..).zip(values).fold(first, |best, (place, &x)| if x > best.1 { (place, x) } else { best }).0
}

/// Labels of one grid at another: the nearest cell. Without labels everything is background.
fn at_grid(labels: &[i32], from: [usize; 2], to: [usize; 2]) -> Vec<i32> {
    let place = |at: usize, axis: [usize; 2]| (2 * at + 1) * axis[0] / (2 * axis[1].max(1));
    let cells = (0..to[0]).flat_map(|row| (0..to[1]).map(move |column| [row, column]));
    let label = |[row, column]: [usize; 2]| {
        let cell = place(row, [from[0], to[0]]) * from[1] + place(column, [from[1], to[1]]);
        labels.get(cell).copied().unwrap_or(0)
    };
    cells.map(label).collect()
}

impl<E: Engine<f32>> Stage for Distillation<'_, E> {
    fn steps(&self) -> u64 {
        let settings = &self.method.settings;
        let steps = order::steps_per_epoch(self.pictures.len(), settings.batch);
        settings.epochs.saturating_mul(steps)
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let (rows, labels) = self.batch(step)?;
        let engine = self.method.engine;
        let rows = engine.upload(rows.shape(), rows.values())?;
        let logits = self.head.forward(engine, &rows)?;
        let targets = Targets { labels: &labels, class_weights: None, row_weights: None };
        let all = engine.cross_entropy(&logits, &targets)?;
        let share = self.method.settings.hardest;
        let weights = engine.hardest_rows(&all.rows, &labels, share)?;
        let targets = Targets { row_weights: Some(&weights), ..targets };
        let loss = engine.cross_entropy(&logits, &targets)?;
        if !loss.value.is_finite() {
            return Err(Error::NotFinite { loss: "hardest", step });
        }
        let gradients = self.head.gradients(engine, &rows, &loss.gradient)?;
        let optimiser = self.optimiser(step);
        self.head.step(engine, &gradients, &optimiser)?;
        Ok(Vec::from([("hardest", loss.value), ("all", all.value)]))
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        self.head.save(self.method.engine, HEAD, &mut state)?;
        if let Some(scaling) = &self.scaling {
            state.put(MEAN, scaling.mean.clone());
            state.put(DEVIATION, scaling.deviation.clone());
        }
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let scaling = match state.matrices.contains_key(MEAN) {
            true => Some(trained(self.method, state)?.0),
            false => None,
        };
        self.head = Linear::load(self.method.engine, HEAD, shape(self.method), state)?;
        self.scaling = scaling;
        Ok(())
    }
}
