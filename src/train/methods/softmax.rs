//! Softmax training of one linear layer on a bag of cells of the seen classes: over the classes
//! themselves, or over their embeddings.

use super::bag::{Bag, Chances};
use super::descent::Descent;
use super::linear_model::embeddings_of;
use super::scaling::Scaling;
use crate::train::engine::{Draw, Engine, Matrix, Noise, Normalised, Product, Targets};
use crate::train::error::{Error, Result};
use crate::train::layers::{Linear, LinearGradients};
use crate::train::stage::{Report, Stage, State};
use crate::train::task::Task;
use std::vec;
use std::vec::Vec;

/// Streams of random numbers of this module.
const BAG: u32 = 0x5f01;
const BATCH: u32 = 0x5f02;
const START: u32 = 0x5f03;

/// What the layer's outputs are compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outputs {
    /// One output per seen class: its logit.
    Classes,
    /// The outputs are a point among the embeddings: a logit is the product with the class's.
    Dot {
        /// Whether embeddings are brought to length 1.
        normalise: bool,
    },
    /// As before, but a logit is the cosine with the class's embedding, times `scale`.
    Cosine {
        /// Finite and above 0.
        scale: f32,
    },
}

/// How a layer is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Softmax {
    pub outputs: Outputs,
    pub descent: Descent,
    /// Cells of a step.
    pub batch: usize,
    /// Most cells of a class in the bag.
    pub cells_per_class: usize,
    /// How much rare classes are drawn more often than they are: 0 to 1.
    pub balance: f64,
}

impl Softmax {
    /// # Errors
    /// [`Error::Config`] naming the setting that is out of its range.
    pub fn check(&self) -> Result<()> {
        self.descent.check()?;
        if self.batch == 0 || self.batch > 1 << 24 {
            return Err(Error::config("batch must be from 1 to 16,777,216"));
        }
        if self.cells_per_class == 0 {
            return Err(Error::config("cells_per_class must be at least 1"));
        }
        if !(0.0..=1.0).contains(&self.balance) {
            return Err(Error::config("balance must be from 0 to 1"));
        }
        match self.outputs {
            Outputs::Cosine { scale } if !(scale.is_finite() && scale > 0.0) => {
                Err(Error::config("scale must be above 0"))
            }
            _ => Ok(()),
        }
    }

    /// Outputs and inputs of the layer.
    pub fn shape(&self, task: &Task<'_>) -> [usize; 2] {
        let outputs = match self.outputs {
            Outputs::Classes => task.seen().len(),
            Outputs::Dot { .. } | Outputs::Cosine { .. } => task.embeddings.dim(),
        };
        [outputs, task.features.channels()]
    }
}

/// Embeddings as the engine keeps them.
pub(super) struct Space<T> {
    rows: T,
    cosine_scale: Option<f32>,
}

/// Logits, and what their derivative needs.
pub(super) struct Logits<T> {
    pub values: T,
    directions: Option<Normalised<T>>,
}

impl<T: Clone> Space<T> {
    /// The embeddings of some classes.
    pub fn new<E: Engine<f32, Tensor = T>>(
        engine: &E,
        task: &Task<'_>,
        classes: &[usize],
        outputs: Outputs,
    ) -> Result<Option<Space<T>>> {
        let (normalise, cosine_scale) = match outputs {
            Outputs::Classes => return Ok(None),
            Outputs::Dot { normalise } => (normalise, None),
            Outputs::Cosine { scale } => (true, Some(scale)),
        };
        let rows = embeddings_of(task.embeddings, classes, normalise)?;
        let rows = engine.upload(rows.shape(), rows.values())?;
        Ok(Some(Space { rows, cosine_scale }))
    }

