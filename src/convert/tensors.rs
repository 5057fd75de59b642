//! Named matrices of finite numbers from safetensors files.

use anyhow::{Context, Result, anyhow, bail, ensure};
use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::format;
use std::vec::Vec;

/// A safetensors file that has no other tensors than those asked for.
pub(crate) struct Tensors<'a>(SafeTensors<'a>);

/// Numbers, row by row.
#[derive(Debug)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Numbers of a row.
    pub columns: usize,
    /// `rows * columns` numbers.
    pub values: Vec<f32>,
}

impl<'a> Tensors<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// If it is none, or has a tensor that is not `known`.
    pub(crate) fn open(bytes: &'a [u8], known: &[&str]) -> Result<Tensors<'a>> {
        let file = SafeTensors::deserialize(bytes).context("not a safetensors file")?;
        for name in file.names() {
            ensure!(known.contains(&name), "tensor `{name}` is not known");
        }
        Ok(Tensors(file))
    }

    /// The tensor, f32 or f16, of shape [rows, columns] or [rows, columns, 1, 1]. `meaning` says
    /// what rows and columns are.
    ///
    /// # Errors
    /// Naming the tensor that is missing, of another type or shape, or not finite.
    pub(crate) fn matrix(&self, name: &str, meaning: &str) -> Result<Matrix> {
        let tensor = self.tensor(name)?;
        let (rows, columns) = match *tensor.shape() {
            [rows, columns] | [rows, columns, 1, 1] => (rows, columns),
            ref shape => bail!("`{name}` has shape {shape:?}, not {meaning}"),
        };
        ensure!(rows > 0 && columns > 0, "`{name}` is empty");
        let values = floats(name, &tensor)?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            bail!("`{name}` [{}, {}] is {}", at / columns, at % columns, values[at]);
        }
        Ok(Matrix { rows, columns, values })
    }

    /// As [`Tensors::matrix`], of shape [len].
    pub(crate) fn vector(&self, name: &str, len: usize, whose: &str) -> Result<Vec<f32>> {
        let tensor = self.tensor(name)?;
        let shape = tensor.shape();
        ensure!(shape == [len], "`{name}` has shape {shape:?}, but {whose}");
        let values = floats(name, &tensor)?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            bail!("`{name}` [{at}] is {}", values[at]);
        }
        Ok(values)
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'a>> {
        self.0.tensor(name).map_err(|_| anyhow!("tensor `{name}` is missing"))
    }
}

/// The numbers as 16-bit floats.
///
/// # Errors
/// Naming the first that is too large.
pub(super) fn halves(name: &str, values: &[f32]) -> Result<Vec<f16>> {
    let halves: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
    if let Some(at) = halves.iter().position(|half| !half.is_finite()) {
        bail!("`{name}`: number {at} = {} does not fit in an f16", values[at]);
    }
    Ok(halves)
}

fn floats(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Ok(elements(data).map(f32::from_le_bytes).collect()),
        Dtype::F16 => Ok(elements(data).map(|raw| f16::from_le_bytes(raw).to_f32()).collect()),
        other => Err(anyhow!(format!("`{name}` is {other:?}, not F32 or F16"))),
    }
}

fn elements<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.chunks_exact(N).filter_map(|raw| raw.try_into().ok())
}
