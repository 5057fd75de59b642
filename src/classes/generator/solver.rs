//! Logistic regression by L-BFGS (Nocedal and Wright, "Numerical Optimization", 2nd edition,
//! algorithm 7.4) with a line search that knows the loss along a line exactly: the new class's
//! lead over the old ones is linear in the row, so a trial step costs one pass over the leads and
//! none over the samples.
//!
//! The unknowns are the weights of the scaled channels and then the bias. Sums over samples are
//! f64, sums over channels f32 in a fixed order.

use super::vector::{add, add_rows_bf16, dot_bf16};
use super::{Mix, Settings, Work};
use crate::arena::Arena;
use crate::limits::product;
use crate::math::pieces::{piece, piece_mut, pieces};
use crate::math::sums::dot;
use crate::status::{Result, Status};

/// Samples that one step passes over.
pub(super) const TILE: usize = 256;
/// Steps remembered by L-BFGS.
pub(super) const MEMORY: usize = 8;
/// Most trial steps of a line search.
pub(super) const TRIALS: usize = 8;
/// A line search ends at this share of the slope it began with.
const FLAT: f64 = 0.1;

pub(super) struct Solver<'a> {
    mix: Mix,
    l2: f64,
    tolerance: f64,
    /// Weights and bias, the gradient and the direction of search: (channels + 1) each.
    point: &'a mut [f32],
    gradient: &'a mut [f32],
    direction: &'a mut [f32],
    /// A tile's share of the gradient: (channels).
    partial: &'a mut [f32],
    /// The last steps and the changes of the gradient along them, the oldest overwritten first:
    /// (memory, channels + 1) each.
    steps: &'a mut [f32],
    changes: &'a mut [f32],
    /// 1 / (step * change) of each.
    inverses: [f64; MEMORY],
    /// Steps ever remembered.
    remembered: usize,
    /// Of each sample the new logit minus `log sum exp` of the old ones; while these are being
    /// summed up, their maximum.
    lead: &'a mut [f32],
    /// Change of the lead along the direction; before, the sum of exponentials.
    slope: &'a mut [f32],
    /// Bias of the old row being scored.
    offset: f32,
    /// Loss at `point` but for the penalty, and its second derivative by the bias.
    loss: f64,
    curvature: f64,
    search: Search,
}

/// A line search: the loss falls at `low` and, if there is such a place, rises at `high`.
#[derive(Clone, Copy)]
struct Search {
    at: f64,
    low: f64,
    high: f64,
    start_slope: f64,
    trials: usize,
}

impl Search {
    const START: Search =
        Search { at: 0.0, low: 0.0, high: f64::INFINITY, start_slope: 0.0, trials: 0 };
}

