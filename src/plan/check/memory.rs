//! No two tensors live in the same bytes at the same time.

use super::invalid;
use super::lifetimes::{Role, role};
use crate::plan::layout::TensorRecord;
use crate::plan::reader::Plan;
use crate::plan::tensor::{NO_TENSOR, TensorIndex};
use crate::status::{Error, Place, Result};

/// Compares every tensor with every other.
pub fn check(plan: &Plan<'_>) -> Result<()> {
    for (record, index) in plan.tensors.iter().zip(0 as TensorIndex..) {
        let is_root = record.parent.get() == NO_TENSOR;
        let others = plan.tensors.iter().zip(0 as TensorIndex..).skip(usize::from(index) + 1);
        for (other, other_index) in others {
            let pair = [(record, index), (other, other_index)];
            match other.parent.get() {
                NO_TENSOR if is_root => check_roots(plan, pair)?,
                parent if parent != NO_TENSOR && parent == record.parent.get() => {
                    check_slices(plan, pair)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

type Indexed<'r> = (&'r TensorRecord, TensorIndex);

/// Two tensors without parents live at different times, or in different bytes, or the one becomes
/// the other in a step that works in place (which `steps` looks into).
fn check_roots(
    plan: &Plan<'_>,
    [(one, index), (other, other_index)]: [Indexed<'_>; 2],
) -> Result<()> {
    let meet = one.first.get().max(other.first.get());
    if meet > one.last.get().min(other.last.get()) {
        return Ok(());
    }
    let ((start, end), (other_start, other_end)) = (bytes_of(one)?, bytes_of(other)?);
    if end <= other_start || other_end <= start {
        return Ok(());
    }
    let becomes = |from: Indexed<'_>, to: Indexed<'_>| {
        let step = usize::from(meet).checked_sub(1).and_then(|step| plan.steps.get(step));
        from.0.last.get() == meet
            && to.0.first.get() == meet
            && step.is_some_and(|step| {
                step.output.get() == to.1 && step.inputs.iter().any(|i| i.get() == from.1)
            })
    };
    let (one, other) = ((one, index), (other, other_index));
    if becomes(one, other) || becomes(other, one) {
        return Ok(());
    }
    Err(overlap(meet, index, other_index))
}

/// Two written slices of one tensor have no channel in common.
fn check_slices(
    plan: &Plan<'_>,
    [(one, index), (other, other_index)]: [Indexed<'_>; 2],
) -> Result<()> {
    let written = |record, index| role(plan, index, record) == Role::Written;
    let (start, other_start) = (one.offset_bytes.get(), other.offset_bytes.get());
    let bytes = |record: &TensorRecord| -> Result<u64> {
        Ok(u64::from(record.channels.get()).saturating_mul(record.decode()?.element.bytes()))
    };
    let apart = start.saturating_add(bytes(one)?) <= other_start
        || other_start.saturating_add(bytes(other)?) <= start;
    if apart || !written(one, index) || !written(other, other_index) {
        return Ok(());
    }
    Err(overlap(one.first.get().max(other.first.get()), index, other_index))
}

fn bytes_of(record: &TensorRecord) -> Result<(u64, u64)> {
    let tensor = record.decode()?;
    let start = tensor.offset_bytes;
    Ok((start, start.saturating_add(tensor.footprint_bytes())))
}

/// The error of two tensors that meet at a moment: its place is the step of that moment.
fn overlap(moment: u16, one: TensorIndex, other: TensorIndex) -> Error {
    let error = invalid("two tensors live in the same bytes").numbers(one.into(), other.into());
    error.at(Place::Step(moment.saturating_sub(1)))
}
