//! Zero-shot semantic segmentation on edge devices: a camera frame goes in, a mask comes out, in
//! a memory budget that is known before anything is loaded.
//!
//! The layers, each of which imports only those above it in this list:
//!
//! | layer | modules |
//! |---|---|
//! | L0 | [`status`], [`limits`] |
//! | L1 | [`arena`], [`map`], [`spec`], [`threads`], [`trace`], [`math`] |
//! | L2 | [`image`], [`classes`], [`head`], [`bundle`], [`plan`], [`spectral`] |
//! | L3 | `compile`, [`backbone`] |
//! | L4 | [`segmenter`], `viz`, `metrics` |
//! | L5 | `ffi`, `convert`, `train`, `cli` |
//!
//! `no_std` without `alloc` up to and including the segmenter; `std` adds longer error texts,
//! run-time detection of vector instructions and the bundle writer, `tract` adds the engine that
//! runs ONNX networks.
#![no_std]
#![deny(missing_docs, unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]

#[cfg(any(feature = "std", test))]
#[cfg_attr(test, macro_use)]
extern crate std;
// Hosts unwind, and a library for C must then bring std's panic machinery although the code uses
// none of std. Firmware aborts and brings its own (`ffi/panic.rs`).
#[cfg(all(not(feature = "std"), not(test), panic = "unwind"))]
extern crate std as _;

pub mod arena;
pub mod backbone;
pub mod bundle;
pub mod classes;
pub mod head;
pub mod image;
pub mod limits;
pub mod map;
pub mod math;
pub mod plan;
pub mod segmenter;
pub mod spec;
pub mod spectral;
pub mod status;
pub mod threads;
pub mod trace;

#[cfg(feature = "std")]
pub mod compile;
#[cfg(feature = "std")]
pub mod metrics;
#[cfg(feature = "std")]
pub mod viz;

#[cfg(feature = "train")]
pub mod train;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod convert;

#[cfg(feature = "capi")]
pub mod ffi;
