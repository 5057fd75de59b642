//! From a trained network to a bundle.
//!
//! [`pack()`] puts together an ONNX network, a classifier, a list of classes and a pack file (TOML,
//! described in `docs/pack.md`). Every mismatch between them is an error that names the file and
//! the field.

mod classes;
mod config;
mod head;
mod pack;
mod profiles;

pub use config::{Config, WeightTypeName};
pub use pack::{Source, Sources, pack};
