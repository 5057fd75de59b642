//! Feature stores, views, and labels in the network's frame.
#![cfg(feature = "train")]

#[path = "train_store/extraction.rs"]
mod extraction;
#[path = "train_store/files.rs"]
mod files;
#[path = "train_store/stored.rs"]
mod stored;
#[path = "train_store/support.rs"]
mod support;
#[path = "train_store/views.rs"]
mod views;
