//! A small trainable decoder over several frozen taps.
//!
//! Each tap goes through a 1x1 convolution and a ReLU at its own grid; all are resized bilinearly
//! to one grid and put side by side; then come blocks of a depthwise 3x3, a 1x1 and a ReLU.

mod parts;
mod pass;
mod settings;
mod training;

pub use parts::{Block, Dense, Layers};
pub use pass::{Pass, backward, forward};
pub use settings::{DecoderSettings, DecoderShape};
pub use training::{DecoderTraining, ScaledTaps, SentTaps};

use crate::convert::{BlockWeights, DecoderLayers, LayerWeights};
use crate::train::engine::{CpuEngine, Matrix};
use crate::train::error::{Error, Result};
use crate::train::pictures::Pictures;
use crate::train::stage::State;
use std::format;
use std::string::String;
use std::vec::Vec;

/// A decoder as numbers, in terms of the taps as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    shape: DecoderShape,
    layers: Layers<Matrix<f32>>,
}

impl Decoder {
    /// A decoder of given weights.
    ///
    /// # Errors
    /// [`Error::Config`] unless the layers have the shapes that `shape` says, and all numbers are
    /// finite.
    pub fn new(shape: DecoderShape, layers: Layers<Matrix<f32>>) -> Result<Decoder> {
        shape.check()?;
        let wanted = shape.parameters();
        let found = layers.named();
        if wanted.named().len() != found.len() {
            return Err(Error::config("the decoder has another number of layers than its shape"));
        }
        for ((name, wanted), (_, found)) in wanted.named().into_iter().zip(found) {
            if found.shape() != *wanted {
                let found = found.shape();
                let reason = format!("{name} of the decoder is {found:?}, should be {wanted:?}");
                return Err(Error::config(reason));
            }
            if !found.values().iter().all(|value| value.is_finite()) {
                return Err(Error::config(format!("{name} of the decoder is not finite")));
            }
        }
        Ok(Decoder { shape, layers })
    }

    /// What it looks like.
    pub fn shape(&self) -> &DecoderShape {
        &self.shape
    }

    /// Its weights.
    pub fn layers(&self) -> &Layers<Matrix<f32>> {
        &self.layers
    }

    /// Features `[pictures * rows * columns, channels]` at the decoder's grid, of the taps
    /// `[pictures * height * width, channels]` of one or several pictures.
    ///
    /// # Errors
    /// Those of the engine, for taps of other shapes.
    pub fn forward(
        &self,
        engine: &CpuEngine,
        taps: &[Matrix<f32>],
        pictures: usize,
    ) -> Result<Matrix<f32>> {
        let layers = self.layers.as_ref();
        Ok(forward(engine, &self.shape, &layers, taps, pictures)?.into_features())
    }

    /// The decoder as layers that [`crate::convert::append_features`] adds to a network.
    pub fn to_layers(&self) -> DecoderLayers {
        let weights = |dense: &Dense<Matrix<f32>>| LayerWeights {
            weights: dense.weight.values().to_vec(),
            bias: dense.bias.values().to_vec(),
        };
        let block = |(index, block): (usize, &Block<Matrix<f32>>)| BlockWeights {
            depthwise: weights(&block.depthwise),
            pointwise: weights(&block.pointwise),
            has_relu: self.shape.is_rectified(index),
            adds_input: self.shape.adds(block.depthwise.bias.shape()[1]),
        };
        DecoderLayers {
            taps: self.layers.taps.iter().map(weights).collect(),
            blocks: self.layers.blocks.iter().enumerate().map(block).collect(),
            dilation: self.shape.settings.dilation,
        }
    }

    /// Writes the weights into a state, under names that start with `name`.
    pub fn save(&self, name: &str, state: &mut State) {
        for (part, matrix) in self.layers.named() {
            state.put(&format!("{name}.{part}"), matrix.clone());
        }
    }

    /// Reads what [`Decoder::save`] wrote for a decoder of this shape.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such decoder, or one of another shape.
    pub fn load(name: &str, shape: DecoderShape, state: &State) -> Result<Decoder> {
        shape.check()?;
        let read = |part: &str, shape: &[usize; 2]| -> Result<Matrix<f32>> {
            Ok(state.get_shaped(&format!("{name}.{part}"), *shape)?.clone())
        };
        let layers = shape.parameters().try_map(read)?;
        Decoder::new(shape, layers)
    }
}

/// All taps of a view of a picture, in their order.
///
/// # Errors
/// As [`Pictures::tap`]; [`Error::Config`] for pictures whose taps are not those of `shape`.
pub fn read_taps(
    shape: &DecoderShape,
    pictures: &dyn Pictures,
    picture: usize,
    view: usize,
) -> Result<Vec<Matrix<f32>>> {
    if pictures.taps() != shape.taps {
        let names = |taps: &[crate::train::pictures::Tap]| -> Vec<String> {
            taps.iter().map(|tap| tap.name.clone()).collect()
        };
        let (found, wanted) = (names(pictures.taps()), names(&shape.taps));
        let reason = format!("a decoder of the taps {wanted:?}, but pictures with {found:?}");
        return Err(Error::config(reason));
    }
    (0..shape.taps.len()).map(|tap| pictures.tap(picture, view, tap)).collect()
}
