//! Forward and backward through a decoder, on any engine and in any type of number.

use super::parts::{Block, Dense, Layers};
use super::settings::DecoderShape;
use crate::train::engine::{Activation, Depthwise, Draw, Engine, Product, Real, Resize};
use crate::train::error::{Error, Result};
use crate::train::pictures::Tap;
use std::format;
use std::vec::Vec;

/// ReLU.
const RELU: Activation =
    Activation { slope: 0.0, dropout: 0.0, draw: Draw { seed: 0, step: 0, stream: 0 } };

/// A forward pass with what the backward pass needs.
#[derive(Clone, Debug)]
pub struct Pass<T> {
    pictures: usize,
    /// Of each tap, what its ReLU was given.
    taps: Vec<T>,
    blocks: Vec<BlockPass<T>>,
    features: T,
}

/// What the layers of a block were given.
#[derive(Clone, Debug)]
struct BlockPass<T> {
    depthwise: T,
    pointwise: T,
    /// None without a ReLU.
    relu: Option<T>,
}

impl<T> Pass<T> {
    /// `[pictures * cells, channels]`.
    pub fn features(&self) -> &T {
        &self.features
    }

    /// The features alone.
    pub fn into_features(self) -> T {
        self.features
    }
}

/// Features of the taps of `pictures` pictures, `[pictures * height * width, channels]` each.
///
/// # Errors
/// [`Error::Config`] for another number of taps; those of the engine for taps of other shapes.
pub fn forward<F: Real, E: Engine<F>>(
    engine: &E,
    shape: &DecoderShape,
    layers: &Layers<&E::Tensor>,
    taps: &[E::Tensor],
    pictures: usize,
) -> Result<Pass<E::Tensor>> {
    check_taps(shape, layers, taps.len())?;
    let (mut given, mut parts) = (Vec::new(), Vec::new());
    for ((layer, tap), x) in layers.taps.iter().zip(&shape.taps).zip(taps) {
        let linear = engine.product(Product::Nt, x, layer.weight, Some(layer.bias))?;
        let active = engine.activate(&linear, &RELU)?;
        parts.push(match resize(shape, tap, pictures) {
            Some(resize) => engine.resize(&active, &resize)?,
            None => active,
        });
        given.push(linear);
    }
    let mut x = engine.join_columns(&parts.iter().collect::<Vec<_>>())?;
    let mut blocks = Vec::new();
    for (index, layer) in layers.blocks.iter().enumerate() {
        let (pass, y) = block_forward(engine, shape, index, layer, x, pictures)?;
        blocks.push(pass);
        x = y;
    }
    Ok(Pass { pictures, taps: given, blocks, features: x })
}

fn check_taps<T>(shape: &DecoderShape, layers: &Layers<T>, taps: usize) -> Result<()> {
    let (wanted, blocks) = (shape.taps.len(), shape.settings.blocks);
    if taps != wanted || layers.taps.len() != wanted || layers.blocks.len() != blocks {
        let reason = format!("{taps} taps for a decoder of {wanted} taps and {blocks} blocks");
        return Err(Error::config(reason));
    }
    Ok(())
}

/// How a tap comes to the grid; none if it has it.
fn resize(shape: &DecoderShape, tap: &Tap, pictures: usize) -> Option<Resize> {
    let (from, to) = ([tap.height, tap.width], shape.grid);
    (from != to).then_some(Resize { pictures, from, to, align_corners: false })
}

fn depthwise(shape: &DecoderShape, pictures: usize) -> Depthwise {
    Depthwise { pictures, grid: shape.grid, dilation: shape.settings.dilation }
}

fn block_forward<F: Real, E: Engine<F>>(
    engine: &E,
    shape: &DecoderShape,
    index: usize,
    layer: &Block<&E::Tensor>,
    x: E::Tensor,
    pictures: usize,
) -> Result<(BlockPass<E::Tensor>, E::Tensor)> {
    let Block { depthwise: deep, pointwise: point } = layer;
    let settings = depthwise(shape, pictures);
    let middle = engine.depthwise(&x, deep.weight, Some(deep.bias), &settings)?;
    let linear = engine.product(Product::Nt, &middle, point.weight, Some(point.bias))?;
    let (mut y, relu) = match shape.is_rectified(index) {
        true => (engine.activate(&linear, &RELU)?, Some(linear)),
        false => (linear, None),
    };
    if shape.adds(engine.shape(&x)[1]) {
        engine.add_scaled(&mut y, F::ONE, &x)?;
    }
    Ok((BlockPass { depthwise: x, pointwise: middle, relu }, y))
}

/// Gradients by all parameters, given that by the features of `pass`, which came from `taps`.
/// The taps are frozen.
///
/// # Errors
/// As [`forward`].
pub fn backward<F: Real, E: Engine<F>>(
    engine: &E,
    shape: &DecoderShape,
    layers: &Layers<&E::Tensor>,
    taps: &[E::Tensor],
    pass: &Pass<E::Tensor>,
    dy: &E::Tensor,
) -> Result<Layers<E::Tensor>> {
    check_taps(shape, layers, taps.len())?;
    let mut dy = dy.clone();
    let mut blocks = Vec::new();
    for (layer, block) in layers.blocks.iter().zip(&pass.blocks).rev() {
        let (gradient, dx) = block_backward(engine, shape, layer, block, &dy, pass.pictures)?;
        blocks.push(gradient);
        dy = dx;
    }
    blocks.reverse();
    let mut start = 0;
    let mut gradients = Vec::new();
    for ((tap, given), x) in shape.taps.iter().zip(&pass.taps).zip(taps) {
        let width = engine.shape(given)[1];
        let part = engine.columns(&dy, start, width)?;
        start += width;
        let part = match resize(shape, tap, pass.pictures) {
            Some(resize) => engine.resize_backward(&part, &resize)?,
            None => part,
        };
        let dlinear = engine.activate_backward(given, &part, &RELU)?;
        gradients.push(dense_gradient(engine, x, &dlinear)?);
    }
    Ok(Layers { taps: gradients, blocks })
}

fn block_backward<F: Real, E: Engine<F>>(
    engine: &E,
    shape: &DecoderShape,
    layer: &Block<&E::Tensor>,
    pass: &BlockPass<E::Tensor>,
    dy: &E::Tensor,
    pictures: usize,
) -> Result<(Block<E::Tensor>, E::Tensor)> {
    let dlinear = match &pass.relu {
        Some(given) => engine.activate_backward(given, dy, &RELU)?,
        None => dy.clone(),
    };
    let pointwise = dense_gradient(engine, &pass.pointwise, &dlinear)?;
    let dmiddle = engine.product(Product::Nn, &dlinear, layer.pointwise.weight, None)?;
    let settings = depthwise(shape, pictures);
    let weight = engine.depthwise_gradient(&pass.depthwise, &dmiddle, &settings)?;
    let deep = Dense { weight, bias: engine.column_sums(&dmiddle)? };
    let mut dx = engine.depthwise_backward(&dmiddle, layer.depthwise.weight, &settings)?;
    if shape.adds(engine.shape(&pass.depthwise)[1]) {
        engine.add_scaled(&mut dx, F::ONE, dy)?;
    }
    Ok((Block { depthwise: deep, pointwise }, dx))
}

fn dense_gradient<F: Real, E: Engine<F>>(
    engine: &E,
    x: &E::Tensor,
    dy: &E::Tensor,
) -> Result<Dense<E::Tensor>> {
    let weight = engine.product(Product::Tn, dy, x, None)?;
    Ok(Dense { weight, bias: engine.column_sums(dy)? })
}
