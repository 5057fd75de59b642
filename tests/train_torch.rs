//! The training engine against PyTorch in float64: `tools/golden_training.py` writes the files of
//! `tests/data/training`, with every formula written out and its gradient from autograd.
//!
//! An error is the length of the difference over the length of what PyTorch has. In f64 sums of
//! another order are the only difference; in f32 the inputs are rounded as well.

#![cfg(feature = "train")]

#[path = "train_torch/contrastive.rs"]
mod contrastive;
#[path = "train_torch/generator.rs"]
mod generator;
#[path = "train_torch/golden.rs"]
mod golden;
#[path = "train_torch/losses.rs"]
mod losses;
#[path = "train_torch/mmd.rs"]
mod mmd;
#[path = "train_torch/optimisers.rs"]
mod optimisers;
#[path = "train_torch/resize.rs"]
mod resize;