    /// Logits of a layer over `x`.
    pub fn logits<E>(&self, engine: &E, layer: &Linear<T>, x: &T) -> Result<Logits<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        let Some(scale) = self.cosine_scale else {
            // Products of products: with the classes' own rows there are fewer numbers.
            let weight = engine.product(Product::Nn, &self.rows, layer.weight.value(), None)?;
            let bias = engine.product(Product::Nt, layer.bias.value(), &self.rows, None)?;
            let values = engine.product(Product::Nt, x, &weight, Some(&bias))?;
            return Ok(Logits { values, directions: None });
        };
        let directions = engine.normalise(&layer.forward(engine, x)?)?;
        let cosines = engine.product(Product::Nt, &directions.rows, &self.rows, None)?;
        let values = scaled(engine, &cosines, scale)?;
        Ok(Logits { values, directions: Some(directions) })
    }

    /// The gradients by the layer, given that by the logits.
    pub fn gradients<E>(
        &self,
        engine: &E,
        layer: &Linear<T>,
        x: &T,
        (logits, gradient): (&Logits<T>, &T),
    ) -> Result<LinearGradients<T>>
    where
        E: Engine<f32, Tensor = T>,
    {
        if let (Some(directions), Some(scale)) = (&logits.directions, self.cosine_scale) {
            let gradient = engine.product(Product::Nn, gradient, &self.rows, None)?;
            let gradient = engine.normalise_backward(directions, &gradient)?;
            return layer.gradients(engine, x, &scaled(engine, &gradient, scale)?);
        }
        let of_rows = engine.product(Product::Tn, gradient, x, None)?;
        let of_biases = engine.column_sums(gradient)?;
        Ok(LinearGradients {
            weight: engine.product(Product::Tn, &self.rows, &of_rows, None)?,
            bias: engine.product(Product::Nn, &of_biases, &self.rows, None)?,
        })
    }
}

fn scaled<E: Engine<f32>>(engine: &E, x: &E::Tensor, factor: f32) -> Result<E::Tensor> {
    let shape = engine.shape(x);
    let mut result = engine.upload(shape, &vec![0.0; shape[0] * shape[1]])?;
    engine.add_scaled(&mut result, factor, x)?;
    Ok(result)
}

/// Cells of a step.
pub(super) struct Batch {
    /// Features as they are.
    pub rows: Matrix<f32>,
    /// Place of each cell's class among the seen ones.
    pub labels: Vec<i32>,
}

/// A layer that is being trained.
pub(super) struct SoftmaxStage<'s, E: Engine<f32>> {
    pub engine: &'s E,
    pub layer: Linear<E::Tensor>,
    pub space: Option<Space<E::Tensor>>,
    pub scaling: Scaling,
    settings: Softmax,
    seed: u64,
    bag: Bag,
    /// Place of each class among the seen ones.
    places: Vec<i32>,
    chances: Chances,
}

