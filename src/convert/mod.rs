//! From a trained network to a bundle.
//!
//! [`pack()`] puts together an ONNX network, a classifier, a list of classes, what is there for new
//! classes and a pack file (TOML, described in `docs/pack.md`). Every mismatch between them is an
//! error that names the file and the field. [`quantize()`] makes an 8-bit network of a float one
//! before that.

mod classes;
mod compile;
mod config;
mod graph;
mod head;
mod npy;
mod output;
mod pack;
mod profiles;
mod provenance;
mod quantize;
mod tables;
mod tensors;
mod words;
mod zero_shot;

pub use compile::{CompiledBundle, compile_bundle};
pub use config::{Config, NetworkConfig, WeightTypeName};
pub use graph::{BlockWeights, DecoderLayers, FEATURES, LayerWeights, append_features};
pub use npy::{Array, read as read_matrix, read_array, read_vector};
pub use pack::{Source, Sources, pack};
pub use quantize::{
    DEFAULT_PERCENTILE, EqualizedPair, FloatReport, Histogram, LabelHead, LayerReport, Observed,
    QuantizeSettings, QuantizeSource, QuantizedNetwork, RangeMethod, Report, RunTaps, Samples,
    SmoothedNorm, TakeTap, TensorReport, balanced_scales, corrected_biases, equalized_network,
    grid_of_range, quantize, quantize_weights, squared_error,
};
pub use tensors::Matrix;
#[cfg(feature = "train")]
pub(crate) use tensors::Tensors;
pub use words::WordTable;
pub use zero_shot::ZeroShotSources;
