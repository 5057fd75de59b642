//! Matrix products, on several threads.

use super::super::{Product, Real};
use super::matrix::{Matrix, check, check_shape, view_mut};
use super::workers::each;
use crate::status::Result;
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, s};
use std::num::NonZeroUsize;

/// Rows of a thread are a multiple of this, so that blocks of rows inside a product are the same
/// for any number of threads.
const ROW_BLOCK: usize = 64;
/// Multiply-adds below which a second thread costs more than it saves.
const LEAST_WORK: usize = 1 << 20;

pub(super) fn product<F: Real>(
    threads: NonZeroUsize,
    form: Product,
    a: &Matrix<F>,
    b: &Matrix<F>,
    bias: Option<&Matrix<F>>,
) -> Result<Matrix<F>> {
    let (left, right) = match form {
        Product::Nn => (a.view()?, b.view()?),
        Product::Nt => (a.view()?, b.view()?.reversed_axes()),
        Product::Tn => (a.view()?.reversed_axes(), b.view()?),
    };
    check("inner dimension of a product", right.nrows(), left.ncols())?;
    let mut result = Matrix::zeros([left.nrows(), right.ncols()])?;
    if let Some(bias) = bias {
        check_shape(bias.shape(), [1, right.ncols()])?;
        result.rows_mut().for_each(|row| row.copy_from_slice(bias.values()));
    }
    accumulate(threads, left, right, &mut result)?;
    Ok(result)
}

/// `sum += left * right`; the shapes fit.
fn accumulate<F: Real>(
    threads: NonZeroUsize,
    left: ArrayView2<'_, F>,
    right: ArrayView2<'_, F>,
    sum: &mut Matrix<F>,
) -> Result<()> {
    let [rows, columns] = sum.shape();
    let work = rows.saturating_mul(columns).saturating_mul(left.ncols());
    let threads = if work < LEAST_WORK { 1 } else { threads.get() };
    let share = rows.div_ceil(threads).next_multiple_of(ROW_BLOCK).max(ROW_BLOCK);
    let parts = sum.values_mut().chunks_mut(share * columns).enumerate();
    each(parts, |(part, values)| {
        let count = values.len() / columns;
        let mut place = view_mut(values, [count, columns])?;
        let start = part * share;
        let block = left.slice(s![start..start + count, ..]);
        general_mat_mul(F::ONE, &block, &right, F::ONE, &mut place);
        Ok(())
    })
}
