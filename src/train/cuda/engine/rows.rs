//! Products, sums and copies of rows and columns, and rows of length 1.

use super::super::backend::{Backend, Multiply, Work};
use super::super::sources::ROWS;
use super::{CudaEngine, Tensor};
use crate::status::{Error, Result};
use crate::train::engine::common::{check, check_shape, invalid};
use crate::train::engine::{Normalised, Product};
use std::vec;
use std::vec::Vec;

/// Rows that a block of threads adds up.
pub(super) const BLOCK_ROWS: usize = 512;
/// Columns of a block, and rows that it reads at a time.
pub(super) const BLOCK: [u32; 3] = [32, 8, 1];

pub(super) fn product<B: Backend>(
    engine: &CudaEngine<B>,
    form: Product,
    a: &Tensor<B>,
    b: &Tensor<B>,
    bias: Option<&Tensor<B>>,
) -> Result<Tensor<B>> {
    let ([a0, a1], [b0, b1]) = (a.shape(), b.shape());
    let (m, inner, found, n) = match form {
        Product::Nn => (a0, a1, b0, b1),
        Product::Nt => (a0, a1, b1, b0),
        Product::Tn => (a1, a0, b0, b1),
    };
    check("inner dimension of a product", found, inner)?;
    if let Some(bias) = bias {
        check_shape(bias.shape(), [1, n])?;
    }
    let shape = [m, n, inner];
    if inner == 0 || m == 0 || n == 0 {
        return match bias {
            Some(bias) if m > 0 => gather(engine, bias, &vec![0; m]),
            _ => engine.zeros([m, n]),
        };
    }
    let bias = bias.map(|bias| bias.memory().clone());
    let result = engine.blank([m, n])?;
    let [a, b, place] = [a, b, &result].map(|tensor| tensor.memory().clone());
    engine.perform(Work::Multiply(Multiply { form, shape, a, b, bias, result: place }))?;
    Ok(result)
}

pub(super) fn column_sums<B: Backend>(engine: &CudaEngine<B>, x: &Tensor<B>) -> Result<Tensor<B>> {
    let [rows, columns] = x.shape();
    match rows {
        0 => engine.zeros([1, columns]),
        1 => Ok(x.clone()),
        _ => column_sums(engine, &block_sums(engine, x)?),
    }
}

/// The sums of blocks of rows.
fn block_sums<B: Backend>(engine: &CudaEngine<B>, x: &Tensor<B>) -> Result<Tensor<B>> {
    let [rows, columns] = x.shape();
    let blocks = rows.div_ceil(BLOCK_ROWS);
    let sums = engine.blank([blocks, columns])?;
    engine
        .call(&ROWS, "column_sums")
        .tensor(x)
        .size(rows)
        .size(columns)
        .size(BLOCK_ROWS)
        .tensor(&sums)
        .blocks([blocks, columns.div_ceil(32), 1], BLOCK, 0)?;
    Ok(sums)
}

pub(super) fn add_scaled<B: Backend>(
    engine: &CudaEngine<B>,
    y: &mut Tensor<B>,
    factor: f32,
    x: &Tensor<B>,
) -> Result<()> {
    check_shape(x.shape(), y.shape())?;
    y.part(engine)?;
    let count = y.count();
    engine.call(&ROWS, "add_scaled").tensor(y).float(factor).tensor(x).long(count).each(count)
}

fn beyond(index: usize, rows: usize) -> Error {
    invalid("index of a row").numbers(index as u64, rows as u64)
}

/// Indices as kernels read them, once they are known to lie below `rows`.
fn words(indices: &[usize], rows: usize) -> Result<Vec<u32>> {
    let word = |index: &usize| match u32::try_from(*index) {
        Ok(word) if *index < rows => Ok(word),
        _ => Err(beyond(*index, rows)),
    };
    indices.iter().map(word).collect()
}

pub(super) fn gather<B: Backend>(
    engine: &CudaEngine<B>,
    x: &Tensor<B>,
    indices: &[usize],
) -> Result<Tensor<B>> {
    let [rows, columns] = x.shape();
    let words = engine.upload_numbers(&words(indices, rows)?)?;
    let result = engine.blank([indices.len(), columns])?;
    engine
        .call(&ROWS, "gather_rows")
        .tensor(x)
        .size(columns)
        .array::<u32>(&words, indices.len())
        .tensor(&result)
        .long(result.count())
        .each(result.count())?;
    Ok(result)
}

