//! Maximum mean discrepancy, block of pairs after block of pairs.
//!
//! With generated rows `g_i` of weight `a_i = 1 / N` and real rows `x_j` of weight
//! `-w_j`, all together `y` with weights `s`, `MMD^2 = sum of s_i s_j k(y_i, y_j)` and
//! `dMMD^2 / dg_i = -2 s_i (g_i sum_j c_ij - sum_j c_ij y_j)`, `c_ij = s_j sum_v k_v / v`.

use super::super::kernel::LANES;
use super::super::{Kernel, Mmd, MmdGroup, MmdLoss, Real};
use super::matrix::{Matrix, check, check_weights, invalid, view, view_mut, weight_at};
use super::simple::{add, dot};
use super::workers::in_order;
use crate::math::pieces::copy;
use crate::status::{Result, Status};
use ndarray::linalg::general_mat_mul;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::vec;
use std::vec::Vec;

/// Rows of a block of pairs, either way.
const BLOCK: usize = 64;
/// Pairs times columns below which a second thread costs more than it saves.
const LEAST_WORK: usize = 1 << 20;
/// Squares below this have a root of its root, and no gradient.
const LEAST_SQUARE: f64 = 1e-12;

pub(super) fn mmd<F: Real>(
    threads: NonZeroUsize,
    generated: &Matrix<F>,
    real: &Matrix<F>,
    settings: &Mmd<'_, F>,
) -> Result<MmdLoss<Matrix<F>>> {
    let [count, columns] = generated.shape();
    check("columns of the real features", real.shape()[1], columns)?;
    check_weights(settings.real_weights, real.shape()[0], "weights of the real features")?;
    let parts: Vec<Parts<F>> = settings
        .groups
        .iter()
        .map(|group| Parts::new(generated, real, settings.real_weights, group))
        .collect::<Result<_>>()?;
    let tasks: Vec<Task<'_, F>> = parts.iter().flat_map(Parts::tasks).collect();
    let work: usize = parts.iter().map(|part| part.pairs().saturating_mul(columns)).sum();
    let threads = if work < LEAST_WORK { NonZeroUsize::MIN } else { threads };
    let mut done = in_order(threads, &tasks, |task| task.run(settings.kernel)).into_iter();
    let mut gradient = Matrix::zeros([count, columns])?;
    let (mut squares, mut values) = (Vec::new(), Vec::new());
    for (part, group) in parts.iter().zip(settings.groups) {
        let blocks: Vec<(f64, Vec<F>)> =
            done.by_ref().take(part.tasks().count()).collect::<Result<_>>()?;
        let square: f64 = blocks.iter().map(|(square, _)| square).sum();
        let value = square.max(LEAST_SQUARE).sqrt();
        let factor = if square > LEAST_SQUARE { 0.5 / value } else { 0.0 };
        let slopes = blocks.iter().flat_map(|(_, slopes)| slopes.chunks_exact(columns));
        for (row, slope) in group.generated.clone().zip(slopes) {
            add(gradient.row_mut(row).unwrap_or_default(), F::of(factor), slope);
        }
        squares.push(square);
        // Not a number stays so: `max` would hide it.
        values.push(if square.is_nan() { square } else { value });
    }
    Ok(MmdLoss { squares, values, gradient })
}

/// Rows, their weights and the squares of their lengths.
struct Set<F> {
    rows: Matrix<F>,
    weights: Vec<F>,
    squares: Vec<F>,
}

struct Parts<F> {
    generated: Set<F>,
    real: Set<F>,
}

fn select<F: Real>(x: &Matrix<F>, range: &Range<usize>, what: &'static str) -> Result<Matrix<F>> {
    let [rows, columns] = x.shape();
    if range.is_empty() {
        return Err(invalid(what).numbers(0, 1));
    }
    if range.end > rows {
        return Err(invalid(what).numbers(range.end as u64, rows as u64));
    }
    let values = x.rows().skip(range.start).take(range.len()).flatten().copied().collect();
    Matrix::new([range.len(), columns], values)
}

impl<F: Real> Set<F> {
    /// Of rows moved by `-centre`: distances stay, and the products of large features lose fewer
    /// digits.
    fn new(mut rows: Matrix<F>, centre: &[F], weights: Vec<F>) -> Set<F> {
        for row in rows.rows_mut() {
            add(row, -F::ONE, centre);
        }
        let squares = rows.rows().map(|row| dot(row, row)).collect();
        Set { rows, weights, squares }
    }

