//! The tensors and constants of a step: that they exist, when they live, and where they may alias.

use super::lifetimes::{Role, role};
use super::{invalid, moments_of, root_of};
use crate::plan::layout::{CONSTANT_ALIGN_BYTES, NEVER, TensorRecord};
use crate::plan::reader::Plan;
use crate::plan::step::{Operation, Step};
use crate::plan::tensor::{Element, NO_TENSOR, TensorIndex};
use crate::status::Result;

/// Checks that step `index` reads tensors that are complete, and writes one that begins with it.
pub fn check(plan: &Plan<'_>, step: &Step, index: usize) -> Result<()> {
    let moment = (index as u16).saturating_add(1);
    let (chain_first, chain_last) = moments_of(plan, index);
    let mut ended = false;
    for input in step.inputs {
        if input == NO_TENSOR {
            ended = true;
            continue;
        }
        let record = record_of(plan, input)?;
        if ended {
            return Err(invalid("inputs of a step"));
        }
        let (ready, last) = (record.ready.get(), record.last.get());
        if ready >= moment {
            let error = invalid("a tensor is read before it is written");
            return Err(error.numbers(input.into(), ready.into()));
        }
        if last < chain_last {
            let error = invalid("a tensor is read after its end");
            return Err(error.numbers(input.into(), last.into()));
        }
    }
    let output = record_of(plan, step.output)?;
    let begins = output.first.get() == chain_first && output.ready.get() == moment;
    if !begins || output.last.get() < chain_last || role(plan, step.output, output) != Role::Written
    {
        let error = invalid("a tensor is written outside its lifetime");
        return Err(error.numbers(step.output.into(), output.first.get().into()));
    }
    check_scratch(plan, step.scratch, moment)?;
    check_constants(plan, step)
}

fn record_of<'a>(plan: &Plan<'a>, index: TensorIndex) -> Result<&'a TensorRecord> {
    let missing = invalid("index of a tensor").numbers(index.into(), plan.tensors.len() as u64);
    plan.tensors.get(usize::from(index)).ok_or(missing)
}

fn check_scratch(plan: &Plan<'_>, index: TensorIndex, moment: u16) -> Result<()> {
    if index == NO_TENSOR {
        return Ok(());
    }
    let record = record_of(plan, index)?;
    let lives = record.first.get() <= moment && moment <= record.last.get();
    if record.ready.get() != NEVER || !lives {
        return Err(invalid("working memory of a step").numbers(index.into(), moment.into()));
    }
    Ok(())
}

/// Constants lie inside the constants of the plan, aligned; absent ones are all zeros.
fn check_constants(plan: &Plan<'_>, step: &Step) -> Result<()> {
    for constant in &step.constants {
        let (offset, len) = (constant.offset_bytes, constant.len_bytes);
        let aligned = offset.is_multiple_of(CONSTANT_ALIGN_BYTES);
        if !aligned || (len == 0 && offset != 0) {
            return Err(invalid("offset of a constant").numbers(offset, CONSTANT_ALIGN_BYTES));
        }
        if plan.constant(constant).is_none() {
            let error = invalid("a constant reaches beyond the constants");
            return Err(error.numbers(offset.saturating_add(len), plan.constants().len() as u64));
        }
    }
    Ok(())
}

/// Checks that a step does not write where it reads, except in place where its kernel can.
pub fn check_aliases(plan: &Plan<'_>, step: &Step) -> Result<()> {
    let output_root = root_of(plan, step.output);
    let (start, end) = bytes_of(plan, output_root)?;
    let mut shared = 0;
    for (place, input) in step.inputs.into_iter().enumerate() {
        if input == NO_TENSOR {
            continue;
        }
        let root = root_of(plan, input);
        let (input_start, input_end) = bytes_of(plan, root)?;
        if input_end <= start || end <= input_start {
            continue;
        }
        shared += 1;
        let whole = root == input && output_root == step.output && root != output_root;
        if shared > 1 || place != 0 || !whole || !runs_in_place(plan, step)? {
            let error = invalid("a step writes where it reads");
            return Err(error.numbers(input.into(), step.output.into()));
        }
    }
    Ok(())
}

fn bytes_of(plan: &Plan<'_>, index: TensorIndex) -> Result<(u64, u64)> {
    let tensor = record_of(plan, index)?.decode()?;
    let start = tensor.offset_bytes;
    Ok((start, start.saturating_add(tensor.footprint_bytes())))
}

/// Whether a step's kernel can write its first input's own bytes.
fn runs_in_place(plan: &Plan<'_>, step: &Step) -> Result<bool> {
    let [input, ..] = step.inputs;
    let (input, output) = (plan.tensor(input)?, plan.tensor(step.output)?);
    let same_bytes = input.offset_bytes == output.offset_bytes && input.element == output.element;
    let same_form = input.shape() == output.shape() && input.pixel_stride == output.pixel_stride;
    let dense = input.is_dense() && output.is_dense() && input.values() == output.values();
    Ok(same_bytes
        && match step.operation {
            Operation::Unary { .. } | Operation::Binary { .. } => same_form,
            Operation::Softmax | Operation::LayerNorm { .. } => {
                same_form && output.element == Element::F32
            }
            Operation::Copy => dense,
            _ => false,
        })
}
