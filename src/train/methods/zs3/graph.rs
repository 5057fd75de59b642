//! Graphs of the regions of pictures, and the generator over them (methods.md 2.7).

use super::Zs3;
use super::classify::ClassifierStage;
use super::generate::finite;
use super::layouts::Batch;
use super::prepared::{Prepared, Purpose, draw_at, pick, place, shares};
use super::settings::GraphSettings;
use crate::train::engine::{Engine, Kernel, Matrix, Mmd, MmdGroup};
use crate::train::error::{Error, Result};
use crate::train::layers::Generator;
use crate::train::pictures::labels_at;
use crate::train::stage::{Report, Stage, State};
use crate::train::task::{IGNORED, targets};
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

/// Name of the generator over graphs in a state.
pub(super) const GRAPH_GENERATOR: &str = "graph generator";

/// The regions of a plane of labels: cells of one label that touch, by sides or corners. Cells
/// without a label form regions too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regions {
    of_cell: Vec<usize>,
    labels: Vec<i32>,
    edges: BTreeSet<(usize, usize)>,
}

/// The first of the cells that are joined with one, found by halving paths.
fn root(parents: &mut [usize], cell: usize) -> usize {
    let mut at = cell;
    while let Some(&parent) = parents.get(at) {
        if parent == at {
            break;
        }
        let above = parents.get(parent).copied().unwrap_or(parent);
        if let Some(slot) = parents.get_mut(at) {
            *slot = above;
        }
        at = above;
    }
    at
}

/// Pairs of cells that touch, each once.
fn touching(grid: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    let [rows, columns] = grid;
    (0..rows * columns).flat_map(move |cell| {
        let (row, column) = (cell / columns, cell % columns);
        let (right, below) = (column + 1 < columns, row + 1 < rows);
        let steps = [
            (right, 1),
            (below && column > 0, columns.saturating_sub(1)),
            (below, columns),
            (below && right, columns + 1),
        ];
        steps.into_iter().filter(|step| step.0).map(move |step| (cell, cell + step.1))
    })
}

impl Regions {
    /// The regions of labels `[rows * columns]`, numbered in the order of their first cells.
    /// Labels that are missing count as [`IGNORED`]. Takes memory for the grid only.
    pub fn of(labels: &[i32], grid: [usize; 2]) -> Regions {
        let cells = grid[0] * grid[1];
        let label = |cell: usize| labels.get(cell).copied().unwrap_or(IGNORED);
        let mut parents: Vec<usize> = (0..cells).collect();
        for (one, other) in touching(grid).filter(|pair| label(pair.0) == label(pair.1)) {
            let (one, other) = (root(&mut parents, one), root(&mut parents, other));
            // The earlier cell stays the root, so that roots are first cells.
            if let Some(slot) = parents.get_mut(one.max(other)) {
                *slot = one.min(other);
            }
        }
        let mut numbers = vec![usize::MAX; cells];
        let (mut of_cell, mut of_region) = (Vec::with_capacity(cells), Vec::new());
        for cell in 0..cells {
            let root = root(&mut parents, cell);
            if root == cell {
                if let Some(number) = numbers.get_mut(cell) {
                    *number = of_region.len();
                }
                of_region.push(label(cell));
            }
            of_cell.push(numbers.get(root).copied().unwrap_or_default());
        }
        let number = |cell: usize| of_cell.get(cell).copied().unwrap_or_default();
        let pairs = touching(grid).map(|(one, other)| (number(one), number(other)));
        let ordered = pairs.map(|(one, other)| (one.min(other), one.max(other)));
        let edges = ordered.filter(|(one, other)| one != other).collect();
        Regions { of_cell, labels: of_region, edges }
    }

    /// Region of each cell.
    pub fn of_cell(&self) -> &[usize] {
        &self.of_cell
    }

    /// Label of each region.
    pub fn labels(&self) -> &[i32] {
        &self.labels
    }