    fn len(&self) -> usize {
        self.weights.len()
    }
}

impl<F: Real> Parts<F> {
    fn new(
        generated: &Matrix<F>,
        real: &Matrix<F>,
        weights: Option<&[F]>,
        group: &MmdGroup,
    ) -> Result<Parts<F>> {
        let generated = select(generated, &group.generated, "rows of a generated group")?;
        let real = select(real, &group.real, "rows of a real group")?;
        let weights: Vec<F> = group.real.clone().map(|row| weight_at(weights, row)).collect();
        let sum: f64 = weights.iter().map(|weight| weight.to_f64()).sum();
        if sum <= 0.0 {
            return Err(Status::InvalidArgument.about("sum of the weights of a real group"));
        }
        let weights = weights.iter().map(|weight| F::of(-weight.to_f64() / sum)).collect();
        let count = generated.shape()[0];
        let equal = vec![F::of(1.0 / count as f64); count];
        let mut centre = vec![F::ZERO; real.shape()[1]];
        let share = F::of(1.0 / real.shape()[0] as f64);
        real.rows().for_each(|row| add(&mut centre, share, row));
        Ok(Parts {
            generated: Set::new(generated, &centre, equal),
            real: Set::new(real, &centre, weights),
        })
    }

    /// The number of pairs of rows.
    fn pairs(&self) -> usize {
        let count = self.generated.len().saturating_add(self.real.len());
        count.saturating_mul(count)
    }

    /// Blocks of generated rows, in their order, then blocks of real ones.
    fn tasks(&self) -> impl Iterator<Item = Task<'_, F>> {
        let starts = |set: &Set<F>| (0..set.len()).step_by(BLOCK);
        let generated = starts(&self.generated).map(|start| Task::Generated(self, start));
        generated.chain(starts(&self.real).map(|start| Task::Real(&self.real, start)))
    }
}

/// A block of rows, and where it starts.
enum Task<'a, F> {
    Generated(&'a Parts<F>, usize),
    Real(&'a Set<F>, usize),
}

impl<F: Real> Task<'_, F> {
    /// The block's part of `MMD^2`, and its derivative by the block's generated rows.
    fn run(&self, kernel: &Kernel) -> Result<(f64, Vec<F>)> {
        match self {
            Task::Generated(parts, start) => parts.generated_block(kernel, *start),
            Task::Real(real, start) => Ok((real.own_pairs(kernel, *start)?, Vec::new())),
        }
    }
}

impl<F: Real> Parts<F> {
    fn generated_block(&self, kernel: &Kernel, start: usize) -> Result<(f64, Vec<F>)> {
        let generated = &self.generated;
        let height = (generated.len() - start).min(BLOCK);
        let mut slopes = vec![F::ZERO; height * generated.rows.shape()[1]];
        let mut sums = vec![F::ZERO; height];
        let mut pairs = vec![F::ZERO; BLOCK * BLOCK];
        let mut square = 0.0;
        for (other, same, factor) in [(generated, true, 1.0), (&self.real, false, 2.0)] {
            for first in (0..other.len()).step_by(BLOCK) {
                let at = Block { rows: start, others: first, same };
                square += factor * at.fill(kernel, generated, other, &mut pairs, &mut sums)?;
                at.weigh(&pairs, other, &mut slopes)?;
            }
        }
        finish(&mut slopes, &sums, generated, start);
        Ok((square, slopes))
    }
}

impl<F: Real> Set<F> {
    /// The part in `MMD^2` of the pairs of a block of rows with itself and, twice, with the rows
    /// behind it.
    fn own_pairs(&self, kernel: &Kernel, start: usize) -> Result<f64> {
        let mut sums = [F::ZERO; BLOCK];
        let mut pairs = vec![F::ZERO; BLOCK * BLOCK];
        let mut square = 0.0;
        for first in (start..self.len()).step_by(BLOCK) {
            let factor = if first == start { 1.0 } else { 2.0 };
            let at = Block { rows: start, others: first, same: true };
            square += factor * at.fill(kernel, self, self, &mut pairs, &mut sums)?;
        }
        Ok(square)
    }
}

/// Turns `sum_j c_ij y_j` into the derivative.
fn finish<F: Real>(place: &mut [F], sums: &[F], generated: &Set<F>, start: usize) {
    let columns = generated.rows.shape()[1];
    let rows = generated.rows.rows().zip(&generated.weights).skip(start);
    for ((slope, (row, weight)), sum) in place.chunks_exact_mut(columns).zip(rows).zip(sums) {
        let factor = F::of(-2.0) * *weight;
        for (value, coordinate) in slope.iter_mut().zip(row) {
            *value = factor * (*coordinate * *sum - *value);
        }
    }
}

