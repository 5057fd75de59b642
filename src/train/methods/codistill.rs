//! Codistillation (methods.md 8): workers with pictures of their own learn from one another's
//! predictions.

use super::shuffle::shuffled;
use super::softmax::{Batch, Softmax, SoftmaxStage, folded_of};
use super::spnet::SpNetSettings;
use super::supervised::SupervisedSettings;
use crate::train::engine::{Engine, Matrix};
use crate::train::error::{Error, Result};
use crate::train::layers::Linear;
use crate::train::model::Model;
use crate::train::stage::{Method, Report, Stage, State};
use crate::train::task::Task;
use serde::{Deserialize, Serialize};
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// Stream of random numbers that deals the pictures.
const SHARDS: u32 = 0x5f31;

/// How the predictions of two workers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// Kullback-Leibler divergence of the worker's probabilities from its peer's.
    Kl,
    /// Mean squared difference of the logits.
    Mse,
}

/// What each worker trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codistilled {
    /// Softmax regression on the seen classes.
    Supervised(SupervisedSettings),
    /// SPNet's projection.
    Spnet(SpNetSettings),
}

impl Codistilled {
    fn softmax(&self) -> Softmax {
        match self {
            Codistilled::Supervised(settings) => settings.softmax(),
            Codistilled::Spnet(settings) => settings.softmax(),
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Codistilled::Supervised(settings) => settings.check(),
            Codistilled::Spnet(settings) => settings.check(),
        }
    }
}

/// Settings of [`Codistill`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CodistillSettings {
    /// Workers, 2 to 64. Default 2.
    pub workers: usize,
    /// Steps between two exchanges of parameters, 1 or more. Default 100. (The paper's 2,500 is
    /// for networks; Anil and others have 50.)
    pub exchange_every: u64,
    /// Weight of the peers' term from the first exchange on, 0 or more. Default 1.
    pub alpha: f32,
    /// How predictions are compared. Default the divergence.
    pub distance: Distance,
    /// What each worker trains. Default SPNet.
    pub head: Codistilled,
}

impl Default for CodistillSettings {
    fn default() -> CodistillSettings {
        CodistillSettings {
            workers: 2,
            exchange_every: 100,
            alpha: 1.0,
            distance: Distance::Kl,
            head: Codistilled::Spnet(SpNetSettings::default()),
        }
    }
}

impl CodistillSettings {
    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        if !(2..=64).contains(&self.workers) {
            return Err(Error::config("workers must be from 2 to 64"));
        }
        if self.exchange_every == 0 {
            return Err(Error::config("exchange_every must be at least 1"));
        }
        if !(self.alpha.is_finite() && self.alpha >= 0.0) {
            return Err(Error::config("alpha must not be negative"));
        }
        self.head.check()
    }
}

/// Codistillation. One stage, `codistillation`, that steps all workers in turn in one process:
/// `loss_i = CE + alpha / (n - 1) * sum over j of D(f_i(x), f_j(x))`, where `f_j` is a peer as it
/// was at the last exchange. The pictures without unseen classes are dealt at random.
///
/// The model has the mean of the workers' layers: for products their mean logit, an ensemble at
/// the cost of one head.
pub struct Codistill<'a, E> {
    engine: &'a E,
    task: &'a Task<'a>,
    settings: CodistillSettings,
}

impl<'a, E: Engine<f32>> Codistill<'a, E> {
    /// The method.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of their range.
    pub fn new(
        engine: &'a E,
        task: &'a Task<'a>,
        settings: CodistillSettings,
    ) -> Result<Codistill<'a, E>> {
        settings.check()?;
        Ok(Codistill { engine, task, settings })
    }

    /// The pictures of each worker, ascending; as many for each, to within one.
    pub fn shards(&self) -> Vec<Vec<usize>> {
        let pictures = shuffled(self.task.inductive(), self.task.seed, SHARDS);
        let count = self.settings.workers;
        let shard = |first| {
            let mut shard: Vec<usize> =
                pictures.iter().skip(first).step_by(count).copied().collect();
            shard.sort_unstable();
            shard
        };
        (0..count).map(shard).collect()
    }
}

impl<E: Engine<f32>> Method for Codistill<'_, E> {
    fn stages(&self) -> Vec<String> {
        vec!["codistillation".to_string()]
    }

    fn begin<'s>(&'s self, _stage: usize, _done: &[State]) -> Result<Box<dyn Stage + 's>> {
        let mut workers = Vec::with_capacity(self.settings.workers);
        for shard in self.shards() {
            let task = self.task.with_pictures(&shard)?;
            workers.push(SoftmaxStage::new(self.engine, &task, self.settings.head.softmax())?);
        }
        Ok(Box::new(CodistillStage { workers, peers: Vec::new(), settings: &self.settings }))
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let missing = || Error::config("the stage \"codistillation\" is not done");
        let state = done.last().ok_or_else(missing)?;
        let shape = self.settings.head.softmax().shape(self.task);
        let mut layers = Vec::with_capacity(self.settings.workers);
        for worker in 0..self.settings.workers {
            layers.push(folded_of(&part(state, &worker_name(worker)), shape)?);
        }
        let weight = mean(layers.iter().map(|layer| &layer.0), shape)?;
        let bias = mean(layers.iter().map(|layer| &layer.1), [1, shape[0]])?;
        match &self.settings.head {
            Codistilled::Supervised(settings) => settings.model(self.task, &weight, &bias),
            Codistilled::Spnet(settings) => settings.model(self.task, &weight, &bias),
        }
    }
}

