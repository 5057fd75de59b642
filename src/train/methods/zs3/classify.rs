//! The stage that trains the classifier (methods.md 2.6).

use super::layouts::{Batch, layout_batch};
use super::prepared::{Prepared, Purpose, draw_at, pick, place, shares};
use super::settings::{InitChoice, Layout};
use super::{Part, Zs3, generate, graph};
use crate::train::engine::{Draw, Engine, Matrix, Targets};
use crate::train::error::{Error, Result};
use crate::train::layers::{Generator, Linear, LinearGradients};
use crate::train::methods::bag::Chances;
use crate::train::stage::{Report, Stage, State};
use crate::train::task::IGNORED;
use std::format;
use std::vec;
use std::vec::Vec;

/// Name of the classifier in a state.
pub(super) const CLASSIFIER: &str = "classifier";
/// Name of the running mean of its numbers.
const AVERAGE: &str = "average";

/// Real features with labels that a model guessed.
#[derive(Clone, Debug)]
pub(in crate::train::methods) struct PseudoRows {
    /// `[cells, channels]`, scaled.
    pub rows: Matrix<f32>,
    /// Class of each.
    pub classes: Vec<usize>,
    /// How many are drawn per step.
    pub batch: usize,
}

/// What a classifier is trained with.
pub(in crate::train::methods) struct Plan<T> {
    /// Number of the stage, for its random numbers.
    pub stage: u32,
    pub steps: u64,
    /// Classes of its rows.
    pub classes: Vec<usize>,
    /// Its first weights.
    pub layer: Linear<T>,
    /// Without one there are no generated features.
    pub generator: Option<Generator<T>>,
    pub graph: Option<Generator<T>>,
    pub layout: Layout,
    pub pseudo: Option<PseudoRows>,
    /// Decay of a running mean of the weights; 0 for none.
    pub decay: f32,
}

/// Trains a classifier on real features and generated ones.
pub(in crate::train::methods) struct ClassifierStage<'s, 'a, E: Engine<f32>> {
    pub zs3: &'s Zs3<'a, E>,
    pub prepared: &'s Prepared,
    pub plan: Plan<E::Tensor>,
    /// Row of each class of the data set.
    rows: Vec<i32>,
    /// Weight of each row in the loss.
    weights: Vec<f32>,
    /// Running mean of weight and bias.
    average: Option<[E::Tensor; 2]>,
    chances: Chances,
}

impl<'s, 'a, E: Engine<f32>> ClassifierStage<'s, 'a, E> {
    pub(in crate::train::methods) fn new(
        zs3: &'s Zs3<'a, E>,
        plan: Plan<E::Tensor>,
    ) -> Result<ClassifierStage<'s, 'a, E>> {
        let prepared = zs3.prepared()?;
        let mut rows = vec![IGNORED; zs3.task.class_count()];
        for (row, &class) in (0i32..).zip(&plan.classes) {
            if let Some(place) = rows.get_mut(class) {
                *place = row;
            }
        }
        let unseen = zs3.task.unseen();
        let heavy = zs3.settings.classifier.unseen_weight;
        let weight = |class| if unseen.contains(class) { heavy } else { 1.0 };
        let weights = plan.classes.iter().map(weight).collect();
        let value = |tensor: &E::Tensor| tensor.clone();
        let layer = &plan.layer;
        let average =
            (plan.decay > 0.0).then(|| [value(layer.weight.value()), value(layer.bias.value())]);
        let chances = prepared.bag.chances(zs3.settings.classifier.balance);
        Ok(ClassifierStage { zs3, prepared, plan, rows, weights, average, chances })
    }

    /// The stage that trains the rows of seen classes.
    pub(super) fn seen(zs3: &'s Zs3<'a, E>, stage: u32) -> Result<ClassifierStage<'s, 'a, E>> {
        let classes = zs3.task.seen();
        let shape = [classes.len(), zs3.task.features.channels()];
        let draw = draw_at(zs3.task.seed, stage, 0, Purpose::Weights)?;
        let plan = Plan {
            stage,
            steps: zs3.settings.classifier.warm_steps,
            layer: Linear::uniform(zs3.engine, shape, [0.0, 0.0], 0.0, draw)?,
            classes,
            generator: None,
            graph: None,
            layout: Layout::Bag,
            pseudo: None,
            decay: 0.0,
        };
        ClassifierStage::new(zs3, plan)
    }

    /// The stage that trains all rows for the first time.
    pub(in crate::train::methods) fn first(
        zs3: &'s Zs3<'a, E>,
        stage: u32,
        generator: Generator<E::Tensor>,
        done: &[State],
        decay: f32,
    ) -> Result<ClassifierStage<'s, 'a, E>> {
        let draw = draw_at(zs3.task.seed, stage, 0, Purpose::Weights)?;
        let plan = Plan {
            stage,
            steps: zs3.settings.classifier.steps,
            classes: zs3.classes(),
            layer: first_layer(zs3, draw, done)?,
            generator: Some(generator),
            graph: zs3.graph_generator(done)?,
            layout: zs3.settings.layout,
            pseudo: None,
            decay,
        };
        ClassifierStage::new(zs3, plan)
    }