/// A block of pairs: where it starts in either set.
struct Block {
    rows: usize,
    others: usize,
    /// Whether both sets are one.
    same: bool,
}

impl Block {
    /// Writes `c_ij` to `pairs`, adds its sums to `sums` and gives the sum of `s_i s_j k`.
    fn fill<F: Real>(
        &self,
        kernel: &Kernel,
        set: &Set<F>,
        other: &Set<F>,
        pairs: &mut [F],
        sums: &mut [F],
    ) -> Result<f64> {
        let rows = set.rows.block(self.rows, self.rows + BLOCK)?;
        let others = other.rows.block(self.others, self.others + BLOCK)?;
        let [height, width] = [rows.nrows(), others.nrows()];
        let pairs = pairs.get_mut(..height * width).unwrap_or_default();
        let mut products = view_mut(pairs, [height, width])?;
        general_mat_mul(F::ONE, &rows, &others.reversed_axes(), F::ZERO, &mut products);
        let mut total = 0.0;
        let left = set.squares.iter().zip(&set.weights).skip(self.rows).zip(sums);
        for (i, (row, ((square, weight), sum))) in
            pairs.chunks_exact_mut(width).zip(left).enumerate()
        {
            let itself = (self.same).then(|| (self.rows + i).wrapping_sub(self.others));
            let (value, row_sum) = self.fill_row(kernel, *square, itself, other, row);
            total += weight.to_f64() * value;
            *sum += row_sum;
        }
        Ok(total)
    }

    /// Turns the products of a row with the other set's into `c_ij`. Gives the sums of `s_j k`
    /// and of `c_ij`. `itself` is the place of the row itself, whose distance is 0.
    fn fill_row<F: Real>(
        &self,
        kernel: &Kernel,
        square: F,
        itself: Option<usize>,
        other: &Set<F>,
        row: &mut [F],
    ) -> (f64, F) {
        let (mut values, mut sums) = ([0.0; LANES], [F::ZERO; LANES]);
        for (index, place) in row.chunks_mut(LANES).enumerate() {
            let start = index * LANES;
            let (mut squares, weights) = (
                lanes(&other.squares, self.others + start),
                // A rest has weight 0 beyond its end.
                lanes(&other.weights, self.others + start),
            );
            for (distance, product) in squares.iter_mut().zip(lanes(place, 0)) {
                *distance = floor(square + *distance - (product + product));
            }
            if let Some(own) = itself.and_then(|own| squares.get_mut(own.wrapping_sub(start))) {
                *own = F::ZERO;
            }
            let (kernels, mut slopes) = kernel.at(&squares);
            for ((value, k), weight) in values.iter_mut().zip(kernels).zip(weights) {
                *value += (weight * k).to_f64();
            }
            for ((sum, slope), weight) in sums.iter_mut().zip(&mut slopes).zip(weights) {
                *slope *= weight;
                *sum += *slope;
            }
            copy(place, &slopes);
        }
        (values.iter().sum(), sums.iter().fold(F::ZERO, |sum, part| sum + *part))
    }

    /// Adds `sum_j c_ij y_j` to `place`.
    fn weigh<F: Real>(&self, pairs: &[F], other: &Set<F>, place: &mut [F]) -> Result<()> {
        let others = other.rows.block(self.others, self.others + BLOCK)?;
        let [width, columns] = [others.nrows(), others.ncols()];
        let height = place.len() / columns;
        let pairs = view(pairs.get(..height * width).unwrap_or_default(), [height, width])?;
        let mut place = view_mut(place, [height, columns])?;
        general_mat_mul(F::ONE, &pairs, &others, F::ONE, &mut place);
        Ok(())
    }
}

/// The numbers from `start` on; 0 beyond the end. A rest's kernels are never used: its weights are
/// 0 and its distances finite.
fn lanes<F: Real>(values: &[F], start: usize) -> [F; LANES] {
    let values = values.get(start..).unwrap_or_default();
    let rest = || {
        let mut lanes = [F::ZERO; LANES];
        copy(&mut lanes, values);
        lanes
    };
    values.first_chunk().copied().unwrap_or_else(rest)
}

/// Rounding can make a squared distance negative; not a number stays so.
fn floor<F: Real>(distance: F) -> F {
    if distance < F::ZERO { F::ZERO } else { distance }
}