    /// `[regions, regions]`: 1 where two regions touch, or `D^-1/2 (A + I) D^-1/2` of that. Its
    /// memory grows with the square of the regions.
    ///
    /// # Errors
    /// Those of the engine, without regions.
    pub fn adjacency(&self, normalised: bool) -> Result<Matrix<f32>> {
        let count = self.labels.len();
        let mut matrix = Matrix::zeros([count, count])?;
        let mut degrees = vec![1.0f32; count];
        for &(one, other) in &self.edges {
            for (from, to) in [(one, other), (other, one)] {
                set(&mut matrix, from, to, 1.0);
                degrees.get_mut(from).into_iter().for_each(|degree| *degree += 1.0);
            }
        }
        if !normalised {
            return Ok(matrix);
        }
        (0..count).for_each(|region| set(&mut matrix, region, region, 1.0));
        for (row, degree) in matrix.rows_mut().zip(&degrees) {
            for (value, other) in row.iter_mut().zip(&degrees) {
                *value /= libm::sqrtf(degree * other);
            }
        }
        Ok(matrix)
    }

    /// `[regions, channels]`: the mean of each region's rows, or its first cell's.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn features(&self, rows: &Matrix<f32>, first_pixel: bool) -> Result<Matrix<f32>> {
        let channels = rows.shape()[1];
        let mut counts = vec![0usize; self.labels.len()];
        let mut sums = vec![0.0f64; self.labels.len() * channels];
        for (row, &region) in rows.rows().zip(&self.of_cell) {
            let Some(count) = counts.get_mut(region) else { continue };
            if first_pixel && *count > 0 {
                continue;
            }
            *count += 1;
            let sum = sums.get_mut(region * channels..(region + 1) * channels);
            let pairs = sum.unwrap_or_default().iter_mut().zip(row);
            pairs.for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let mut means = Matrix::zeros([self.labels.len(), channels])?;
        let outputs = means.rows_mut().zip(sums.chunks_exact(channels)).zip(&counts);
        for ((mean, sum), count) in outputs {
            let count = (*count).max(1) as f64;
            mean.iter_mut().zip(sum).for_each(|(mean, sum)| *mean = (sum / count) as f32);
        }
        Ok(means)
    }

    /// The mean of the rows of `embeddings` that the cells' classes have, if a region's class is
    /// that of `labels`; cells without a class do not count, and without any it is 0.
    pub fn context(&self, labels: &[i32], embeddings: &Matrix<f32>) -> Vec<f32> {
        let mut sums = vec![0.0f64; embeddings.shape()[1]];
        let mut count = 0usize;
        for region in &self.of_cell {
            let class = labels.get(*region).and_then(|label| usize::try_from(*label).ok());
            let Some(row) = class.and_then(|class| embeddings.row(class)) else { continue };
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            count += 1;
        }
        sums.iter().map(|sum| (sum / count.max(1) as f64) as f32).collect()
    }
}

fn set(matrix: &mut Matrix<f32>, row: usize, column: usize, value: f32) {
    let slot = matrix.row_mut(row).and_then(|row| row.get_mut(column));
    slot.into_iter().for_each(|slot| *slot = value);
}

/// What a picture's regions are generated from: their embeddings, and beside them its context if
/// that takes the place of noise. Regions without a label have the embedding of class 0, as
/// published.
fn inputs_of(
    embeddings: &Matrix<f32>,
    regions: &Regions,
    labels: &[i32],
    context_aware: bool,
) -> Result<Matrix<f32>> {
    let class = |label: &i32| usize::try_from(*label).unwrap_or(0);
    let own = pick(embeddings, labels.iter().map(class))?;
    if !context_aware {
        return Ok(own);
    }
    let context = regions.context(labels, embeddings);
    let [count, dim] = own.shape();
    let values = own.rows().flat_map(|row| row.iter().chain(&context)).copied().collect();
    Ok(Matrix::new([count, 2 * dim], values)?)
}

/// Trains the generator over graphs on the regions of random pictures.
pub(super) struct GraphStage<'s, 'a, E: Engine<f32>> {
    zs3: &'s Zs3<'a, E>,
    prepared: &'s Prepared,
    settings: &'s GraphSettings,
    kernel: Kernel,
    generator: Generator<E::Tensor>,
    stage: u32,
}

