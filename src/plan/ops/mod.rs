//! The operations: what each needs to be run, and how it is handed to its kernel.

mod activation;
mod binary;
mod convolution;
mod depthwise;
mod movement;
mod norm;
mod pool;
mod product;
mod resize;
mod site;
mod unary;
mod work;

pub use site::{Site, is_by_pixel};
pub use work::Work;

use super::reader::{Plan, Target};
use super::step::{Operation, Step};
use super::tensor::Tensor;
use crate::status::Result;

/// Checks the shapes, the types and the constants of a step whose tensors exist.
pub fn check(plan: &Plan<'_>, step: &Step) -> Result<()> {
    let site = &Site::of(plan, step)?;
    match step.operation {
        Operation::Convolution { .. } => convolution::check(site),
        Operation::Depthwise { .. } => depthwise::check(site),
        Operation::MatrixProduct { .. } => product::check(site),
        Operation::Attention { .. } => product::check_attention(site),
        Operation::Binary { .. } => binary::check(site),
        Operation::Unary { .. } => unary::check(site),
        Operation::MaxPool { .. } | Operation::AveragePool { .. } => pool::check(site),
        Operation::GlobalAverage => pool::check_global(site),
        Operation::ChannelMean => pool::check_channel_mean(site),
        Operation::Resize { .. } => resize::check(site),
        Operation::Softmax | Operation::LayerNorm { .. } => norm::check(site),
        Operation::Quantize | Operation::Dequantize => unary::check_conversion(site),
        Operation::Copy
        | Operation::Pad { .. }
        | Operation::Transpose { .. }
        | Operation::Slice { .. }
        | Operation::Broadcast => movement::check(site),
        Operation::Constant => movement::check_constant(site),
    }
}

/// Bytes of working memory with which a step runs at full speed on processors of a target; less may
/// still do. 0 where there is no first input.
pub fn scratch_bytes(
    target: Target,
    operation: &Operation,
    inputs: [Option<&Tensor>; 3],
    output: &Tensor,
) -> usize {
    let [Some(input), ..] = inputs else { return 0 };
    match operation {
        Operation::Convolution { .. } => {
            convolution::scratch_bytes(operation, input, output, gather_bytes(target))
        }
        Operation::Depthwise { .. } => depthwise::scratch_bytes(target, operation, input, output),
        Operation::MatrixProduct { .. } | Operation::Attention { .. } => {
            product::scratch_bytes(operation, inputs)
        }
        Operation::GlobalAverage => pool::scratch_bytes(operation, input),
        Operation::Resize { .. } => resize::scratch_bytes(operation, input, output),
        Operation::Softmax | Operation::LayerNorm { .. } => norm::scratch_bytes(operation, output),
        _ => 0,
    }
}

/// Bytes that a convolution may spend on input gathered at a time: part of the nearest large cache.
pub fn gather_bytes(target: Target) -> usize {
    match target {
        Target::X86_64 => 512 << 10,
        Target::Aarch64 => 128 << 10,
        Target::Armv7 => 64 << 10,
        Target::CortexM => 4 << 10,
    }
}

/// Rows that a step is made of: those of its output, products or heads; 1 if it cannot be cut.
pub fn rows(site: &Site<'_>) -> usize {
    match site.operation {
        Operation::MatrixProduct { batch, .. } => batch as usize,
        Operation::Attention { heads, .. } => heads as usize,
        Operation::GlobalAverage => 1,
        _ => site.output().height as usize,
    }
}

/// Makes rows of a step's output. `None`, with the output in disorder, for a step that was not
/// checked.
pub fn run(site: &Site<'_>, work: Work<'_>) -> Option<()> {
    match site.operation {
        Operation::Convolution { .. } => convolution::run(site, work),
        Operation::Depthwise { .. } => depthwise::run(site, work),
        Operation::MatrixProduct { .. } => product::run(site, work),
        Operation::Attention { .. } => product::run_attention(site, work),
        Operation::Binary { .. } => binary::run(site, work),
        Operation::Unary { .. } => unary::run(site, work),
        Operation::MaxPool { .. } | Operation::AveragePool { .. } => pool::run(site, work),
        Operation::GlobalAverage => pool::run_global(site, work),
        Operation::ChannelMean => pool::run_channel_mean(site, work),
        Operation::Resize { .. } => resize::run(site, work),
        Operation::Softmax | Operation::LayerNorm { .. } => norm::run(site, work),
        Operation::Quantize => unary::run_quantize(site, work),
        Operation::Dequantize => unary::run_dequantize(site, work),
        Operation::Copy
        | Operation::Pad { .. }
        | Operation::Transpose { .. }
        | Operation::Slice { .. }
        | Operation::Broadcast => movement::run(site, work),
        Operation::Constant => movement::run_constant(site, work),
    }
}
