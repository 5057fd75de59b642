//! Engines that run the network.
//!
//! The segmenter fills [`Backbone::input`], calls [`Backbone::run`] and reads
//! [`Backbone::output`]. Features that come from elsewhere (an NPU) need no engine: they go
//! straight to the head.

use crate::image::Target;
use crate::map::Map;
use crate::status::Result;

#[cfg(feature = "tract")]
pub mod tract;

/// A network of fixed input size, batch 1.
pub trait Backbone {
    /// Where the next input is to be written, in the layout and type that the bundle states.
    fn input(&mut self) -> Result<Target<'_>>;

    /// Runs the network on the input.
    ///
    /// # Errors
    /// [`crate::status::Status::ModelRun`] with the engine's reason. The output is then
    /// undefined and the engine can be used again.
    fn run(&mut self) -> Result<()>;

    /// The output of the latest successful run.
    fn output(&self) -> Result<Map<'_, f32>>;
}

/// How much of a network an engine computes in integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Nodes that multiply and accumulate (convolutions, matrix products) in integers.
    pub integer_nodes: u32,
    /// Such nodes that run in floating point.
    pub float_nodes: u32,
    /// Multiply-accumulates per frame in integers.
    pub integer_macs: u64,
    /// Multiply-accumulates per frame in floating point.
    pub float_macs: u64,
    /// Activations rounded to their integer grid while staying in floating point (the QDQ form
    /// of quantised networks). Float nodes between them may compute with whole numbers, exactly.
    pub emulated_quantizations: u32,
}
