//! What all stages share: real features of seen classes, and random choices by counter.

use crate::math::random::Random;
use crate::train::engine::{Draw, Matrix};
use crate::train::error::{Error, Result};
use crate::train::methods::{Bag, Scaling};
use crate::train::task::Task;
use std::vec::Vec;

/// Stream of the bag; those of stages start at [`FIRST_STREAM`].
const BAG_STREAM: u32 = 0x0fff;
const FIRST_STREAM: u32 = 0x1000;
/// Streams of a stage.
const STREAMS_PER_STAGE: u32 = 64;

/// What random numbers of a stage are for. Each takes this stream and, where it says so, the next.
#[derive(Clone, Copy)]
pub(in crate::train::methods) enum Purpose {
    /// First weights; three streams.
    Weights = 0,
    /// Classes of a step.
    Classes = 4,
    /// Real cells of a step.
    Cells = 5,
    /// Noise and dropout of the generator; two streams.
    Noise = 8,
    /// Pictures of a step.
    Pictures = 10,
    /// Where unseen classes are put into them.
    Places = 11,
    /// Pictures of a step whose graphs are used.
    Graphs = 12,
    /// Regions that become unseen classes.
    Regions = 13,
    /// Noise and dropout of the graph's generator; two streams.
    GraphNoise = 14,
    /// Residuals of the generator in the model.
    Residuals = 17,
    /// Pseudo-labelled cells of a step.
    Pseudo = 16,
    /// Noise and dropout for pseudo-labelled classes; two streams.
    PseudoNoise = 18,
}

/// Random numbers of step `step` of a stage.
pub(in crate::train::methods) fn draw_at(
    seed: u64,
    stage: u32,
    step: u64,
    purpose: Purpose,
) -> Result<Draw> {
    let step = u32::try_from(step).map_err(|_| Error::config("a stage of too many steps"))?;
    let stream = FIRST_STREAM + stage * STREAMS_PER_STAGE + purpose as u32;
    Ok(Draw { seed, step, stream })
}

/// `count` numbers uniform in 0 to 1.
pub(in crate::train::methods) fn shares(draw: Draw, count: usize) -> Vec<f32> {
    let random = Random::new(draw.seed, &[]);
    let blocks = 0u32..u32::try_from(count.div_ceil(4)).unwrap_or(u32::MAX);
    let numbers = blocks.flat_map(|block| random.uniform(block, draw.step, draw.stream));
    numbers.take(count).collect()
}

/// The whole number below `bound` that a share of it stands for; 0 without any.
pub(in crate::train::methods) fn place(share: f32, bound: usize) -> usize {
    // In f64: f32 cannot count beyond 16 million.
    let place = (f64::from(share) * bound as f64) as usize;
    place.min(bound.saturating_sub(1))
}

/// Rows of a matrix in the given order. What there is not is left out.
pub(in crate::train::methods) fn pick(
    rows: &Matrix<f32>,
    indices: impl Iterator<Item = usize>,
) -> Result<Matrix<f32>> {
    let mut values = Vec::new();
    let mut count = 0;
    for row in indices.filter_map(|index| rows.row(index)) {
        values.extend_from_slice(row);
        count += 1;
    }
    Ok(Matrix::new([count, rows.shape()[1]], values)?)
}

/// Real features of seen classes.
pub(in crate::train::methods) struct Prepared {
    /// The cells, scaled.
    pub bag: Bag,
    /// What was done to them.
    pub scaling: Scaling,
    /// Mean and deviation of each class's features as they are, `[classes of the data set,
    /// channels]`; 0 for classes that are not seen.
    pub statistics: [Matrix<f32>; 2],
    /// Mean of each class's scaled features, `[classes of the data set, channels]`; what there is
    /// for classes that are not seen has no meaning.
    means: Matrix<f32>,
    /// Embeddings of all classes of the data set.
    pub embeddings: Matrix<f32>,
}

impl Prepared {
    pub(super) fn new(task: &Task<'_>, limit: usize, standardise: bool) -> Result<Prepared> {
        let mut bag = Bag::collect(task, task.inductive(), limit, BAG_STREAM)?;
        let statistics = statistics(&bag)?;
        let scaling = match standardise {
            true => Scaling::of(&bag.rows)?,
            false => Scaling::none(task.features.channels())?,
        };
        scaling.apply(&mut bag.rows);
        let mut means = statistics[0].clone();
        scaling.apply(&mut means);
        let table = task.embeddings;
        let embeddings = Matrix::new([table.len(), table.dim()], table.values().to_vec())?;
        Ok(Prepared { bag, scaling, statistics, means, embeddings })
    }

    /// Scaled features of a picture.
    pub(in crate::train::methods) fn rows(
        &self,
        task: &Task<'_>,
        picture: usize,
    ) -> Result<Matrix<f32>> {
        let mut rows = task.features.rows(picture, 0)?;
        self.scaling.apply(&mut rows);
        Ok(rows)
    }

    /// `[count, channels]`: what scaled features of random cells differ by from their class's mean.
    /// The cells are of these classes, all equally often, and have repeats.
    pub(in crate::train::methods) fn residuals(
        &self,
        classes: &[usize],
        count: usize,
        draw: Draw,
    ) -> Result<Matrix<f32>> {
        let shares = shares(draw, 2 * count);
        let mut rows = Matrix::zeros([count, self.means.shape()[1]])?;
        for (row, dice) in rows.rows_mut().zip(shares.chunks_exact(2)) {
            let &[which, cell] = dice else { continue };
            let Some(&class) = classes.get(place(which, classes.len())) else { continue };
            let cells = self.cells_of(class, &[cell]);
            let features = cells.first().and_then(|cell| self.bag.rows.row(*cell));
            let (Some(features), Some(mean)) = (features, self.means.row(class)) else { continue };
            let pairs = features.iter().zip(mean);
            row.iter_mut().zip(pairs).for_each(|(value, (one, mean))| *value = one - mean);
        }
        Ok(rows)
    }

    /// Numbers of `count` random cells of a class, with repeats.
    pub(in crate::train::methods) fn cells_of(&self, class: usize, shares: &[f32]) -> Vec<usize> {
        let cells = self.bag.classes.get(class).cloned().unwrap_or_default();
        shares.iter().map(|share| cells.start + place(*share, cells.len())).collect()
    }
}

fn statistics(bag: &Bag) -> Result<[Matrix<f32>; 2]> {
    let channels = bag.rows.shape()[1];
    let mut means = Matrix::zeros([bag.classes.len(), channels])?;
    let mut deviations = means.clone();
    let outputs = means.rows_mut().zip(deviations.rows_mut());
    for (cells, (mean, deviation)) in bag.classes.iter().zip(outputs) {
        if cells.is_empty() {
            continue;
        }
        let of_class = Scaling::of(&pick(&bag.rows, cells.clone())?)?;
        mean.copy_from_slice(of_class.mean.values());
        deviation.copy_from_slice(of_class.deviation.values());
    }
    Ok([means, deviations])
}
