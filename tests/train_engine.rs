//! The operations of the training engine against golden vectors, finite differences and laws.

#![cfg(feature = "train")]

#[path = "train_engine/common.rs"]
mod common;
#[path = "train_engine/differences.rs"]
mod differences;
#[path = "train_engine/golden.rs"]
mod golden;
#[path = "train_engine/laws.rs"]
mod laws;
#[path = "train_engine/refusals.rs"]
mod refusals;
