//! Hostile bundles: every byte string gives a typed error or a usable model, never a panic.

mod content;
mod fixture;
mod good;
mod hostile_parts;
mod random;
mod rewrite;
mod structure;
mod zero_shot;
