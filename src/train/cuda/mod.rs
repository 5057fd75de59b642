//! The engine on an NVIDIA GPU (feature `train-cuda`; `docs/cuda.md`).
//!
//! Kernels are CUDA sources in `kernels`, part of the program, and compiled for the device at hand
//! by NVRTC when they are first needed. A [`Backend`] compiles and launches them: [`Driver`] on a
//! GPU, `Simulator` (feature `kernel-sim`) on the processor for tests. [`CudaEngine`] is the
//! same code on both.
//!
//! No CUDA library is linked. Those that are missing give a [`DeviceError`] that says which.

mod backend;
mod cache;
#[allow(unsafe_code)]
mod copies;
#[allow(unsafe_code)]
mod driver;
mod engine;
mod guard;
#[cfg(feature = "train-nccl")]
#[allow(unsafe_code)]
mod nccl;
#[allow(unsafe_code)]
mod nvrtc;
#[cfg(feature = "kernel-sim")]
#[allow(unsafe_code)]
mod simulator;
mod sources;

pub use backend::{Argument, Backend, Define, Launch, Limits, Multiply, Work};
pub use driver::Driver;
pub use engine::{CudaEngine, Numbers, PairDefines, Precision, Sent, Tensor, pair_defines};
pub use guard::{DeviceError, count_devices};
#[cfg(feature = "train-nccl")]
pub use nccl::{GroupId, Peers};
pub use nvrtc::{Compiled, Compiler, Resources};
#[cfg(feature = "kernel-sim")]
pub use simulator::Simulator;
pub use sources::{SOURCES, Source};
