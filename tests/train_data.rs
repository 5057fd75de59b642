//! Readers of data sets, splits and embeddings.
#![cfg(feature = "train")]

#[path = "train_data/embeddings.rs"]
mod embeddings;
#[path = "train_data/masks.rs"]
mod masks;
#[path = "train_data/sets.rs"]
mod sets;
#[path = "train_data/shared.rs"]
mod shared;
#[path = "train_data/splits.rs"]
mod splits;
#[path = "train_data/support.rs"]
mod support;
