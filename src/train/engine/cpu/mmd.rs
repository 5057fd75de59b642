//! Maximum mean discrepancy, block of pairs after block of pairs.
//!
//! With generated rows `g_i` of weight `a_i = 1 / N` and real rows `x_j` of weight
//! `-w_j`, all together `y` with weights `s`, `MMD^2 = sum of s_i s_j k(y_i, y_j)` and
//! `dMMD^2 / dg_i = -2 s_i (g_i sum_j c_ij - sum_j c_ij y_j)`, `c_ij = s_j sum_v k_v / v`.

use super::super::{Kernel, Mmd, MmdGroup, MmdLoss, Real};
use super::matrix::{Matrix, check, check_weights, invalid, view, view_mut, weight_at};
use super::simple::{add, dot};
use super::workers::in_order;
use crate::status::{Result, Status};
use ndarray::linalg::general_mat_mul;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::vec;
use std::vec::Vec;

/// Rows of a block of pairs, either way.
const BLOCK: usize = 128;
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
    let parts = in_order(threads, settings.groups, |group| {
        Parts::new(generated, real, settings.real_weights, group)?.compare(settings.kernel)
    });
    let mut gradient = Matrix::zeros([count, columns])?;
    let (mut squares, mut values) = (Vec::new(), Vec::new());
    for (part, group) in parts.into_iter().zip(settings.groups) {
        let (square, slopes) = part?;
        let value = square.max(LEAST_SQUARE).sqrt();
        let factor = if square > LEAST_SQUARE { 0.5 / value } else { 0.0 };
        for (row, slope) in group.generated.clone().zip(slopes.rows()) {
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

    /// `MMD^2` and its derivative by the generated rows.
    fn compare(&self, kernel: &Kernel) -> Result<(f64, Matrix<F>)> {
        let (generated, real) = (&self.generated, &self.real);
        let mut slopes = Matrix::zeros(generated.rows.shape())?;
        let mut square = 0.0;
        let mut pairs = vec![F::ZERO; BLOCK * BLOCK];
        let columns = slopes.shape()[1];
        for (block, place) in slopes.values_mut().chunks_mut(BLOCK * columns).enumerate() {
            let start = block * BLOCK;
            let mut sums = vec![F::ZERO; place.len() / columns];
            for (other, factor) in [(generated, 1.0), (real, 2.0)] {
                let same = factor == 1.0;
                for first in (0..other.len()).step_by(BLOCK) {
                    let at = Block { rows: start, others: first, same, half: false };
                    square +=
                        factor * at.fill(kernel, generated, other, &mut pairs, Some(&mut sums))?;
                    at.weigh(&pairs, other, place)?;
                }
            }
            finish(place, &sums, generated, start);
        }
        for start in (0..real.len()).step_by(BLOCK) {
            for first in (start..real.len()).step_by(BLOCK) {
                let at = Block { rows: start, others: first, same: true, half: true };
                square += at.fill(kernel, real, real, &mut pairs, None)?;
            }
        }
        Ok((square, slopes))
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
    /// Whether only pairs with `j >= i` count, those with `j > i` twice.
    half: bool,
}

impl Block {
    fn sizes<F: Real>(&self, set: &Set<F>, other: &Set<F>) -> [usize; 2] {
        [(set.len() - self.rows).min(BLOCK), (other.len() - self.others).min(BLOCK)]
    }

    /// Writes `c_ij` to `pairs`, adds its sums to `sums` and gives the sum of `s_i s_j k`.
    fn fill<F: Real>(
        &self,
        kernel: &Kernel,
        set: &Set<F>,
        other: &Set<F>,
        pairs: &mut [F],
        mut sums: Option<&mut Vec<F>>,
    ) -> Result<f64> {
        let [height, width] = self.sizes(set, other);
        let pairs = pairs.get_mut(..height * width).unwrap_or_default();
        let rows = set.rows.block(self.rows, self.rows + height)?;
        let others = other.rows.block(self.others, self.others + width)?.reversed_axes();
        let mut products = view_mut(pairs, [height, width])?;
        general_mat_mul(F::ONE, &rows, &others, F::ZERO, &mut products);
        let mut total = 0.0;
        let left = set.squares.iter().zip(&set.weights).skip(self.rows);
        for (i, (row, (square, weight))) in pairs.chunks_exact_mut(width).zip(left).enumerate() {
            let right = other.squares.iter().zip(&other.weights).skip(self.others);
            let (mut value, mut sum) = (0.0, F::ZERO);
            for (j, (pair, (other_square, other_weight))) in row.iter_mut().zip(right).enumerate() {
                let times = self.times(i, j);
                let distance = match times {
                    0 => continue,
                    _ if self.is_self(i, j) => F::ZERO,
                    _ => floor(*square + *other_square - (*pair + *pair)),
                };
                let (k, slope) = kernel.at(distance);
                value += f64::from(times) * (*other_weight * k).to_f64();
                *pair = *other_weight * slope;
                sum += *pair;
            }
            total += weight.to_f64() * value;
            if let Some(place) = sums.as_mut().and_then(|sums| sums.get_mut(i)) {
                *place += sum;
            }
        }
        Ok(total)
    }

    fn is_self(&self, i: usize, j: usize) -> bool {
        self.same && self.rows + i == self.others + j
    }

    /// How often the pair counts.
    fn times(&self, i: usize, j: usize) -> u8 {
        let (row, other) = (self.rows + i, self.others + j);
        match self.half {
            true if other < row => 0,
            true if other > row => 2,
            _ => 1,
        }
    }

    /// Adds `sum_j c_ij y_j` to `place`.
    fn weigh<F: Real>(&self, pairs: &[F], other: &Set<F>, place: &mut [F]) -> Result<()> {
        let columns = other.rows.shape()[1];
        let height = place.len() / columns;
        let width = (other.len() - self.others).min(BLOCK);
        let pairs = view(pairs.get(..height * width).unwrap_or_default(), [height, width])?;
        let others = other.rows.block(self.others, self.others + width)?;
        let mut place = view_mut(place, [height, columns])?;
        general_mat_mul(F::ONE, &pairs, &others, F::ONE, &mut place);
        Ok(())
    }
}

/// Rounding can make a squared distance negative; not a number stays so.
fn floor<F: Real>(distance: F) -> F {
    if distance < F::ZERO { F::ZERO } else { distance }
}
