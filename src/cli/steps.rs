//! The steps of a plan as text, for `zsseg inspect --plan`.

use crate::plan::{Element, NO_TENSOR, Operation, Plan, Step, Tensor};
use anyhow::Result;
use std::fmt::Write;
use std::format;
use std::string::String;

/// A line for each step: what it does, to which tensors, where its output lies, how many of its
/// rows are in memory (`in 8`: they are made 8 at a time, with those of the steps of the chain
/// above, of which less is in memory), bytes of its constants, multiply-accumulates, its time if
/// `times_ms` gives one; and the sums.
///
/// # Errors
/// None for a plan that was checked.
pub fn text(plan: &Plan<'_>, times_ms: Option<&[f64]>) -> Result<String> {
    let mut text = String::from(
        "step  operation          input            output              at bytes   rows  constants         MACs",
    );
    text += if times_ms.is_some() { "         ms   GMAC/s\n" } else { "\n" };
    let (mut macs, mut constants) = (0, 0);
    for (index, step) in plan.steps().enumerate() {
        let input = match step.inputs[0] {
            NO_TENSOR => String::from("-"),
            first => shape(&plan.tensor(first)?),
        };
        let output = plan.tensor(step.output)?;
        let bytes: u64 = step.constants.iter().map(|constant| constant.len_bytes).sum();
        write!(
            text,
            "{index:4}  {:17}  {input:15}  {:15}  {:>10}  {:>5}  {bytes:>9}  {:>11}",
            name(&step.operation),
            shape(&output),
            output.offset_bytes,
            rows(&step, &output),
            step.macs,
        )?;
        if let Some(ms) = times_ms.and_then(|times| times.get(index)) {
            write!(text, "  {ms:>9.4}  {:>7.1}", step.macs as f64 / ms.max(1e-6) / 1e6)?;
        }
        text += "\n";
        macs += step.macs;
        constants += bytes;
    }
    writeln!(
        text,
        "{} steps, {} tensors, {} bytes of arena, {constants} bytes of constants read, {macs} MACs",
        plan.step_count(),
        plan.tensor_count(),
        plan.arena_bytes(),
    )?;
    if let Some(times) = times_ms {
        let ms: f64 = times.iter().sum();
        writeln!(text, "{ms:.3} ms, {:.1} GMAC/s", macs as f64 / ms.max(1e-6) / 1e6)?;
    }
    Ok(text)
}

fn rows(step: &Step, output: &Tensor) -> String {
    match (output.buffered_rows, step.strip_rows) {
        (0, 0) => String::from("all"),
        (0, strip) => format!("in {strip}"),
        (buffered, _) => format!("{buffered}"),
    }
}

fn shape(tensor: &Tensor) -> String {
    let element = match tensor.element {
        Element::U8 => "u8",
        Element::F32 => "f32",
    };
    format!("{}x{}x{} {element}", tensor.height, tensor.width, tensor.channels)
}

fn name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Convolution { .. } => "convolution",
        Operation::Depthwise { .. } => "depthwise",
        Operation::MatrixProduct { .. } => "matrix product",
        Operation::Attention { .. } => "attention",
        Operation::Binary { .. } => "binary",
        Operation::Unary { .. } => "unary",
        Operation::MaxPool { .. } => "max pool",
        Operation::AveragePool { .. } => "average pool",
        Operation::GlobalAverage => "global average",
        Operation::ChannelMean => "channel mean",
        Operation::Resize { .. } => "resize",
        Operation::Softmax => "softmax",
        Operation::LayerNorm { .. } => "layer norm",
        Operation::Quantize => "quantize",
        Operation::Dequantize => "dequantize",
        Operation::Copy => "copy",
        Operation::Pad { .. } => "pad",
        Operation::Transpose { .. } => "transpose",
        Operation::Slice { .. } => "slice",
        Operation::Broadcast => "broadcast",
        Operation::Constant => "constant",
    }
}
