//! From a camera frame to a network's input, and the exact geometry back.
//!
//! [`Image`] borrows a frame in one of ten pixel formats and checks it once. [`Preprocessor`]
//! resizes, pads, reorders, normalises and quantises it in one pass, with scratch memory of the
//! order of a few rows and no full-size temporary. [`Geometry`] says where the frame lies in the
//! input, so that a mask can be brought back to the frame's pixels.

mod bands;
mod fetch;
mod format;
mod geometry;
mod preprocess;
mod resize;
mod write;

pub use format::{ColorMatrix, ColorRange, Image, PixelFormat, Plane, PlaneShape};
pub use geometry::{Geometry, max_taps};
pub use preprocess::{Preprocessor, Target};
