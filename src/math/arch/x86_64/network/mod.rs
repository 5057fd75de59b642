//! Kernels of a network's layers. Each is to be called only where the processor has the features it
//! is compiled for; `kernels` hands them out so.

mod avx512;
mod depthwise_f32;
mod depthwise_lanes;
mod depthwise_tile;
mod depthwise_u8;
mod floats;
pub mod gemm_dynamic_u8;
mod gemm_f32;
pub mod gemm_u8;
mod gemm_u8_amx;
mod gemm_u8_avx2;
mod gemm_u8_finish;
mod gemm_u8_finish_avx2;
mod gemm_u8_vnni;
pub mod kernels;
pub mod kernels_f32;
mod lanes_avx2;
mod lanes_avx512;
mod layers_avx2;
mod layers_avx512;
