//! Data sets: pictures with tri-state labels, the splits of their classes, and embeddings.
//!
//! [`voc`], [`cityscapes`], [`coco_stuff`], [`camvid`] and [`folder`] make a [`FileSet`], which
//! is a [`DataSet`]. Everything that is wrong with a file is a [`DataError`] that names it.

mod classes;
mod embedding;
mod embedding_files;
mod error;
mod label;
mod lists;
mod mask;
pub mod names;
mod picture;
mod readers;
mod resample;
mod set;
mod source;
mod splits;

pub use classes::ClassList;
pub use embedding::{Alias, EmbeddingTable, VOC_ALIASES, wanted_words};
pub use error::{DataError, Result};
pub use label::{Histogram, Label, LabelMap, LabelPlane, MAX_CLASSES};
pub use mask::{MaskCoding, read_mask};
pub use picture::{picture_size, read_picture};
pub use readers::{
    CityscapesMasks, FolderNumbers, VocMasks, camvid, cityscapes, coco_stuff, folder, voc,
};
pub use resample::Nearest;
pub use set::{DataSet, FileSet, Sample};
pub use source::{DataSource, Layout};
pub use splits::{Background, Role, Roles, Split};
