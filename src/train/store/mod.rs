//! Features of a frozen network, computed once and kept in a file.
//!
//! A store is a safetensors file: per tap a tensor `tap.NAME` of `[pictures, views, rows,
//! columns, channels]` in f16, a plane `done` of `[pictures, views]` bytes that says which rows
//! are there, and a JSON text under `zsseg` in the metadata ([`StoreMeta`]). It has its final size
//! from the start and rows are written in place, so that work that was broken off is carried on.
//!
//! [`Extractor`] computes features, [`StoreWriter`] and [`StoreReader`] keep them, [`merge`] puts
//! the stores of shards together and [`Stored`] gives them to a training, with labels.

mod bytes;
mod cache;
mod extract;
mod file;
mod geometry;
mod merge;
mod meta;
mod reader;
mod stored;
mod tap_form;
mod writer;

pub use cache::{CacheMeta, PictureCache};
pub use extract::{Extractor, Network, Prepared, Scratch};
pub use geometry::labels_in_frame;
pub use merge::merge;
pub use meta::{BackboneRecord, Shard, StoreMeta, backbone_sha256};
pub use reader::StoreReader;
pub use stored::Stored;
pub use tap_form::{TapForm, TapSource};
pub use writer::StoreWriter;
