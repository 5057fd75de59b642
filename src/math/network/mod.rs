//! Kernels of a network's layers: the portable reference of each. Vector versions of the same,
//! equal to them by test, are in `math/arch`.

pub mod activation_f32;
pub mod attention_f32;
pub mod conv_f32;
mod conv_gather;
pub mod conv_shape;
pub mod conv_u8;
pub mod depthwise_f32;
pub mod depthwise_u8;
pub mod elementwise_f32;
pub mod elementwise_u8;
pub mod floats;
pub mod functions_f32;
pub mod gemm_dynamic_u8;
pub mod gemm_f32;
pub mod gemm_out;
pub mod gemm_pack;
pub mod gemm_u8;
pub mod kernels;
pub mod kernels_f32;
pub mod kernels_u8;
pub mod layout_f32;
pub mod norm_f32;
pub mod pool_f32;
pub mod pool_u8;
pub mod quantization;
pub mod quantize_u8;
pub mod resample_axis;
pub mod resize_f32;
pub mod resize_u8;
pub mod spans;
pub mod table_u8;
pub mod vector;
pub mod view;
pub mod window;

#[cfg(test)]
mod conv_tests;
#[cfg(test)]
mod gemm_tests;
#[cfg(test)]
pub(crate) mod testing;