impl<'s, 'a, E: Engine<f32>> GraphStage<'s, 'a, E> {
    pub(super) fn new(zs3: &'s Zs3<'a, E>, stage: u32) -> Result<GraphStage<'s, 'a, E>> {
        let settings = zs3.settings.graph.as_ref();
        let settings = settings.ok_or_else(|| Error::config("there are no settings of a graph"))?;
        let form = zs3.graph_form();
        let draw = draw_at(zs3.task.seed, stage, 0, Purpose::Weights)?;
        let generator = Generator::new(zs3.engine, form, draw)?;
        let kernel = zs3.settings.kernel_for(form.channels)?;
        Ok(GraphStage { zs3, prepared: zs3.prepared()?, settings, kernel, generator, stage })
    }

    fn draw(&self, step: u64, purpose: Purpose) -> Result<crate::train::engine::Draw> {
        draw_at(self.zs3.task.seed, self.stage, step, purpose)
    }
}

impl<E: Engine<f32>> Stage for GraphStage<'_, '_, E> {
    fn steps(&self) -> u64 {
        self.settings.steps
    }

    /// A picture with a single region is passed over, without a report.
    fn step(&mut self, step: u64) -> Result<Report> {
        const LOSS: &str = "graph mmd";
        let (task, engine) = (self.zs3.task, self.zs3.engine);
        let picture = self.zs3.picture_at(self.draw(step, Purpose::Pictures)?);
        let labels = targets(&task.labels(picture)?);
        let regions = Regions::of(&labels, task.features.grid());
        let count = regions.labels.len();
        if count < 2 {
            return Ok(Vec::new());
        }
        let rows = self.prepared.rows(task, picture)?;
        let real = regions.features(&rows, self.settings.first_pixel)?;
        let real = engine.upload(real.shape(), real.values())?;
        let adjacency = regions.adjacency(self.settings.normalised)?;
        let adjacency = engine.upload(adjacency.shape(), adjacency.values())?;
        let context_aware = self.settings.context_aware;
        let embeddings = &self.prepared.embeddings;
        let inputs = inputs_of(embeddings, &regions, &regions.labels, context_aware)?;
        let draw = self.draw(step, Purpose::GraphNoise)?;
        let trace = self.generator.generate(engine, &inputs, draw, Some(&adjacency))?;
        let groups = [MmdGroup { generated: 0..count, real: 0..count }];
        let settings = Mmd { kernel: &self.kernel, groups: &groups, real_weights: None };
        let found = engine.mmd(&trace.output, &real, &settings)?;
        let loss = finite(engine.read(&found.values)?.iter().sum(), LOSS, step)?;
        let gradients =
            self.generator.gradients(engine, &trace, &found.gradient, draw, Some(&adjacency))?;
        self.generator.step(engine, &gradients, self.zs3.settings.generator.adam())?;
        Ok(vec![(LOSS, loss)])
    }

    fn state(&self) -> Result<State> {
        let mut state = State::default();
        self.generator.save(self.zs3.engine, GRAPH_GENERATOR, &mut state)?;
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let form = *self.generator.form();
        self.generator = Generator::load(self.zs3.engine, GRAPH_GENERATOR, form, state)?;
        Ok(())
    }
}

/// Random numbers that a graph takes.
const SHARES: usize = 4;

/// The labels of a picture's regions, and whether their features are to be generated: a region of
/// a picture without unseen classes becomes one if the dice say so.
fn relabelled<E: Engine<f32>>(
    stage: &ClassifierStage<'_, '_, E>,
    regions: &Regions,
    shares: &[f32],
) -> (Vec<i32>, bool) {
    let mut labels = regions.labels.clone();
    let unseen = stage.zs3.task.unseen();
    let share = |at: usize| shares.get(at).copied().unwrap_or_default();
    if share(0) >= stage.zs3.settings.classifier.unseen_share {
        return (labels, false);
    }
    let known = labels.iter_mut().filter(|label| **label != IGNORED);
    let mut known: Vec<&mut i32> = known.collect();
    let chosen = place(share(1), known.len());
    let class = unseen.get(place(share(2), unseen.len()));
    if let (Some(label), Some(class)) = (known.get_mut(chosen), class) {
        **label = *class as i32;
    }
    (labels, true)
}