impl<'a> Solver<'a> {
    pub(super) fn carve(
        arena: &mut Arena<'a>,
        channels: usize,
        mix: Mix,
        settings: &Settings,
    ) -> Result<Solver<'a>> {
        let size = channels + 1;
        let history = product("history of the search", &[MEMORY, size])?;
        Ok(Solver {
            mix,
            l2: f64::from(settings.l2),
            tolerance: f64::from(settings.tolerance),
            point: arena.take(size)?,
            gradient: arena.take(size)?,
            direction: arena.take(size)?,
            partial: arena.take(channels)?,
            steps: arena.take(history)?,
            changes: arena.take(history)?,
            inverses: [0.0; MEMORY],
            remembered: 0,
            lead: arena.take(mix.count())?,
            slope: arena.take(mix.count())?,
            offset: 0.0,
            loss: 0.0,
            curvature: 0.0,
            search: Search::START,
        })
    }

    pub(super) fn begin(&mut self, mix: Mix) {
        self.mix = mix;
        self.point.fill(0.0);
        self.lead.fill(f32::NEG_INFINITY);
        self.slope.fill(0.0);
        self.steps.fill(0.0);
        self.changes.fill(0.0);
        self.remembered = 0;
    }

    /// The row as found: weights of the scaled channels, and the bias.
    pub(super) fn row(&self) -> (&[f32], f32) {
        split(self.point)
    }

    /// The loss, the penalty on the weights included.
    pub(super) fn loss(&self) -> f64 {
        let (weights, _) = self.row();
        self.loss + 0.5 * self.l2 * dot(weights, weights)
    }

    /// Makes `read`'s old row ready for [`Solver::score`]. `scales` are mean and deviation of each
    /// channel.
    pub(super) fn read_old(
        &mut self,
        read: impl FnOnce(&mut [f32]) -> f32,
        scales: impl Iterator<Item = (f32, f32)>,
    ) {
        let Some((_, weights)) = self.direction.split_last_mut() else { return };
        let mut bias = f64::from(read(weights));
        for (weight, (mean, deviation)) in weights.iter_mut().zip(scales) {
            bias += f64::from(*weight) * f64::from(mean);
            *weight *= deviation;
        }
        self.offset = bias as f32;
    }

    /// Adds the old row's logits of tile `tile` to the samples' `log sum exp`.
    pub(super) fn score(&mut self, tile: usize, samples: &[u16], work: &mut Work) {
        let (weights, _) = split(self.direction);
        let leads = self.lead.get_mut(tile * TILE..).unwrap_or_default();
        let sums = self.slope.get_mut(tile * TILE..).unwrap_or_default();
        let leads = leads.iter_mut().zip(sums);
        for (sample, (highest, sum)) in pieces(samples, weights.len()).zip(leads) {
            let logit = dot_bf16(sample, weights) + self.offset;
            let factor = libm::expf(-(logit - *highest).abs());
            (*highest, *sum) = match logit > *highest {
                true => (logit, *sum * factor + 1.0),
                false => (*highest, *sum + factor),
            };
        }
        count_products(work, samples);
        work.exponentials += (samples.len() / weights.len().max(1)) as u64;
    }

    /// Turns the sums of exponentials into leads of a row that is 0 but for the bias, which is the
    /// old classes' mean `log sum exp`.
    pub(super) fn start(&mut self) -> Result<()> {
        let mut mean = 0.0;
        let sums = self.lead.iter_mut().zip(self.slope.iter()).take(self.mix.count());
        for (at, (lead, &sum)) in sums.enumerate() {
            *lead += libm::logf(sum);
            mean += self.mix.weight(at) * f64::from(*lead);
        }
        if !mean.is_finite() {
            return Err(Status::InvalidArgument.about("classifier row of an old class"));
        }
        let bias = mean as f32;
        self.lead.iter_mut().for_each(|lead| *lead = bias - *lead);
        if let Some(place) = self.point.last_mut() {
            *place = bias;
        }
        self.begin_gradient();
        Ok(())
    }

    fn begin_gradient(&mut self) {
        self.gradient.fill(0.0);
        (self.loss, self.curvature) = (0.0, 0.0);
    }

    /// Adds tile `tile`'s share to the loss and its gradient.
    pub(super) fn descend(&mut self, tile: usize, samples: &[u16], work: &mut Work) {
        let Some((bias, weights)) = self.gradient.split_last_mut() else { return };
        let leads = self.lead.get(tile * TILE..self.mix.count()).unwrap_or_default();
        let mut factors = [0.0f32; TILE];
        let mut count = 0;
        let mut total = 0.0;
        for ((&lead, factor), at) in leads.iter().zip(&mut factors).zip(tile * TILE..) {
            let (positive, weight) = (self.mix.is_positive(at), self.mix.weight(at));
            let (wrong, loss) = miss(lead, positive);
            let signed = if positive { -wrong } else { wrong };
            *factor = (weight * f64::from(signed)) as f32;
            self.loss += weight * f64::from(loss);
            self.curvature += weight * f64::from(wrong * (1.0 - wrong));
            total += f64::from(*factor);
            count += 1;
        }
        self.partial.fill(0.0);
        add_rows_bf16(self.partial, factors.get(..count).unwrap_or_default(), samples);
        add(weights, 1.0, self.partial);
        *bias += total as f32;
        count_products(work, samples);
        work.exponentials += count as u64;
    }

    /// Chooses the next direction. `false` if the loss is as close to the least possible as the
    /// tolerance asks, as far as the gradient tells.
    pub(super) fn turn(&mut self) -> bool {
        let (point, gradient) = (self.point.split_last(), self.gradient.split_last_mut());
        if let (Some((_, point)), Some((_, gradient))) = (point, gradient) {
            add(gradient, self.l2 as f32, point);
        }
        self.remember();
        // How far the loss can fall where its second derivative is at least that of the penalty
        // or, along the bias, what it is here.
        let (weights, bias) = split(self.gradient);
        let by_weights = dot(weights, weights) / self.l2;
        let by_bias = f64::from(bias) * f64::from(bias) / self.curvature.max(1e-30);
        if by_weights + by_bias <= 2.0 * self.tolerance * self.loss() {
            return false;
        }
        self.aim();
        self.search = Search::START;
        true
    }

    /// Completes the last step's change of the gradient.
    fn remember(&mut self) {
        let (slot, size) = (self.remembered % MEMORY, self.point.len());
        // Before the first step both are 0.
        let step = piece(self.steps, slot, size).unwrap_or_default();
        let Some(change) = piece_mut(self.changes, slot, size) else { return };
        add(change, 1.0, self.gradient);
        let product = dot(step, change);
        if product > 1e-10 * dot(change, change)
            && let Some(inverse) = self.inverses.get_mut(slot)
        {
            *inverse = 1.0 / product;
            self.remembered += 1;
        }
    }

    /// The direction: minus the gradient times L-BFGS's estimate of the inverse of the loss's
    /// second derivative.
    fn aim(&mut self) {
        let size = self.point.len();
        for (value, &gradient) in self.direction.iter_mut().zip(self.gradient.iter()) {
            *value = -gradient;
        }
        let known = self.remembered.min(MEMORY);
        let pair = |back: usize| {
            let slot = (self.remembered + MEMORY - 1 - back) % MEMORY;
            let inverse = self.inverses.get(slot).copied().unwrap_or_default();
            let step = piece(self.steps, slot, size).unwrap_or_default();
            (step, piece(self.changes, slot, size).unwrap_or_default(), inverse)
        };
        let mut factors = [0.0; MEMORY];
        for (back, factor) in factors.iter_mut().enumerate().take(known) {
            let (step, change, inverse) = pair(back);
            *factor = dot(step, self.direction) * inverse;
            add(self.direction, -*factor as f32, change);
        }
        if known > 0 {
            let (_, change, inverse) = pair(0);
            let scale = 1.0 / (inverse * dot(change, change));
            self.direction.iter_mut().for_each(|value| *value *= scale as f32);
        }
        for (back, &factor) in factors.iter().enumerate().take(known).rev() {
            let (step, change, inverse) = pair(back);
            let rest = factor - dot(change, self.direction) * inverse;
            add(self.direction, rest as f32, step);
        }
    }

    /// How fast the leads of tile `tile` change along the direction.
    pub(super) fn project(&mut self, tile: usize, samples: &[u16], work: &mut Work) {
        let (weights, bias) = split(self.direction);
        let slopes = self.slope.get_mut(tile * TILE..).unwrap_or_default();
        for (sample, slope) in pieces(samples, weights.len()).zip(slopes) {
            *slope = dot_bf16(sample, weights) + bias;
        }
        count_products(work, samples);
    }

    /// One trial step of the line search: Newton's method between bounds. The length of the step,
    /// in units of the direction, once it is found; 0 if the loss does not fall.
    pub(super) fn search(&mut self, work: &mut Work) -> Option<f64> {
        let Search { at, low, high, start_slope, trials } = self.search;
        let (slope, curvature) = self.slopes(at, work);
        if trials == 0 && (slope >= 0.0 || slope.is_nan()) {
            return Some(0.0);
        }
        if trials > 0 && slope.abs() <= FLAT * start_slope.abs() {
            return Some(at);
        }
        let (low, high) = if slope < 0.0 { (at, high) } else { (low, at) };
        if trials == TRIALS {
            return Some(low);
        }
        let newton = at - slope / curvature;
        let inside = newton > low && newton < high;
        let middle = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low + 1.0 };
        let start_slope = if trials == 0 { slope } else { start_slope };
        let at = if inside { newton } else { middle };
        self.search = Search { at, low, high, start_slope, trials: trials + 1 };
        None
    }

    /// First and second derivative of the loss along the direction, `at` away from `point`.
    fn slopes(&self, at: f64, work: &mut Work) -> (f64, f64) {
        let ((point, _), (direction, _)) = (split(self.point), split(self.direction));
        let square = dot(direction, direction);
        let mut first = self.l2 * (dot(point, direction) + at * square);
        let mut second = self.l2 * square;
        let lines = self.lead.iter().zip(self.slope.iter()).take(self.mix.count());
        for (index, (&lead, &slope)) in lines.enumerate() {
            let (positive, weight) = (self.mix.is_positive(index), self.mix.weight(index));
            let (lead, slope) = (f64::from(lead), f64::from(slope));
            let (wrong, _) = miss((lead + at * slope) as f32, positive);
            let wrong = f64::from(wrong);
            first += weight * if positive { -wrong } else { wrong } * slope;
            second += weight * wrong * (1.0 - wrong) * slope * slope;
        }
        work.exponentials += self.mix.count() as u64;
        (first, second)
    }

    /// Takes a step of the length found.
    pub(super) fn advance(&mut self, length: f64) {
        let length = length as f32;
        let (slot, size) = (self.remembered % MEMORY, self.point.len());
        let step = piece_mut(self.steps, slot, size).unwrap_or_default();
        for (value, &direction) in step.iter_mut().zip(self.direction.iter()) {
            *value = length * direction;
        }
        let change = piece_mut(self.changes, slot, size).unwrap_or_default();
        for (value, &gradient) in change.iter_mut().zip(self.gradient.iter()) {
            *value = -gradient;
        }
        add(self.point, 1.0, step);
        add(self.lead, length, self.slope);
        self.begin_gradient();
    }
}

/// Weights and bias.
fn split(row: &[f32]) -> (&[f32], f32) {
    row.split_last().map_or((&[], 0.0), |(&bias, weights)| (weights, bias))
}

/// Probability of the wrong answer, and the loss `-log` of that of the right one.
fn miss(lead: f32, positive: bool) -> (f32, f32) {
    let excess = if positive { -lead } else { lead };
    let small = libm::expf(-excess.abs());
    let wrong = if excess > 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
    (wrong, excess.max(0.0) + libm::log1pf(small))
}

fn count_products(work: &mut Work, samples: &[u16]) {
    work.multiply_adds += samples.len() as u64;
}
