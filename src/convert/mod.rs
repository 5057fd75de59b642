//! From a trained network to a bundle.
//!
//! [`pack()`] puts together an ONNX network, a classifier, a list of classes, what is there for new classes
//! and a pack file (TOML, described in `docs/pack.md`). Every mismatch between them is an error that names the file and
//! the field.

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
mod tables;
mod tensors;
mod words;
mod zero_shot;

pub use compile::{CompiledBundle, compile_bundle};
pub use config::{Config, NetworkConfig, WeightTypeName};
pub use graph::{BlockWeights, DecoderLayers, FEATURES, LayerWeights, append_features};
pub use npy::{read as read_matrix, read_vector};
pub use pack::{Source, Sources, pack};
pub use tensors::Matrix;
#[cfg(feature = "train")]
pub(crate) use tensors::Tensors;
pub use words::WordTable;
pub use zero_shot::ZeroShotSources;
