//! Operations on single numbers and rows: noise, sums, gathering, activation, normalisation.

use super::super::{Activation, Draw, Noise, Normalised, Real};
use super::matrix::{Matrix, check, check_shape, invalid, require};
use crate::math::random::Random;
use crate::status::Result;

/// Lengths below this count as 0.
const LEAST_NORM: f64 = 1e-12;

pub(super) fn noise<F: Real>(shape: [usize; 2], noise: Noise, draw: Draw) -> Result<Matrix<F>> {
    let mut result = Matrix::zeros(shape)?;
    let random = Random::new(draw.seed, &[]);
    for (block, four) in result.values_mut().chunks_mut(4).enumerate() {
        let block = u32::try_from(block).map_err(|_| invalid("number of random numbers"))?;
        let numbers = match noise {
            Noise::Uniform => random.uniform(block, draw.step, draw.stream),
            Noise::Normal => random.normal(block, draw.step, draw.stream),
        };
        for (value, number) in four.iter_mut().zip(numbers) {
            *value = F::of(number.into());
        }
    }
    Ok(result)
}

pub(super) fn column_sums<F: Real>(x: &Matrix<F>) -> Result<Matrix<F>> {
    let mut sums = Matrix::zeros([1, x.shape()[1]])?;
    for row in x.rows() {
        add(sums.values_mut(), F::ONE, row);
    }
    Ok(sums)
}

/// `to += factor * from`.
pub(super) fn add<F: Real>(to: &mut [F], factor: F, from: &[F]) {
    for (sum, value) in to.iter_mut().zip(from) {
        *sum += factor * *value;
    }
}

pub(super) fn gather<F: Real>(x: &Matrix<F>, indices: &[usize]) -> Result<Matrix<F>> {
    let mut result = Matrix::zeros([indices.len(), x.shape()[1]])?;
    for (row, index) in result.rows_mut().zip(indices) {
        row.copy_from_slice(x.row(*index).ok_or_else(|| beyond(*index, x.shape()[0]))?);
    }
    Ok(result)
}

pub(super) fn scatter<F: Real>(
    dy: &Matrix<F>,
    indices: &[usize],
    rows: usize,
) -> Result<Matrix<F>> {
    check("number of indices", indices.len(), dy.shape()[0])?;
    let mut result = Matrix::zeros([rows, dy.shape()[1]])?;
    for (row, index) in dy.rows().zip(indices) {
        add(result.row_mut(*index).ok_or_else(|| beyond(*index, rows))?, F::ONE, row);
    }
    Ok(result)
}

fn beyond(index: usize, rows: usize) -> crate::status::Error {
    invalid("index of a row").numbers(index as u64, rows as u64)
}

/// The factor of each number by dropout: 0 or `1 / (1 - dropout)`.
fn dropout<F: Real>(shape: [usize; 2], settings: &Activation) -> Result<Matrix<F>> {
    let rate = settings.dropout;
    require((0.0..1.0).contains(&rate), "share of dropout")?;
    require(settings.slope.is_finite(), "slope of the activation")?;
    if rate == 0.0 {
        return Ok(Matrix::zeros(shape)?.map(|_| F::ONE));
    }
    let (limit, kept) = (F::of(rate), F::of(1.0 / (1.0 - rate)));
    let numbers = noise(shape, Noise::Uniform, settings.draw)?;
    Ok(numbers.map(|number| if number < limit { F::ZERO } else { kept }))
}

pub(super) fn activate<F: Real>(x: &Matrix<F>, settings: &Activation) -> Result<Matrix<F>> {
    let mut result = dropout(x.shape(), settings)?;
    let slope = F::of(settings.slope);
    for (y, x) in result.values_mut().iter_mut().zip(x.values()) {
        *y *= if *x > F::ZERO { *x } else { slope * *x };
    }
    Ok(result)
}

pub(super) fn activate_backward<F: Real>(
    x: &Matrix<F>,
    dy: &Matrix<F>,
    settings: &Activation,
) -> Result<Matrix<F>> {
    check_shape(dy.shape(), x.shape())?;
    let mut result = dropout(x.shape(), settings)?;
    let slope = F::of(settings.slope);
    for ((dx, x), dy) in result.values_mut().iter_mut().zip(x.values()).zip(dy.values()) {
        *dx *= if *x > F::ZERO { *dy } else { slope * *dy };
    }
    Ok(result)
}

pub(super) fn normalise<F: Real>(x: &Matrix<F>) -> Result<Normalised<Matrix<F>>> {
    let mut norms = Matrix::zeros([x.shape()[0], 1])?;
    let mut rows = x.clone();
    for (row, norm) in rows.rows_mut().zip(norms.values_mut()) {
        let length = dot(row, row).sqrt();
        if length.to_f64() < LEAST_NORM {
            row.fill(F::ZERO);
            continue;
        }
        *norm = length;
        row.iter_mut().for_each(|value| *value = *value / length);
    }
    Ok(Normalised { rows, norms })
}

pub(super) fn normalise_backward<F: Real>(
    normalised: &Normalised<Matrix<F>>,
    dy: &Matrix<F>,
) -> Result<Matrix<F>> {
    let Normalised { rows, norms } = normalised;
    check_shape(dy.shape(), rows.shape())?;
    check_shape(norms.shape(), [rows.shape()[0], 1])?;
    let mut result = dy.clone();
    for ((dx, row), norm) in result.rows_mut().zip(rows.rows()).zip(norms.values()) {
        if *norm == F::ZERO {
            dx.fill(F::ZERO);
            continue;
        }
        remove_along(dx, row);
        dx.iter_mut().for_each(|value| *value = *value / *norm);
    }
    Ok(result)
}

/// Takes away from `dx` its part along the unit vector `row`.
fn remove_along<F: Real>(dx: &mut [F], row: &[F]) {
    let along = dot(dx, row);
    add(dx, -along, row);
}

pub(super) fn dot<F: Real>(a: &[F], b: &[F]) -> F {
    a.iter().zip(b).fold(F::ZERO, |sum, (a, b)| sum + *a * *b)
}