struct CodistillStage<'s, E: Engine<f32>> {
    workers: Vec<SoftmaxStage<'s, E>>,
    /// All workers as they were at the last exchange, over features as they are; none before it.
    peers: Vec<Linear<E::Tensor>>,
    settings: &'s CodistillSettings,
}

impl<E: Engine<f32>> CodistillStage<'_, E> {
    fn exchange(&mut self) -> Result<()> {
        let mut peers = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            let (weight, bias) = worker.folded()?;
            peers.push(Linear::of(worker.engine, &weight, &bias)?);
        }
        self.peers = peers;
        Ok(())
    }
}

/// Logits of all peers but one for the cells of a batch.
fn predictions<E: Engine<f32>>(
    worker: &SoftmaxStage<'_, E>,
    peers: &[Linear<E::Tensor>],
    own: usize,
    batch: &Batch,
) -> Result<Vec<E::Tensor>> {
    let mut found = Vec::new();
    let x = worker.engine.upload(batch.rows.shape(), batch.rows.values())?;
    for (_, peer) in peers.iter().enumerate().filter(|(index, _)| *index != own) {
        found.push(match &worker.space {
            Some(space) => space.logits(worker.engine, peer, &x)?.values,
            None => peer.forward(worker.engine, &x)?,
        });
    }
    Ok(found)
}

impl<E: Engine<f32>> Stage for CodistillStage<'_, E> {
    fn steps(&self) -> u64 {
        self.workers.first().map_or(0, Stage::steps)
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        if step > 0 && step.is_multiple_of(self.settings.exchange_every) {
            self.exchange()?;
        }
        let alpha = self.settings.alpha;
        let count = self.workers.len() as f64;
        let (mut loss, mut distance) = (0.0, 0.0);
        for (own, worker) in self.workers.iter_mut().enumerate() {
            let batch = worker.batch(step)?;
            let teachers = match alpha {
                0.0 => Vec::new(),
                _ => predictions(worker, &self.peers, own, &batch)?,
            };
            let engine = worker.engine;
            let kind = self.settings.distance;
            let report = worker.step_on(&batch, step, |logits, gradient, report| {
                let share = 1.0 / teachers.len().max(1) as f32;
                let mut sum = 0.0;
                for teacher in &teachers {
                    let found = match kind {
                        Distance::Kl => engine.divergence(teacher, logits, None)?,
                        Distance::Mse => engine.squared_error(teacher, logits)?,
                    };
                    engine.add_scaled(gradient, alpha * share, &found.gradient)?;
                    sum += found.value * f64::from(share);
                }
                report.push(("distance", sum));
                Ok(())
            })?;
            for (name, value) in report {
                match name {
                    "loss" => loss += value / count,
                    _ => distance += value / count,
                }
            }
        }
        Ok(vec![("loss", loss), ("distance", distance)])
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (index, worker) in self.workers.iter().enumerate() {
            let prefix = worker_name(index);
            let own = worker.state()?;
            for (name, matrix) in own.matrices {
                state.put(&format!("{prefix}{name}"), matrix);
            }
            for (name, numbers) in own.numbers {
                state.put_numbers(&format!("{prefix}{name}"), numbers);
            }
        }
        for (index, (worker, peer)) in self.workers.iter().zip(&self.peers).enumerate() {
            peer.save(worker.engine, &peer_name(index), &mut state)?;
        }
        state.put_numbers("peers", vec![self.peers.len() as u64]);
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let exchanged = state.get_numbers("peers")?.first().is_some_and(|&count| count > 0);
        let mut peers = Vec::new();
        for (index, worker) in self.workers.iter().enumerate().filter(|_| exchanged) {
            let shape = worker.layer.shape();
            peers.push(Linear::load(worker.engine, &peer_name(index), shape, state)?);
        }
        // A state that fits to one worker may not fit to the next: look before changing any.
        for (index, worker) in self.workers.iter().enumerate() {
            folded_of(&part(state, &worker_name(index)), worker.layer.shape())?;
        }
        for (index, worker) in self.workers.iter_mut().enumerate() {
            worker.restore(&part(state, &worker_name(index)))?;
        }
        self.peers = peers;
        Ok(())
    }
}

fn worker_name(worker: usize) -> String {
    format!("worker{worker}.")
}

fn peer_name(worker: usize) -> String {
    format!("peer{worker}")
}

/// What lies under names that start with `prefix`, without it.
fn part(state: &State, prefix: &str) -> State {
    let mut found = State::default();
    for (name, matrix) in &state.matrices {
        if let Some(name) = name.strip_prefix(prefix) {
            found.put(name, matrix.clone());
        }
    }
    for (name, numbers) in &state.numbers {
        if let Some(name) = name.strip_prefix(prefix) {
            found.put_numbers(name, numbers.clone());
        }
    }
    found
}

fn mean<'m>(
    layers: impl ExactSizeIterator<Item = &'m Matrix<f32>>,
    shape: [usize; 2],
) -> Result<Matrix<f32>> {
    let share = 1.0 / layers.len().max(1) as f64;
    let mut sums = vec![0.0f64; shape[0] * shape[1]];
    for layer in layers {
        sums.iter_mut().zip(layer.values()).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    Ok(Matrix::new(shape, sums.into_iter().map(|sum| (sum * share) as f32).collect())?)
}