/// All regions of some pictures, real ones or generated ones, for the classifier.
pub(super) fn node_batch<E: Engine<f32>>(
    stage: &ClassifierStage<'_, '_, E>,
    generator: &Generator<E::Tensor>,
    step: u64,
) -> Result<Batch<E::Tensor>> {
    let zs3 = stage.zs3;
    let settings = zs3.settings.graph.clone().unwrap_or_default();
    let count = settings.pictures_per_step;
    let pictures = zs3.graph_pictures();
    let choices = shares(stage.draw(step, Purpose::Graphs)?, count);
    let dice = shares(stage.draw(step, Purpose::Regions)?, count * SHARES);
    let (mut values, mut classes) = (Vec::new(), Vec::new());
    let mut generated: Vec<(Vec<i32>, Matrix<f32>)> = Vec::new();
    let mut inputs = Vec::new();
    for (choice, dice) in choices.iter().zip(dice.chunks_exact(SHARES)) {
        let picture = pictures.get(place(*choice, pictures.len())).copied().unwrap_or_default();
        let (regions, is_true) = zs3.graph_regions(picture)?;
        let (labels, is_generated) = match (zs3.truths.is_some(), is_true) {
            (true, is_true) => (regions.labels.clone(), is_true),
            (false, _) => relabelled(stage, &regions, dice),
        };
        if is_generated {
            let embeddings = &stage.prepared.embeddings;
            let own = inputs_of(embeddings, &regions, &labels, settings.context_aware)?;
            inputs.extend(own.into_values());
            generated.push((labels, regions.adjacency(settings.normalised)?));
            continue;
        }
        let rows = stage.prepared.rows(zs3.task, picture)?;
        values.extend(regions.features(&rows, settings.first_pixel)?.into_values());
        classes.extend(labels);
    }
    if !generated.is_empty() {
        let labels: Vec<i32> = generated.iter().flat_map(|(labels, _)| labels).copied().collect();
        let inputs = Matrix::new([labels.len(), generator.form().dim], inputs)?;
        let adjacency = side_by_side(&generated, labels.len())?;
        let adjacency = zs3.engine.upload(adjacency.shape(), adjacency.values())?;
        let draw = stage.draw(step, Purpose::GraphNoise)?;
        let trace = generator.generate(zs3.engine, &inputs, draw, Some(&adjacency))?;
        values.extend(zs3.engine.download(&trace.output)?);
        classes.extend(labels);
    }
    let features = zs3.engine.upload([classes.len(), zs3.task.features.channels()], &values)?;
    Ok(Batch { features, classes, resize: None, divisor: 1.0 })
}

/// The graphs as one, without edges between them.
fn side_by_side(graphs: &[(Vec<i32>, Matrix<f32>)], nodes: usize) -> Result<Matrix<f32>> {
    let mut whole = Matrix::zeros([nodes, nodes])?;
    let mut first = 0;
    for (_, graph) in graphs {
        let count = graph.shape()[0];
        for (row, values) in (first..).zip(graph.rows()) {
            let slot = whole.row_mut(row).and_then(|row| row.get_mut(first..first + count));
            slot.into_iter().for_each(|slot| slot.copy_from_slice(values));
        }
        first += count;
    }
    Ok(whole)
}

impl<E: Engine<f32>> Zs3<'_, E> {
    /// Pictures whose graphs the classifier sees.
    fn graph_pictures(&self) -> Vec<usize> {
        match self.truths {
            Some(truths) => (0..truths.len()).collect(),
            None => self.task.inductive().to_vec(),
        }
    }

    /// The regions of a picture, and whether they are those of its true labels.
    fn graph_regions(&self, picture: usize) -> Result<(Regions, bool)> {
        let (task, grid) = (self.task, self.task.features.grid());
        let (Some(truths), Ok(_)) = (self.truths, task.dropped().binary_search(&picture)) else {
            return Ok((Regions::of(&targets(&task.labels(picture)?), grid), false));
        };
        let frame = task.roles.for_evaluation(&truths.labels(picture)?)?;
        Ok((Regions::of(&targets(&labels_at(&frame, grid)?), grid), true))
    }
}
