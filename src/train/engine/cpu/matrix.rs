//! Matrices in memory, and the checks that operations share.

use super::super::Real;
use crate::status::{Error, Result, Status};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::vec;
use std::vec::Vec;

/// A matrix in memory, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<F> {
    rows: usize,
    columns: usize,
    values: Vec<F>,
}

impl<F: Real> Matrix<F> {
    /// A matrix of `[rows, columns]`; at least one column.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] when the shape and the number of values differ.
    pub fn new(shape: [usize; 2], values: Vec<F>) -> Result<Matrix<F>> {
        let [rows, columns] = shape;
        let wanted = count(shape)?;
        check("number of values", values.len(), wanted)?;
        Ok(Matrix { rows, columns, values })
    }

    /// Zeros.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] without a column, or for more numbers than can be counted.
    pub fn zeros(shape: [usize; 2]) -> Result<Matrix<F>> {
        let values = vec![F::ZERO; count(shape)?];
        Ok(Matrix { rows: shape[0], columns: shape[1], values })
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// All values.
    pub fn values(&self) -> &[F] {
        &self.values
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> &mut [F] {
        &mut self.values
    }

    /// The values themselves.
    pub fn into_values(self) -> Vec<F> {
        self.values
    }

    /// The rows in their order.
    pub fn rows(&self) -> impl Iterator<Item = &[F]> {
        self.values.chunks_exact(self.columns)
    }

    /// The rows in their order, to be changed.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [F]> {
        self.values.chunks_exact_mut(self.columns)
    }

    /// A row; `None` where there is none.
    pub fn row(&self, index: usize) -> Option<&[F]> {
        crate::math::pieces::piece(&self.values, index, self.columns)
    }

    /// A row, to be changed; `None` where there is none.
    pub fn row_mut(&mut self, index: usize) -> Option<&mut [F]> {
        crate::math::pieces::piece_mut(&mut self.values, index, self.columns)
    }

    /// Rows `from..to`, as far as there are any.
    pub(super) fn block(&self, from: usize, to: usize) -> Result<ArrayView2<'_, F>> {
        let to = to.min(self.rows);
        let from = from.min(to);
        let values = self.values.get(from * self.columns..to * self.columns).unwrap_or_default();
        view(values, [to - from, self.columns])
    }

    pub(super) fn view(&self) -> Result<ArrayView2<'_, F>> {
        view(&self.values, self.shape())
    }

    /// One value for each.
    pub(super) fn map(&self, f: impl Fn(F) -> F) -> Matrix<F> {
        let values = self.values.iter().map(|value| f(*value)).collect();
        Matrix { rows: self.rows, columns: self.columns, values }
    }
}

pub(super) fn view<F>(values: &[F], shape: [usize; 2]) -> Result<ArrayView2<'_, F>> {
    ArrayView2::from_shape(shape, values).map_err(|_| Status::InvalidArgument.about("shape"))
}

pub(super) fn view_mut<F>(values: &mut [F], shape: [usize; 2]) -> Result<ArrayViewMut2<'_, F>> {
    ArrayViewMut2::from_shape(shape, values).map_err(|_| Status::InvalidArgument.about("shape"))
}

/// The number of values of a matrix.
pub(in crate::train) fn count(shape: [usize; 2]) -> Result<usize> {
    let [rows, columns] = shape;
    if columns == 0 {
        return Err(Status::InvalidArgument.about("number of columns").numbers(0, 1));
    }
    // ndarray counts in isize.
    rows.checked_mul(columns)
        .filter(|count| isize::try_from(*count).is_ok())
        .ok_or(Status::InvalidArgument.about("number of values of a matrix"))
}

/// An error unless both are equal.
pub(in crate::train) fn check(what: &'static str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Status::InvalidArgument.about(what).numbers(found as u64, wanted as u64))
}

/// An error unless both shapes are equal.
pub(in crate::train) fn check_shape(found: [usize; 2], wanted: [usize; 2]) -> Result<()> {
    check("rows of a matrix", found[0], wanted[0])?;
    check("columns of a matrix", found[1], wanted[1])
}

/// An error unless `holds`.
pub(in crate::train) fn require(holds: bool, what: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(invalid(what)) }
}

pub(in crate::train) fn invalid(what: &'static str) -> Error {
    Status::InvalidArgument.about(what)
}

/// An error unless there are `wanted` weights, finite and not negative; without weights, none.
pub(in crate::train) fn check_weights<F: Real>(
    weights: Option<&[F]>,
    wanted: usize,
    what: &'static str,
) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    check(what, weights.len(), wanted)?;
    let fits = |weight: &F| weight.to_f64().is_finite() && *weight >= F::ZERO;
    require(weights.iter().all(fits), what)
}

/// Weight `index`; 1 without weights.
pub(in crate::train) fn weight_at<F: Real>(weights: Option<&[F]>, index: usize) -> F {
    weights.map_or(F::ONE, |weights| weights.get(index).copied().unwrap_or(F::ZERO))
}
