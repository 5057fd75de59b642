//! Plans: networks compiled to a flat list of steps over one arena.
//!
//! A plan is bytes: tables of tensors and steps, and constants. [`Plan::new`] checks all of it
//! once; [`Runner`] then runs it without allocation and without a possible failure. Plans are made
//! on a workstation, which writes them with `encode`.

mod band;
mod chain;
mod check;
#[cfg(feature = "std")]
mod encode;
mod fields;
pub mod layout;
mod operation;
mod ops;
mod parts;
mod reader;
mod regions;
mod run;
mod step;
mod tensor;

#[cfg(feature = "std")]
pub(crate) use chain::{Link, around as chain_around};
#[cfg(feature = "std")]
pub use encode::{Parts, encode};
#[cfg(feature = "std")]
pub(crate) use ops::gather_bytes;
pub use ops::scratch_bytes;
pub use reader::{Lifetime, Plan, Target};
pub use run::Runner;
pub use step::{
    Activation, BinaryOp, Constant, CoordinateMode, Interpolation, MAX_CHAIN_STEPS, MAX_CONSTANTS,
    MAX_INPUTS, MatrixStrides, Nearest, Operation, Step, Window,
};
pub use tensor::{Element, NO_TENSOR, TAIL_BYTES, Tensor, TensorIndex};
