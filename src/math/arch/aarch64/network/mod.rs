//! Kernels of a network's layers. Each is to be called only where the processor has the features it
//! is compiled for; `kernels` hands them out so.

mod depthwise_u8;
mod floats;
mod gemm_f32;
pub mod gemm_u8;
mod gemm_u8_dotprod;
mod gemm_u8_finish;
mod gemm_u8_i8mm;
mod gemm_u8_neon;
pub mod kernels;
pub mod kernels_f32;
mod lanes;
