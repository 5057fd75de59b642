//! Any number of tensors of a network at once, for tools that learn from them.

use super::{Options, OutputShape, TractBackbone, load};
use crate::backbone::Backbone;
use crate::image::Target;
use crate::status::{Result, Status};
use std::panic::catch_unwind;
use std::vec::Vec;
use tract_core::prelude::TVec;

/// An ONNX network of which several named tensors are read.
pub struct TractTaps {
    backbone: TractBackbone,
    shapes: Vec<Vec<usize>>,
}

impl TractTaps {
    /// Loads an ONNX model to read the tensors called `names`: any tensors of the graph, each once.
    /// What `options` says about outputs is not looked at.
    ///
    /// # Errors
    /// As for [`TractBackbone::load`]; [`Status::InvalidArgument`] without names or for a name
    /// given twice; [`Status::ModelShape`] for a tensor that is not f32 or has no fixed sides.
    pub fn load(onnx: &[u8], options: &Options<'_>, names: &[&str]) -> Result<TractTaps> {
        let twice = |(index, name): (usize, &&str)| names.iter().take(index).any(|one| one == name);
        if names.is_empty() || names.iter().enumerate().any(twice) {
            return Err(Status::InvalidArgument.about("names of taps"));
        }
        let loaded = catch_unwind(|| load::load_taps(onnx, options, names));
        let loaded = loaded.unwrap_or_else(|_| Err(Status::Panic.about("loading the network")));
        let (loaded, shapes) = loaded?;
        let backbone = TractBackbone {
            state: loaded.state,
            input: loaded.input,
            outputs: TVec::new(),
            shape: OutputShape::of(options),
            second_shape: None,
            coverage: loaded.coverage,
            poisoned: false,
        };
        Ok(TractTaps { backbone, shapes })
    }

    /// Sides of each tensor, in the order of the names, the batch of 1 included.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    /// Where the next input is to be written.
    ///
    /// # Errors
    /// As for [`Backbone::input`].
    pub fn input(&mut self) -> Result<Target<'_>> {
        self.backbone.input()
    }

    /// Runs the network on the input.
    ///
    /// # Errors
    /// As for [`Backbone::run`].
    pub fn run(&mut self) -> Result<()> {
        self.backbone.run()
    }

    /// Elements of a tensor of the latest successful run, in the order of its sides.
    ///
    /// # Errors
    /// [`Status::InvalidState`] before a run, and if there is no such tensor.
    pub fn output(&self, index: usize) -> Result<&[f32]> {
        self.backbone.elements(index)
    }
}