impl<'s, E: Engine<f32>> SoftmaxStage<'s, E> {
    pub fn new(engine: &'s E, task: &Task<'_>, settings: Softmax) -> Result<SoftmaxStage<'s, E>> {
        settings.check()?;
        let bag = Bag::collect(task, task.inductive(), settings.cells_per_class, BAG)?;
        let scaling = Scaling::of(&bag.rows)?;
        let layer = start(engine, task, &settings)?;
        let seen = task.seen();
        let space = Space::new(engine, task, &seen, settings.outputs)?;
        let mut places = vec![-1; task.class_count()];
        for (place, &class) in (0..).zip(&seen) {
            places.iter_mut().skip(class).take(1).for_each(|value| *value = place);
        }
        let chances = bag.chances(settings.balance);
        let seed = task.seed;
        Ok(SoftmaxStage { engine, layer, space, scaling, settings, seed, bag, places, chances })
    }

    /// The cells of a step.
    pub fn batch(&self, step: u64) -> Result<Batch> {
        let draw = Draw { seed: self.seed, step: step as u32, stream: BATCH };
        let count = self.settings.batch;
        let noise = self.engine.noise([count, 2], Noise::Uniform, draw)?;
        let noise = self.engine.download(&noise)?;
        let mut values = Vec::with_capacity(count * self.bag.rows.shape()[1]);
        let mut labels = Vec::with_capacity(count);
        for pair in noise.chunks_exact(2) {
            let &[which, cell] = pair else { continue };
            let (class, cell) = self.chances.cell(which, cell);
            let row = self.bag.rows.row(cell).unwrap_or_default();
            values.extend_from_slice(row);
            labels.push(self.places.get(class).copied().unwrap_or(-1));
        }
        let rows = Matrix::new([count, self.bag.rows.shape()[1]], values)?;
        Ok(Batch { rows, labels })
    }

    /// Logits of a layer over scaled features.
    pub fn logits(&self, scaled: &E::Tensor) -> Result<Logits<E::Tensor>> {
        match &self.space {
            Some(space) => space.logits(self.engine, &self.layer, scaled),
            None => {
                let values = self.layer.forward(self.engine, scaled)?;
                Ok(Logits { values, directions: None })
            }
        }
    }

    /// Steps the layer on a batch. `add` may add to the gradient by the logits, and to the report.
    pub fn step_on(
        &mut self,
        batch: &Batch,
        step: u64,
        add: impl FnOnce(&E::Tensor, &mut E::Tensor, &mut Report) -> Result<()>,
    ) -> Result<Report> {
        let mut rows = batch.rows.clone();
        self.scaling.apply(&mut rows);
        let x = self.engine.upload(rows.shape(), rows.values())?;
        let logits = self.logits(&x)?;
        let targets = Targets { labels: &batch.labels, class_weights: None, row_weights: None };
        let loss = self.engine.cross_entropy(&logits.values, &targets)?;
        let mut report = vec![("loss", loss.value)];
        let mut gradient = loss.gradient;
        add(&logits.values, &mut gradient, &mut report)?;
        if let Some(&(loss, _)) = report.iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NotFinite { loss, step });
        }
        let gradients = match &self.space {
            Some(space) => space.gradients(self.engine, &self.layer, &x, (&logits, &gradient))?,
            None => self.layer.gradients(self.engine, &x, &gradient)?,
        };
        self.settings.descent.step(self.engine, &mut self.layer, &gradients, step)?;
        Ok(report)
    }

    /// Weights and biases for the features as they are.
    pub fn folded(&self) -> Result<(Matrix<f32>, Matrix<f32>)> {
        let download = |tensor: &E::Tensor| -> Result<Matrix<f32>> {
            Ok(Matrix::new(self.engine.shape(tensor), self.engine.download(tensor)?)?)
        };
        let weight = download(self.layer.weight.value())?;
        self.scaling.folded(&weight, &download(self.layer.bias.value())?)
    }
}

impl<E: Engine<f32>> Stage for SoftmaxStage<'_, E> {
    fn steps(&self) -> u64 {
        self.settings.descent.steps
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let batch = self.batch(step)?;
        self.step_on(&batch, step, |_, _, _| Ok(()))
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        self.layer.save(self.engine, "layer", &mut state)?;
        state.put("mean", self.scaling.mean.clone());
        state.put("deviation", self.scaling.deviation.clone());
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let layer = Linear::load(self.engine, "layer", self.layer.shape(), state)?;
        self.scaling = scaling_of(state, layer.shape()[1])?;
        self.layer = layer;
        Ok(())
    }
}

/// A layer before its first step. Products start at 0: the loss is convex, and what is random at
/// the start would stay in those directions of the features that only unseen classes have.
/// Cosines have no derivative at 0, and start close to it.
fn start<E: Engine<f32>>(
    engine: &E,
    task: &Task<'_>,
    settings: &Softmax,
) -> Result<Linear<E::Tensor>> {
    let draw = Draw { seed: task.seed, step: 0, stream: START };
    let shape = settings.shape(task);
    match settings.outputs {
        Outputs::Classes | Outputs::Dot { .. } => {
            Linear::uniform(engine, shape, [0.0, 0.0], 0.0, draw)
        }
        Outputs::Cosine { .. } => Linear::uniform(engine, shape, [-1e-3, 1e-3], 0.0, draw),
    }
}

/// The scaling that a stage's state has.
pub(super) fn scaling_of(state: &State, channels: usize) -> Result<Scaling> {
    let mean = state.get_shaped("mean", [1, channels])?.clone();
    let deviation = state.get_shaped("deviation", [1, channels])?.clone();
    Ok(Scaling { mean, deviation })
}

/// Weights and biases of a stage's state, for the features as they are.
pub(super) fn folded_of(state: &State, shape: [usize; 2]) -> Result<(Matrix<f32>, Matrix<f32>)> {
    let weight = state.get_shaped("layer.weight", shape)?;
    let bias = state.get_shaped("layer.bias", [1, shape[0]])?;
    scaling_of(state, shape[1])?.folded(weight, bias)
}