    pub(super) fn draw(&self, step: u64, purpose: Purpose) -> Result<Draw> {
        draw_at(self.zs3.task.seed, self.plan.stage, step, purpose)
    }

    /// Numbers of random cells of the bag.
    fn real_cells(&self, step: u64) -> Result<Vec<usize>> {
        let settings = &self.zs3.settings.classifier;
        let cells = shares(self.draw(step, Purpose::Cells)?, settings.real_batch);
        let classes = shares(self.draw(step, Purpose::Classes)?, settings.real_batch);
        let pairs = classes.iter().zip(&cells);
        Ok(pairs.map(|(&class, &cell)| self.chances.cell(class, cell).1).collect())
    }

    /// Features without places: real, pseudo-labelled and generated ones.
    fn bag_batch(&self, step: u64) -> Result<Batch<E::Tensor>> {
        let cells = self.real_cells(step)?;
        let bag = &self.prepared.bag;
        let mut classes: Vec<i32> =
            cells.iter().filter_map(|cell| bag.labels.get(*cell).copied()).collect();
        let mut values = pick(&bag.rows, cells.into_iter())?.into_values();
        if let Some(pseudo) = &self.plan.pseudo {
            let numbers = shares(self.draw(step, Purpose::Pseudo)?, pseudo.batch);
            let count = pseudo.classes.len();
            let cells: Vec<usize> = match count {
                0 => Vec::new(),
                _ => numbers.iter().map(|share| place(*share, count)).collect(),
            };
            classes.extend(cells.iter().filter_map(|cell| pseudo.classes.get(*cell)).map(signed));
            values.extend(pick(&pseudo.rows, cells.into_iter())?.into_values());
        }
        if self.plan.generator.is_some() {
            let unseen = self.zs3.task.unseen();
            let wanted = self.zs3.settings.classifier.generated_batch;
            let wanted: Vec<usize> = unseen.iter().copied().cycle().take(wanted).collect();
            classes.extend(wanted.iter().map(signed));
            values.extend(self.generated(&wanted, step)?.into_values());
        }
        let shape = [classes.len(), self.prepared.bag.rows.shape()[1]];
        let features = self.zs3.engine.upload(shape, &values)?;
        Ok(Batch { features, classes, resize: None, divisor: 1.0 })
    }

    /// Generated features of classes.
    pub(super) fn generated(&self, classes: &[usize], step: u64) -> Result<Matrix<f32>> {
        let Some(generator) = &self.plan.generator else {
            return Err(Error::config("the classifier has no generator"));
        };
        if classes.is_empty() {
            return Ok(Matrix::zeros([0, self.prepared.bag.rows.shape()[1]])?);
        }
        let embeddings = pick(&self.prepared.embeddings, classes.iter().copied())?;
        let draw = self.draw(step, Purpose::Noise)?;
        let trace = generator.generate(self.zs3.engine, &embeddings, draw, None)?;
        self.zs3.matrix(&self.zs3.noisy(&trace.output, draw)?)
    }

    /// Loss and gradients of a batch.
    fn loss(&self, batch: &Batch<E::Tensor>) -> Result<(f64, LinearGradients<E::Tensor>)> {
        let engine = self.zs3.engine;
        let layer = &self.plan.layer;
        let logits = layer.forward(engine, &batch.features)?;
        let upsampled = batch.resize.map(|resize| engine.resize(&logits, &resize)).transpose()?;
        let row = |class: &i32| {
            let class = usize::try_from(*class).ok();
            class.and_then(|class| self.rows.get(class)).copied().unwrap_or(IGNORED)
        };
        let labels: Vec<i32> = batch.classes.iter().map(row).collect();
        let targets =
            Targets { labels: &labels, class_weights: Some(&self.weights), row_weights: None };
        let found = engine.cross_entropy(upsampled.as_ref().unwrap_or(&logits), &targets)?;
        let gradient = match batch.resize {
            Some(resize) => engine.resize_backward(&found.gradient, &resize)?,
            None => found.gradient,
        };
        let mut gradients = layer.gradients(engine, &batch.features, &gradient)?;
        if batch.divisor != 1.0 {
            scale(engine, &mut gradients, 1.0 / batch.divisor)?;
        }
        Ok((found.value / f64::from(batch.divisor), gradients))
    }

    fn move_average(&mut self) -> Result<()> {
        let decay = self.plan.decay;
        let engine = self.zs3.engine;
        let layer = &self.plan.layer;
        let Some([weight, bias]) = &mut self.average else { return Ok(()) };
        for (mean, now) in [(weight, layer.weight.value()), (bias, layer.bias.value())] {
            let before = mean.clone();
            engine.add_scaled(mean, decay - 1.0, &before)?;
            engine.add_scaled(mean, 1.0 - decay, now)?;
        }
        Ok(())
    }
}

