//! Resizing and depthwise convolution of pictures.

use super::super::backend::Backend;
use super::super::sources::{BILINEAR, DEPTHWISE};
use super::rows::{BLOCK, BLOCK_ROWS, column_sums};
use super::{CudaEngine, Tensor};
use crate::status::Result;
use crate::train::engine::common::{
    check, check_pictures, check_shape, invalid, pixels, readers, taps,
};
use crate::train::engine::{Depthwise, Resize};
use std::vec::Vec;

/// Places of a kernel.
const PLACES: usize = 9;

/// An index as kernels read it.
fn word(index: usize) -> Result<u32> {
    u32::try_from(index).map_err(|_| invalid("side of a picture"))
}

pub(super) fn resize<B: Backend>(
    engine: &CudaEngine<B>,
    x: &Tensor<B>,
    settings: &Resize,
) -> Result<Tensor<B>> {
    let Resize { pictures, from, to, align_corners } = *settings;
    let [rows, columns] = x.shape();
    check("rows of the pictures", rows, pixels(pictures, from)?)?;
    let result = engine.blank([pixels(pictures, to)?, columns])?;
    // As the kernel's `Tap`: two indices and two weights.
    let mut words = Vec::with_capacity(4 * (to[0] + to[1]));
    for axis in 0..2 {
        for tap in taps(from[axis], to[axis], align_corners) {
            let weights =
                [1.0 - tap.fraction, tap.fraction].map(|weight| (weight as f32).to_bits());
            words.extend([word(tap.low)?, word(tap.high)?]);
            words.extend(weights);
        }
    }
    let taps = engine.upload_numbers(&words)?;
    engine
        .call(&BILINEAR, "resize")
        .tensor(x)
        .array::<u32>(&taps, words.len())
        .size(from[0])
        .size(from[1])
        .size(to[0])
        .size(to[1])
        .size(columns)
        .tensor(&result)
        .long(result.count())
        .each(result.count())?;
    Ok(result)
}

pub(super) fn resize_backward<B: Backend>(
    engine: &CudaEngine<B>,
    dy: &Tensor<B>,
    settings: &Resize,
) -> Result<Tensor<B>> {
    let Resize { pictures, from, to, align_corners } = *settings;
    let [rows, columns] = dy.shape();
    check("rows of the pictures", rows, pixels(pictures, to)?)?;
    let result = engine.blank([pixels(pictures, from)?, columns])?;
    // As the kernel's `Reader`: an index and a weight.
    let (mut starts, mut words) = (Vec::new(), Vec::new());
    for axis in 0..2 {
        let taps = taps(from[axis], to[axis], align_corners);
        starts.push(word(words.len() / 2)?);
        for list in readers(&taps, from[axis]) {
            for (index, weight) in list {
                words.extend([word(index)?, (weight as f32).to_bits()]);
            }
            starts.push(word(words.len() / 2)?);
        }
    }
    let (all, readers) = (engine.upload_numbers(&starts)?, engine.upload_numbers(&words)?);
    engine
        .call(&BILINEAR, "resize_backward")
        .tensor(dy)
        .array::<u32>(&all, starts.len())
        .array::<u32>(&readers, words.len())
        .size(from[0])
        .size(from[1])
        .size(to[0])
        .size(to[1])
        .size(columns)
        .tensor(&result)
        .long(result.count())
        .each(result.count())?;
    Ok(result)
}

pub(super) fn depthwise<B: Backend>(
    engine: &CudaEngine<B>,
    x: &Tensor<B>,
    weights: &Tensor<B>,
    bias: Option<&Tensor<B>>,
    settings: &Depthwise,
) -> Result<Tensor<B>> {
    if let Some(bias) = bias {
        check_shape(bias.shape(), [1, x.shape()[1]])?;
    }
    convolve(engine, x, weights, bias, settings, false)
}

pub(super) fn depthwise_backward<B: Backend>(
    engine: &CudaEngine<B>,
    dy: &Tensor<B>,
    weights: &Tensor<B>,
    settings: &Depthwise,
) -> Result<Tensor<B>> {
    convolve(engine, dy, weights, None, settings, true)
}

fn convolve<B: Backend>(
    engine: &CudaEngine<B>,
    x: &Tensor<B>,
    weights: &Tensor<B>,
    bias: Option<&Tensor<B>>,
    settings: &Depthwise,
    is_turned: bool,
) -> Result<Tensor<B>> {
    let [rows, columns] = x.shape();
    check_pictures(rows, settings)?;
    word(rows)?;
    check_shape(weights.shape(), [PLACES, columns])?;
    let result = engine.blank(x.shape())?;
    engine
        .call(&DEPTHWISE, "depthwise")
        .tensor(x)
        .tensor(weights)
        .tensor_or_null(bias)
        .word(u32::from(is_turned))
        .size(settings.grid[0])
        .size(settings.grid[1])
        .size(settings.dilation)
        .size(columns)
        .tensor(&result)
        .long(result.count())
        .each(result.count())?;
    Ok(result)
}

pub(super) fn depthwise_gradient<B: Backend>(
    engine: &CudaEngine<B>,
    x: &Tensor<B>,
    dy: &Tensor<B>,
    settings: &Depthwise,
) -> Result<Tensor<B>> {
    check_shape(dy.shape(), x.shape())?;
    let [rows, columns] = x.shape();
    check_pictures(rows, settings)?;
    if rows == 0 {
        return engine.zeros([PLACES, columns]);
    }
    let blocks = rows.div_ceil(BLOCK_ROWS);
    let parts = engine.blank([blocks, PLACES * columns])?;
    engine
        .call(&DEPTHWISE, "depthwise_gradient")
        .tensor(x)
        .tensor(dy)
        .size(settings.grid[0])
        .size(settings.grid[1])
        .size(settings.dilation)
        .size(rows)
        .size(columns)
        .size(BLOCK_ROWS)
        .tensor(&parts)
        .blocks([blocks, columns.div_ceil(32), PLACES], BLOCK, 0)?;
    Ok(column_sums(engine, &parts)?.shaped([PLACES, columns]))
}
