//! `zsseg quantize` and what it is made of.
#![cfg(feature = "cli")]

#[path = "../command/mod.rs"]
mod command;
mod from_command;
mod layers;
mod networks;
mod ranges;
mod refused;
mod support;
mod transformers;