fn signed(class: &usize) -> i32 {
    i32::try_from(*class).unwrap_or(IGNORED)
}

/// Multiplies gradients.
fn scale<E: Engine<f32>>(
    engine: &E,
    gradients: &mut LinearGradients<E::Tensor>,
    factor: f32,
) -> Result<()> {
    for tensor in [&mut gradients.weight, &mut gradients.bias] {
        let before = tensor.clone();
        engine.add_scaled(tensor, factor - 1.0, &before)?;
    }
    Ok(())
}

/// First weights of all rows: random, or those of seen classes from their stage and zeros.
fn first_layer<E: Engine<f32>>(
    zs3: &Zs3<'_, E>,
    draw: Draw,
    done: &[State],
) -> Result<Linear<E::Tensor>> {
    let (seen, classes) = (zs3.task.seen(), zs3.classes());
    let channels = zs3.task.features.channels();
    let shape = [classes.len(), channels];
    if zs3.settings.classifier.init == InitChoice::Unit {
        let weight = zs3.engine.noise(shape, crate::train::engine::Noise::Uniform, draw)?;
        let draw = Draw { stream: draw.stream + 1, ..draw };
        let bias = zs3.engine.noise([1, shape[0]], crate::train::engine::Noise::Uniform, draw)?;
        return Linear::of(zs3.engine, &zs3.matrix(&weight)?, &zs3.matrix(&bias)?);
    }
    let (mut weight, mut bias) = (Matrix::zeros(shape)?, Matrix::zeros([1, shape[0]])?);
    if let Some(state) = zs3.state_of(Part::Seen, done) {
        let name = format!("{CLASSIFIER}.weight");
        let weights = state.get_shaped(&name, [seen.len(), channels])?;
        let biases = state.get_shaped(&format!("{CLASSIFIER}.bias"), [1, seen.len()])?;
        let rows = classes.iter().zip(weight.rows_mut().zip(bias.values_mut()));
        for (class, (row, bias)) in rows {
            let Some(place) = seen.iter().position(|found| found == class) else { continue };
            row.copy_from_slice(weights.row(place).unwrap_or_default());
            *bias = biases.values().get(place).copied().unwrap_or_default();
        }
    }
    Linear::of(zs3.engine, &weight, &bias)
}

impl<E: Engine<f32>> Stage for ClassifierStage<'_, '_, E> {
    fn steps(&self) -> u64 {
        self.plan.steps
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        const LOSS: &str = "cross-entropy";
        let batch = match self.plan.layout {
            Layout::Bag => self.bag_batch(step)?,
            Layout::Synthetic | Layout::GtMap => layout_batch(self, step)?,
        };
        let (loss, mut gradients) = self.loss(&batch)?;
        let mut report = vec![(LOSS, generate::finite(loss, LOSS, step)?)];
        if let (Some(generator), Some(settings)) = (&self.plan.graph, &self.zs3.settings.graph) {
            let nodes = graph::node_batch(self, generator, step)?;
            let (loss, by_nodes) = self.loss(&nodes)?;
            let engine = self.zs3.engine;
            engine.add_scaled(&mut gradients.weight, settings.weight, &by_nodes.weight)?;
            engine.add_scaled(&mut gradients.bias, settings.weight, &by_nodes.bias)?;
            report.push(("graph cross-entropy", generate::finite(loss, LOSS, step)?));
        }
        let settings = &self.zs3.settings.classifier;
        let (decay, weight) = (settings.weight_decay, self.plan.layer.weight.value());
        settings.optimiser.add_decay(self.zs3.engine, &mut gradients.weight, decay, weight)?;
        let optimiser = settings.optimiser_at(step, self.plan.steps);
        self.plan.layer.step(self.zs3.engine, &gradients, &optimiser)?;
        self.move_average()?;
        Ok(report)
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        self.plan.layer.save(self.zs3.engine, CLASSIFIER, &mut state)?;
        if let Some([weight, bias]) = &self.average {
            state.put(&format!("{AVERAGE}.weight"), self.zs3.matrix(weight)?);
            state.put(&format!("{AVERAGE}.bias"), self.zs3.matrix(bias)?);
        }
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let engine = self.zs3.engine;
        let shape = self.plan.layer.shape();
        let layer = Linear::load(engine, CLASSIFIER, shape, state)?;
        if self.average.is_some() {
            let mean = Linear::load(engine, AVERAGE, shape, state)?;
            self.average = Some([mean.weight.value().clone(), mean.bias.value().clone()]);
        }
        self.plan.layer = layer;
        Ok(())
    }
}

impl<E: Engine<f32>> Zs3<'_, E> {
    /// The running mean of a classifier, or the classifier itself where none was kept.
    pub(in crate::train::methods) fn averaged(&self, state: &State) -> Result<Linear<E::Tensor>> {
        let shape = [self.classes().len(), self.task.features.channels()];
        if state.matrices.contains_key(&format!("{AVERAGE}.weight")) {
            return Linear::load(self.engine, AVERAGE, shape, state);
        }
        self.classifier(state)
    }
}
