//! The engine for GPUs, with its kernels run on the processor, against the CPU engine.

mod contrastive;
mod device;
mod losses;
#[allow(dead_code)]
#[path = "../train_methods/support.rs"]
mod made_up;
mod mmd;
mod operations;
mod pictures;
mod random;
mod refusals;
mod repeat;
mod streaming;
mod support;
mod training;