/// Lists the rows that are added to each row, in their order: where each list starts, and all.
fn lists(indices: &[u32], rows: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; rows + 1];
    for index in indices {
        if let Some(count) = starts.get_mut(*index as usize + 1) {
            *count += 1;
        }
    }
    let mut before = 0;
    for count in &mut starts {
        *count += before;
        before = *count;
    }
    let mut next = starts.clone();
    let mut sources = vec![0u32; indices.len()];
    for (source, index) in indices.iter().enumerate() {
        let Some(place) = next.get_mut(*index as usize) else { continue };
        if let Some(entry) = sources.get_mut(*place as usize) {
            *entry = source as u32;
        }
        *place += 1;
    }
    (starts, sources)
}

pub(super) fn scatter<B: Backend>(
    engine: &CudaEngine<B>,
    dy: &Tensor<B>,
    indices: &[usize],
    rows: usize,
) -> Result<Tensor<B>> {
    let [found, columns] = dy.shape();
    check("number of indices", indices.len(), found)?;
    let words = words(indices, rows)?;
    u32::try_from(words.len()).map_err(|_| invalid("number of indices"))?;
    let result = engine.blank([rows, columns])?;
    let (starts, sources) = lists(&words, rows);
    let (starts, sources) = (engine.upload_numbers(&starts)?, engine.upload_numbers(&sources)?);
    engine
        .call(&ROWS, "scatter_rows")
        .tensor(dy)
        .size(columns)
        .array::<u32>(&starts, rows + 1)
        .array::<u32>(&sources, indices.len())
        .tensor(&result)
        .long(result.count())
        .each(result.count())?;
    Ok(result)
}

pub(super) fn normalise<B: Backend>(
    engine: &CudaEngine<B>,
    x: &Tensor<B>,
) -> Result<Normalised<Tensor<B>>> {
    let [rows, columns] = x.shape();
    let normalised = Normalised { rows: engine.blank(x.shape())?, norms: engine.blank([rows, 1])? };
    engine
        .call(&ROWS, "normalise")
        .tensor(x)
        .size(rows)
        .size(columns)
        .tensor(&normalised.rows)
        .tensor(&normalised.norms)
        .warps(rows)?;
    Ok(normalised)
}

pub(super) fn normalise_backward<B: Backend>(
    engine: &CudaEngine<B>,
    normalised: &Normalised<Tensor<B>>,
    dy: &Tensor<B>,
) -> Result<Tensor<B>> {
    let Normalised { rows: y, norms } = normalised;
    let [rows, columns] = y.shape();
    check_shape(dy.shape(), y.shape())?;
    check_shape(norms.shape(), [rows, 1])?;
    let result = engine.blank(y.shape())?;
    engine
        .call(&ROWS, "normalise_backward")
        .tensor(y)
        .tensor(norms)
        .tensor(dy)
        .size(rows)
        .size(columns)
        .tensor(&result)
        .warps(rows)?;
    Ok(result)
}

/// Copies `width` columns of `from` from one on, to those of `to` from another on. All are there.
fn copy_columns<B: Backend>(
    engine: &CudaEngine<B>,
    (from, from_start): (&Tensor<B>, usize),
    (to, to_start): (&Tensor<B>, usize),
    width: usize,
) -> Result<()> {
    let count = from.shape()[0] * width;
    engine
        .call(&ROWS, "copy_columns")
        .tensor(from)
        .size(from.shape()[1])
        .size(from_start)
        .tensor(to)
        .size(to.shape()[1])
        .size(to_start)
        .size(width)
        .long(count)
        .each(count)
}

pub(super) fn join<B: Backend>(engine: &CudaEngine<B>, parts: &[&Tensor<B>]) -> Result<Tensor<B>> {
    let rows = parts.first().map_or(0, |part| part.shape()[0]);
    let columns = parts.iter().map(|part| part.shape()[1]).sum();
    let result = engine.blank([rows, columns])?;
    for part in parts {
        check("rows of a matrix", part.shape()[0], rows)?;
    }
    let mut start = 0;
    for part in parts {
        let width = part.shape()[1];
        copy_columns(engine, (part, 0), (&result, start), width)?;
        start += width;
    }
    Ok(result)
}

pub(super) fn columns<B: Backend>(
    engine: &CudaEngine<B>,
    x: &Tensor<B>,
    start: usize,
    count: usize,
) -> Result<Tensor<B>> {
    let [rows, columns] = x.shape();
    let end = start.checked_add(count).filter(|end| *end <= columns);
    end.ok_or_else(|| {
        invalid("columns of a matrix").numbers(start.saturating_add(count) as u64, columns as u64)
    })?;
    let result = engine.blank([rows, count])?;
    copy_columns(engine, (x, start), (&result, 0), count)?;
    Ok(result)
}
