//! Engines that run the network.
//!
//! The segmenter fills [`Backbone::input`], calls [`Backbone::run`] and reads
//! [`Backbone::output`]. Features that come from elsewhere (an NPU) need no engine: they go
//! straight to the head.

use crate::image::Target;
use crate::map::Map;
use crate::status::Result;

pub mod plan;
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

    /// The second output of the latest successful run, if the network has one.
    fn second_output(&self) -> Result<Option<Map<'_, f32>>>;
}

/// What arithmetic an engine computes a network in: nodes that multiply and accumulate
/// (convolutions, matrix products) and their multiply-accumulates per frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Nodes that run in integer instructions.
    pub integer_nodes: u32,
    /// Nodes whose operands and sums are whole numbers carried by floats: the integers' results.
    pub exact_nodes: u32,
    /// Nodes that run in floating point.
    pub float_nodes: u32,
    /// Multiply-accumulates of the integer nodes.
    pub integer_macs: u64,
    /// Multiply-accumulates of the exact nodes.
    pub exact_macs: u64,
    /// Multiply-accumulates of the float nodes.
    pub float_macs: u64,
    /// Activations rounded to their integer grid while carried by floats.
    pub emulated_quantizations: u32,
}
