//! Layers that are put together of the engine's operations.

pub mod decoder;
mod generator;
mod linear;
mod parameter;

pub use decoder::{Decoder, DecoderSettings, DecoderShape};
pub use generator::{
    Chain, GENERATOR_SLOPE, Generator, GeneratorForm, GeneratorGradients, LayerTensors, Trace,
    convolve, convolve_backward,
};
pub use linear::{Linear, LinearGradients};
pub use parameter::{Optimiser, Parameter, Update, step_all};
