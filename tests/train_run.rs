//! Runs that are kept in a folder: whatever ends them, they go on to the same bits.
#![cfg(feature = "train")]

#[path = "train_run/bundles.rs"]
mod bundles;
#[path = "train_run/configs.rs"]
mod configs;
#[path = "train_run/fusions.rs"]
mod fusions;
#[path = "train_run/killed.rs"]
mod killed;
#[path = "train_run/models.rs"]
mod models;
#[path = "train_run/resumed.rs"]
mod resumed;
#[path = "train_run/sessions.rs"]
mod sessions;
#[allow(dead_code)] // the other tests of methods use the rest
#[path = "train_methods/support.rs"]
mod support;
#[path = "train_run/toy.rs"]
mod toy;
#[path = "train_run/trainee.rs"]
mod trainee;
#[path = "train_methods/two_taps.rs"]
mod two_taps;
