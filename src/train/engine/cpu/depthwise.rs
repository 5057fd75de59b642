//! Depthwise 3x3 convolutions, and columns put side by side.

use super::super::{Depthwise, Real};
use super::matrix::{Matrix, check, check_shape, invalid, require};
use super::{simple, workers};
use crate::status::Result;
use std::num::NonZeroUsize;
use std::thread;
use std::vec;
use std::vec::Vec;

/// Places of the kernel, row after row.
const PLACES: usize = 9;
/// Multiply-adds below which a second thread costs more than it saves.
const LEAST_WORK: usize = 1 << 18;

/// Which way a kernel lies on the pictures.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Forward,
    /// Turned by half a turn: the transpose.
    Backward,
}

pub(super) fn forward<F: Real>(
    threads: NonZeroUsize,
    x: &Matrix<F>,
    weights: &Matrix<F>,
    bias: Option<&Matrix<F>>,
    settings: &Depthwise,
) -> Result<Matrix<F>> {
    let mut result = Matrix::zeros(x.shape())?;
    if let Some(bias) = bias {
        check_shape(bias.shape(), [1, x.shape()[1]])?;
        result.rows_mut().for_each(|row| row.copy_from_slice(bias.values()));
    }
    convolve(threads, x, weights, settings, Way::Forward, &mut result)?;
    Ok(result)
}

pub(super) fn backward<F: Real>(
    threads: NonZeroUsize,
    dy: &Matrix<F>,
    weights: &Matrix<F>,
    settings: &Depthwise,
) -> Result<Matrix<F>> {
    let mut result = Matrix::zeros(dy.shape())?;
    convolve(threads, dy, weights, settings, Way::Backward, &mut result)?;
    Ok(result)
}

pub(super) fn gradient<F: Real>(
    threads: NonZeroUsize,
    x: &Matrix<F>,
    dy: &Matrix<F>,
    settings: &Depthwise,
) -> Result<Matrix<F>> {
    check_shape(dy.shape(), x.shape())?;
    check_pictures(x.shape()[0], settings)?;
    let columns = x.shape()[1];
    let places: Vec<usize> = (0..PLACES).collect();
    let threads = if x.values().len() * PLACES < LEAST_WORK { NonZeroUsize::MIN } else { threads };
    let sums = workers::in_order(threads, &places, |place| {
        let mut sum = vec![F::ZERO; columns];
        for (index, dy) in dy.rows().enumerate() {
            let source = source(index, *place, settings, Way::Forward);
            let source = source.and_then(|source| x.row(source)).unwrap_or_default();
            add_products(&mut sum, source, dy);
        }
        sum
    });
    Matrix::new([PLACES, columns], sums.concat())
}

/// Adds the convolution to `result`, rows of pictures on several threads.
fn convolve<F: Real>(
    threads: NonZeroUsize,
    x: &Matrix<F>,
    weights: &Matrix<F>,
    settings: &Depthwise,
    way: Way,
    result: &mut Matrix<F>,
) -> Result<()> {
    check_pictures(x.shape()[0], settings)?;
    let [rows, columns] = x.shape();
    check_shape(weights.shape(), [PLACES, columns])?;
    let threads = if rows * columns * PLACES < LEAST_WORK { 1 } else { threads.get() };
    let share = rows.div_ceil(threads).max(1);
    let run = |part: usize, values: &mut [F]| {
        for (index, sum) in values.chunks_exact_mut(columns).enumerate() {
            for (place, weights) in weights.rows().enumerate() {
                let source = source(part * share + index, place, settings, way);
                let source = source.and_then(|source| x.row(source)).unwrap_or_default();
                add_products(sum, source, weights);
            }
        }
    };
    let run = &run;
    let mut parts = result.values_mut().chunks_mut(share * columns).enumerate();
    thread::scope(|scope| {
        let first = parts.next();
        for (part, values) in parts {
            scope.spawn(move || run(part, values));
        }
        if let Some((part, values)) = first {
            run(part, values);
        }
    });
    Ok(())
}

/// An error unless the pictures have so many rows.
pub(in crate::train) fn check_pictures(rows: usize, settings: &Depthwise) -> Result<()> {
    let Depthwise { pictures, grid: [height, width], dilation } = *settings;
    require(height > 0 && width > 0, "side of a picture")?;
    require(dilation > 0, "dilation of the convolution")?;
    let count = pictures.checked_mul(height).and_then(|count| count.checked_mul(width));
    let count = count.ok_or_else(|| invalid("size of the pictures"))?;
    check("rows of the pictures", rows, count)
}

/// The row that place `place` of the kernel reads for row `index`; none beyond the border.
fn source(index: usize, place: usize, settings: &Depthwise, way: Way) -> Option<usize> {
    let Depthwise { grid: [height, width], dilation, .. } = *settings;
    let (picture, cell) = (index / (height * width), index % (height * width));
    let place = if way == Way::Forward { place } else { PLACES - 1 - place };
    let moved = |at: usize, step: usize, side: usize| -> Option<usize> {
        let at = match step {
            0 => at.checked_sub(dilation)?,
            1 => at,
            _ => at.checked_add(dilation)?,
        };
        (at < side).then_some(at)
    };
    let row = moved(cell / width, place / 3, height)?;
    let column = moved(cell % width, place % 3, width)?;
    Some((picture * height + row) * width + column)
}

/// `sum += a * b`, number by number.
fn add_products<F: Real>(sum: &mut [F], a: &[F], b: &[F]) {
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        *sum += *a * *b;
    }
}

pub(super) fn join<F: Real>(parts: &[&Matrix<F>]) -> Result<Matrix<F>> {
    let rows = parts.first().map_or(0, |part| part.shape()[0]);
    let columns = parts.iter().map(|part| part.shape()[1]).sum();
    let mut result = Matrix::zeros([rows, columns])?;
    let mut start = 0;
    for part in parts {
        check("rows of a matrix", part.shape()[0], rows)?;
        let end = start + part.shape()[1];
        for (to, from) in result.rows_mut().zip(part.rows()) {
            to.get_mut(start..end).unwrap_or_default().copy_from_slice(from);
        }
        start = end;
    }
    Ok(result)
}

pub(super) fn columns<F: Real>(x: &Matrix<F>, start: usize, count: usize) -> Result<Matrix<F>> {
    let end = start.checked_add(count).filter(|end| *end <= x.shape()[1]);
    let end = end.ok_or_else(|| {
        invalid("columns of a matrix")
            .numbers(start.saturating_add(count) as u64, x.shape()[1] as u64)
    })?;
    let mut result = Matrix::zeros([x.shape()[0], count])?;
    for (to, from) in result.rows_mut().zip(x.rows()) {
        simple::add(to, F::ONE, from.get(start..end).unwrap_or_default());
    }
    Ok(result)
}
