//! The tests of `train_cuda` on the first GPU. `cargo test` leaves them out, since they fail where
//! there is none; the program can be carried to a machine that has one (`docs/cuda.md`).

#[path = "../train_cuda/contrastive.rs"]
mod contrastive;
mod device;
#[path = "../train_cuda/losses.rs"]
mod losses;
#[allow(dead_code)]
#[path = "../train_methods/support.rs"]
mod made_up;
#[path = "../train_cuda/mmd.rs"]
mod mmd;
#[cfg(feature = "train-nccl")]
mod nccl;
#[path = "../train_cuda/operations.rs"]
mod operations;
#[path = "../train_cuda/pictures.rs"]
mod pictures;
#[path = "../train_cuda/random.rs"]
mod random;
#[path = "../train_cuda/refusals.rs"]
mod refusals;
#[path = "../train_cuda/repeat.rs"]
mod repeat;
#[path = "../train_cuda/streaming.rs"]
mod streaming;
#[path = "../train_cuda/support.rs"]
mod support;
#[path = "../train_cuda/training.rs"]
mod training;
